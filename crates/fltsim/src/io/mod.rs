//! Operations: file objects, callback data, the callback path, and the file API of a volume.

mod buffer;
mod cancel;
mod control;
mod dispatch;
mod driver_memory;
mod file_object;
mod handle;
mod life;
mod lock_control;
mod major;
mod name;
mod operation;
mod operation_mdl;
mod options;
mod own;
mod path;
mod pending;
mod queue;
mod security;
mod status_request;

pub use handle::{FileReference, Handle};
pub use operation::Completion;
pub use options::{ByteRange, IoOptions, OpenOptions};
pub use pending::PendingIo;

pub(crate) use buffer::{Buffers, buffers};
pub(crate) use cancel::{OnCancel, cancel};
pub(crate) use control::Method;
pub(crate) use driver_memory::DriverMemory;
pub(crate) use file_object::{FileObject, FilePhase, Purpose};
pub(crate) use handle::{locking, query_attributes, request, unlocking};
pub(crate) use life::{Origin, cancel_open, close_now, open, release_gone};
pub(crate) use lock_control::{LockRequest, access, ask as ask_for_lock, lock_request};
pub(crate) use major::{major_c_name, major_name};
pub(crate) use name::{
    ObjectName, dos_name, file_of, find as find_name, guid_name, link_target, path_of,
};
pub(crate) use operation::{Door, Operation, Phase, Request, find, io_status};
pub(crate) use operation_mdl::{lock_user_buffer, retain, swapped_list};
pub(crate) use own::{Own, allocate, begin, forget as forget_own, lookup as find_own, reissue};
pub(crate) use path::{abandon, drain, resume_post, resume_pre, run};
pub(crate) use queue::{Queue, lookup as find_queue, register as register_queue};
pub(crate) use security::{query_security, set_security};
pub(crate) use status_request::request as request_status;

use crate::filesystem::FileSystem;
use crate::manager::forget;
use crate::manager::name::Names;
use operation::CallMemory;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many finished operations of a volume are remembered.
const RETIRED_CALLS: usize = 64;
/// How many closed file objects of a volume are remembered.
const RETIRED_FILES: usize = 4096;

/// The part of a volume that only the I/O path knows.
pub(crate) struct VolumeIo {
    pub(crate) file_system: FileSystem,
    pub(crate) names: Names,
    retired_calls: Mutex<VecDeque<Arc<CallMemory>>>,
    retired_files: Mutex<VecDeque<usize>>,
}

impl VolumeIo {
    pub(crate) fn new(file_system: FileSystem) -> Self {
        Self {
            file_system,
            names: Names::default(),
            retired_calls: Mutex::default(),
            retired_files: Mutex::default(),
        }
    }

    /// Keeps the memory of a finished operation from being used again at once.
    fn retire_call(&self, memory: Arc<CallMemory>) {
        let mut retired = self.retired_calls.lock();
        retired.push_back(memory);
        let oldest = if retired.len() > RETIRED_CALLS {
            retired.pop_front()
        } else {
            None
        };
        drop(retired);
        drop(oldest);
    }

    /// The same for a file object that has been closed: a stale pointer to it is recognised.
    fn retire_file(&self, file: &FileObject) {
        let mut retired = self.retired_files.lock();
        retired.push_back(file.pointer() as usize);
        let oldest = if retired.len() > RETIRED_FILES {
            retired.pop_front()
        } else {
            None
        };
        drop(retired);
        if let Some(address) = oldest {
            forget(address);
        }
    }
}
