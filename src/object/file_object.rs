//! File objects.

use fltmgr_sys as sys;

use super::{slots, view};
use crate::{
    Status,
    kind::{self, Attach as _},
    registration::Minifilter,
};

view! {
    /// The file object of an operation: one open of a stream of a file. Holds file, stream and
    /// stream handle contexts. Borrowed for the callback. DDI: `FILE_OBJECT`.
    ///
    /// Whether it really does depends on the file system and the file: a verb on its slots
    /// answers `NotSupported` for paging files and for file systems without support. So it does for
    /// an operation that a driver sent without a file object.
    FileObject: File, Stream, StreamHandle
}

slots!(FileObject);

impl<F: Minifilter> FileObject<'_, F> {
    /// Whether the file object is a directory.
    ///
    /// # Errors
    ///
    /// The status of the file system when it cannot tell, and `STATUS_NOT_SUPPORTED` for an
    /// operation without a file object.
    ///
    /// DDI: `FltIsDirectory`. IRQL: at most `APC_LEVEL`, proved by the borrow.
    pub fn is_directory(self) -> Result<bool, Status> {
        if !self.present() {
            return Err(Status::NOT_SUPPORTED);
        }
        let mut directory: sys::BOOLEAN = 0;
        // SAFETY: the borrow proves the IRQL and that both objects, which are there, are alive; the
        // out-pointer may be written.
        let status = Status::from_raw(unsafe {
            sys::FltIsDirectory(
                self.objects.FileObject,
                self.objects.Instance,
                &raw mut directory,
            )
        });
        if status.is_success() {
            Ok(directory != 0)
        } else {
            Err(status)
        }
    }

    /// Whether there is a file object at all: operations between drivers may have none.
    pub(super) fn present(self) -> bool {
        kind::StreamHandle::present(self.objects)
    }

    /// A number that tells this file object from every other that is alive, for logs; zero for an
    /// operation without one.
    #[must_use]
    pub fn id(self) -> usize {
        self.objects.FileObject.addr()
    }
}
