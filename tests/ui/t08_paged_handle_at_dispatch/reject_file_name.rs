//! T-08: a handle to a paged context is neither the payload of a post-operation that may run at DISPATCH_LEVEL, nor read or cloned there.

use fltctx::{name::FileName, prelude::*};

struct Named {
    name: FileName,
}

impl Context for Named {
    type Kind = kind::Stream;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

struct Own;

contexts! { Own: Named }

impl Minifilter for Own {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

impl PreOperation<Read> for Own {
    type Completion = Shared<Named>;

    fn pre(&self, _read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        PreResult::no_callback()
    }
}

impl PostOperation<Read> for Own {
    fn post(&self, read: &mut Post<'_, Self, Read>, stream: Shared<Named>) {
        debug_print!("{}", stream.name.full(read.irql()));
    }
}

fn main() {}
