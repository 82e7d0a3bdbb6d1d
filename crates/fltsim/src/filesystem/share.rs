//! Sharing modes: who else may read, write and delete what is open.

use fltmgr_sys::{
    DELETE, FILE_APPEND_DATA, FILE_EXECUTE, FILE_READ_DATA, FILE_SHARE_DELETE, FILE_SHARE_READ,
    FILE_SHARE_WRITE, FILE_WRITE_DATA, NTSTATUS, STATUS_SHARING_VIOLATION,
};

/// The opens of one stream, counted by what they do and by what they let others do.
#[derive(Debug, Default)]
pub(super) struct ShareAccess {
    opens: u32,
    doing: [u32; 3],
    allowing: [u32; 3],
}

/// Reading, writing and deleting: the access rights and the sharing flag of each.
const ASPECTS: [(u32, u32); 3] = [
    (FILE_READ_DATA | FILE_EXECUTE, FILE_SHARE_READ),
    (FILE_WRITE_DATA | FILE_APPEND_DATA, FILE_SHARE_WRITE),
    (DELETE, FILE_SHARE_DELETE),
];

impl ShareAccess {
    /// Whether one more open gets along with those that there are.
    pub(super) fn check(&self, access: u32, share: u32) -> Result<(), NTSTATUS> {
        if !counts(access) {
            return Ok(());
        }
        for (index, (rights, flag)) in ASPECTS.into_iter().enumerate() {
            let forbidden_to_it = access & rights != 0 && self.allowing[index] < self.opens;
            let forbidden_by_it = share & flag == 0 && self.doing[index] != 0;
            if forbidden_to_it || forbidden_by_it {
                return Err(STATUS_SHARING_VIOLATION);
            }
        }
        Ok(())
    }

    /// Counts one more open.
    pub(super) fn add(&mut self, access: u32, share: u32) {
        if counts(access) {
            self.opens += 1;
            self.each(access, share, |count| *count += 1);
        }
    }

    /// Counts it no longer.
    pub(super) fn remove(&mut self, access: u32, share: u32) {
        if counts(access) {
            self.opens -= 1;
            self.each(access, share, |count| *count -= 1);
        }
    }

    fn each(&mut self, access: u32, share: u32, change: impl Fn(&mut u32)) {
        for (index, (rights, flag)) in ASPECTS.into_iter().enumerate() {
            if access & rights != 0 {
                change(&mut self.doing[index]);
            }
            if share & flag != 0 {
                change(&mut self.allowing[index]);
            }
        }
    }
}

/// An open that touches neither data nor name shares with everyone.
fn counts(access: u32) -> bool {
    ASPECTS.iter().any(|(rights, _)| access & rights != 0)
}
