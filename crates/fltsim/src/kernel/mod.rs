//! The rest of the kernel, as far as a minifilter touches it.

pub mod irql;

pub(crate) mod admission;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avl;
pub(crate) mod bitmap;
pub(crate) mod byte_range;
pub(crate) mod calendar;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod control;
pub(crate) mod debug_print;
pub(crate) mod descriptor;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod device;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod device_file;
#[cfg(target_arch = "x86_64")]
pub(crate) mod dispatcher;
pub(crate) mod event;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod ex_timer;
pub(crate) mod fault;
pub(crate) mod file_lock;
pub(crate) mod handle;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod io_work_item;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod irp;
pub(crate) mod link;
pub(crate) mod lock;
pub(crate) mod mdl;
pub(crate) mod memory;
pub(crate) mod namespace;
pub(crate) mod notify;
pub(crate) mod object;
pub(crate) mod pool;
pub(crate) mod registry;
pub(crate) mod scope;
pub(crate) mod section;
pub(crate) mod security;
pub(crate) mod shared_section;
#[cfg(target_arch = "x86_64")]
pub(crate) mod splay;
pub(crate) mod string;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod thread;
pub(crate) mod time;
#[cfg(target_arch = "x86_64")]
pub(crate) mod timer;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod token;
pub(crate) mod tracing;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tree;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod virtual_memory;
pub(crate) mod word;
pub(crate) mod work_queue;
