//! Transactions by pointer and by handle: what the kernel's transaction manager exports.

use super::attributes::Attributes;
use super::ob::behind;
use super::{enter, exports, file_object, here, transaction, write};
use crate::kernel::handle::downcast;
use crate::machine::Inner;
use crate::manager::Transaction;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

/// How a transaction ends.
#[derive(Clone, Copy)]
enum End {
    Commit,
    Rollback,
}

/// Ends a transaction, at once or later.
fn end(machine: &Arc<Inner>, of: &Arc<Transaction>, end: End, wait: BOOLEAN) -> NTSTATUS {
    let finish = move |machine: &Arc<Inner>, of: &Arc<Transaction>| match end {
        End::Commit => of.commit(machine),
        End::Rollback => of.rollback(machine),
    };
    if wait != 0 {
        return finish(machine, of).err().unwrap_or(STATUS_SUCCESS);
    }
    if !of.is_active() {
        return STATUS_TRANSACTION_NOT_ACTIVE;
    }
    let (of, later) = (Arc::clone(of), Arc::downgrade(machine));
    machine.work_queue.push(move || {
        if let Some(machine) = later.upgrade() {
            // Who did not wait is told by the notifications.
            let _ = finish(&machine, &of);
        }
    });
    STATUS_PENDING
}

fn end_of_handle(call: &'static str, handle: HANDLE, how: End, wait: BOOLEAN) -> NTSTATUS {
    let Some(machine) = here(call) else {
        return STATUS_INVALID_HANDLE;
    };
    let Some((object, _)) = behind(&machine, handle) else {
        return STATUS_INVALID_HANDLE;
    };
    match downcast::<Transaction>(object) {
        Some(found) => end(&machine, &found, how, wait),
        None => STATUS_OBJECT_TYPE_MISMATCH,
    }
}

fn end_of_pointer(call: &'static str, of: PKTRANSACTION, how: End, wait: BOOLEAN) -> NTSTATUS {
    let Some((machine, of)) = transaction(call, "Transaction", of) else {
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    end(&machine, &of, how, wait)
}

exports! {
    /// Begins a transaction.
    unsafe fn ZwCreateTransaction(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
        _unit: *const GUID,
        _manager: HANDLE,
        _options: ULONG,
        isolation: ULONG,
        isolation_flags: ULONG,
        _timeout: *const i64,
        _description: PCUNICODE_STRING,
    ) -> NTSTATUS {
        const CALL: &str = "ZwCreateTransaction";
        let Some(machine) = here(CALL) else {
            return STATUS_INVALID_PARAMETER;
        };
        if isolation != 0 || isolation_flags != 0 {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes attributes or null.
        let attributes = match unsafe { Attributes::read(attributes) } {
            Ok(attributes) => attributes,
            Err(status) => return status,
        };
        let begun = Transaction::begin(&machine);
        let opened = machine.handles.open(&machine, begun, attributes.grant(access), CALL);
        // SAFETY: the caller passes a place.
        unsafe { write(handle, opened) };
        STATUS_SUCCESS
    }

    /// Commits the transaction of a handle.
    unsafe fn ZwCommitTransaction(handle: HANDLE, wait: BOOLEAN) -> NTSTATUS {
        end_of_handle("ZwCommitTransaction", handle, End::Commit, wait)
    }

    /// Rolls the transaction of a handle back.
    unsafe fn ZwRollbackTransaction(handle: HANDLE, wait: BOOLEAN) -> NTSTATUS {
        end_of_handle("ZwRollbackTransaction", handle, End::Rollback, wait)
    }

    /// Commits a transaction.
    unsafe fn TmCommitTransaction(of: PKTRANSACTION, wait: BOOLEAN) -> NTSTATUS {
        end_of_pointer("TmCommitTransaction", of, End::Commit, wait)
    }

    /// Rolls a transaction back.
    unsafe fn TmRollbackTransaction(of: PKTRANSACTION, wait: BOOLEAN) -> NTSTATUS {
        end_of_pointer("TmRollbackTransaction", of, End::Rollback, wait)
    }

    /// Whether a transaction can still be committed and rolled back.
    unsafe fn TmIsTransactionActive(of: PKTRANSACTION) -> BOOLEAN {
        const CALL: &str = "TmIsTransactionActive";
        let Some((machine, of)) = transaction(CALL, "Transaction", of) else {
            return 0;
        };
        enter(&machine, CALL);
        BOOLEAN::from(of.is_active())
    }

    /// What a transaction is identified by.
    unsafe fn TmGetTransactionId(of: PKTRANSACTION, place: *mut GUID) {
        const CALL: &str = "TmGetTransactionId";
        if let Some((machine, of)) = transaction(CALL, "Transaction", of) {
            enter(&machine, CALL);
            // SAFETY: the caller passes a place.
            unsafe { write(place, of.unit_of_work()) };
        }
    }

    /// The transaction that a file object was opened in, in a structure that lives with it; null if
    /// there is none.
    unsafe fn IoGetTransactionParameterBlock(file: PFILE_OBJECT) -> PVOID {
        const CALL: &str = "IoGetTransactionParameterBlock";
        let Some((machine, file)) = file_object(CALL, "FileObject", file) else {
            return null_mut();
        };
        enter(&machine, CALL);
        let of = file.transaction();
        of.map_or(null_mut(), |of| of.parameter_block())
    }
}
