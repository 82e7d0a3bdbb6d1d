//! File objects.

use fltmgr_sys as sys;

use super::{slots, view};
use crate::registration::Minifilter;

view! {
    /// The file object of an operation: one open of a stream of a file. Holds file, stream and
    /// stream handle contexts. Borrowed for the callback. DDI: `FILE_OBJECT`.
    ///
    /// Whether it really does depends on the file system and the file: a verb on its slots
    /// answers `NotSupported` for paging files and for file systems without support.
    FileObject: File, Stream, StreamHandle
}

slots!(FileObject);

impl<F: Minifilter> FileObject<'_, F> {
    /// Whether the file object is a directory.
    ///
    /// # Errors
    ///
    /// The status of the file system when it cannot tell.
    ///
    /// DDI: `FltIsDirectory`. IRQL: at most `APC_LEVEL`, proved by the borrow.
    pub fn is_directory(self) -> Result<bool, crate::Status> {
        let mut directory: sys::BOOLEAN = 0;
        // SAFETY: the borrow proves the IRQL and that both objects are alive; the out-pointer may
        // be written.
        let status = crate::Status::from_raw(unsafe {
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

    /// A number that tells this file object from every other that is alive, for logs.
    #[must_use]
    pub fn id(self) -> usize {
        self.objects.FileObject.addr()
    }
}
