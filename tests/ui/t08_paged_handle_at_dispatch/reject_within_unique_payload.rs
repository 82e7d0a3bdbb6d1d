//! T-08: a handle to a paged context is neither the payload of a post-operation that may run at DISPATCH_LEVEL, nor read or cloned there.

#[path = "../filter.rs"]
mod filter;

use filter::*;
use fltctx::prelude::*;

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

struct Owner {
    file: Option<Shared<OnFile>>,
}

impl Context for Owner {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

contexts! { Own: Owner }

impl PreOperation<Read> for Own {
    type Completion = Unique<Owner>;

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

impl PostOperation<Read> for Own {
    fn post(&self, _read: &mut Post<'_, Self, Read>, mut context: Unique<Owner>) {
        context.file = None;
    }
}

fn main() {}
