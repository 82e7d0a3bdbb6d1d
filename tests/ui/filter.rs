//! The filter of the programs around it: `Example`, with one context of each kind.

use core::sync::atomic::AtomicU64;

use fltctx::prelude::*;

/// The filter.
pub(crate) struct Example;

impl Minifilter for Example {
    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

macro_rules! contexts_of_example {
    ($($name:ident: $kind:ident, $pool:ident;)*) => {
        $(
            /// Counts something.
            pub(crate) struct $name {
                pub(crate) count: AtomicU64,
            }

            impl Context for $name {
                type Kind = kind::$kind;
                type Pool = pool::$pool;
                const TAG: PoolTag = PoolTag::new(*b"Exam");
            }
        )*

        contexts! { Example: $($name),* }
    };
}

contexts_of_example! {
    OnVolume: Volume, NonPaged;
    OnInstance: Instance, Paged;
    OnFile: File, Paged;
    OnStream: Stream, NonPaged;
    OnHandle: StreamHandle, NonPaged;
    OnTransaction: Transaction, Paged;
    OnSection: Section, NonPaged;
}
