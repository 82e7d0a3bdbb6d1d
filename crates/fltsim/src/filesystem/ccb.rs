//! What the file system keeps per open.

use super::directory::Enumeration;
use super::{FileId, StreamId, TransactionId};

/// One open: one file object.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
pub(super) struct Open {
    pub(super) stream: StreamId,
    pub(super) file: FileId,
    /// The rights that were granted, generic ones resolved.
    pub(super) access: u32,
    /// The rights that count for sharing: none if it does not take part in that.
    pub(super) counted: u32,
    pub(super) share: u32,
    pub(super) options: u32,
    pub(super) transaction: Option<TransactionId>,
    pub(super) directory: bool,
    pub(super) delete_on_close: bool,
    /// This open asked for its name to go with its own cleanup, whoever else has the file open.
    pub(super) posix_delete: bool,
    pub(super) cleaned: bool,
    pub(super) position: u64,
    pub(super) enumeration: Option<Enumeration>,
}
