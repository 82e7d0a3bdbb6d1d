//! Constants of the Windows headers that the bindings do not have.

#![allow(
    clippy::unreadable_literal,
    reason = "status codes are searched for as they are written elsewhere"
)]

use fltmgr_sys::NTSTATUS;

pub(super) const STATUS_HANDLE_NO_LONGER_VALID: NTSTATUS = 0xC0190028_u32.cast_signed();
pub(super) const STATUS_TRANSACTIONS_UNSUPPORTED_REMOTE: NTSTATUS = 0xC019000A_u32.cast_signed();
pub(super) use fltmgr_sys::{STATUS_TRANSACTION_NOT_ACTIVE, STATUS_TRANSACTION_NOT_FOUND};

pub(super) const MAXIMUM_ALLOWED: u32 = 0x0200_0000;
pub(super) const GENERIC_ALL: u32 = 0x1000_0000;
pub(super) const GENERIC_EXECUTE: u32 = 0x2000_0000;
pub(super) const GENERIC_WRITE: u32 = 0x4000_0000;
pub(super) const GENERIC_READ: u32 = 0x8000_0000;
pub(super) const FILE_ALL_ACCESS: u32 = 0x001F_01FF;

pub(super) const FILE_DISPOSITION_ON_CLOSE: u32 = 0x8;
pub(super) const FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE: u32 = 0x10;
pub(super) const FILE_RENAME_IGNORE_READONLY_ATTRIBUTE: u32 = 0x40;

pub(super) const FILE_DEVICE_IS_MOUNTED: u32 = 0x20;
pub(super) const FILE_REMOTE_DEVICE: u32 = 0x10;

pub(super) const FILE_CASE_SENSITIVE_SEARCH: u32 = 0x1;
pub(super) const FILE_CASE_PRESERVED_NAMES: u32 = 0x2;
pub(super) const FILE_UNICODE_ON_DISK: u32 = 0x4;
pub(super) const FILE_PERSISTENT_ACLS: u32 = 0x8;
pub(super) const FILE_NAMED_STREAMS: u32 = 0x0004_0000;
pub(super) const FILE_SUPPORTS_TRANSACTIONS: u32 = 0x0020_0000;
pub(super) const FILE_SUPPORTS_OPEN_BY_FILE_ID: u32 = 0x0100_0000;
