//! The rest of the kernel, as far as a minifilter touches it.

pub mod irql;

pub(crate) mod debug_print;
pub(crate) mod fault;
pub(crate) mod handle;
pub(crate) mod lock;
pub(crate) mod pool;
pub(crate) mod registry;
pub(crate) mod scope;
pub(crate) mod section;
pub(crate) mod string;
pub(crate) mod work_queue;
