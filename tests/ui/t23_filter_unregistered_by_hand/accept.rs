//! T-23: the library alone unregisters the filter, when no callback can run any more.

use fltctx::prelude::*;

struct Own;

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }

    fn unload(&self, request: Unload) -> Result<(), Status> {
        if request.mandatory() {
            Ok(())
        } else {
            Err(Status::DO_NOT_DETACH)
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {}
}

fn main() {}
