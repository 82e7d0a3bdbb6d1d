//! T-10: there is no file before a create, after a failed one or after a close, so there are no file, stream and stream handle contexts either.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

fn before(create: &Pre<'_, Example, Create>) {
    let _ = create.slot::<OnVolume>();
}

fn after(create: &Post<'_, Example, Create>) {
    if let Some(file) = create.opened() {
        let _ = file.slot::<OnHandle>().get();
    }
}

fn before_close(close: &Pre<'_, Example, Close>) {
    let _ = close.slot::<OnFile>().get();
}

fn main() {}
