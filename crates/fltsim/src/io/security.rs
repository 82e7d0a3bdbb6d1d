//! Security descriptors of files, as the kernel asks for them and sets them.

use super::file_object::FileObject;
use super::operation::{Operation, Request};
use super::path;
use crate::kernel::descriptor::Captured;
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;

/// Asks for parts of the descriptor of a file: the status, and how long a buffer must be.
///
/// What is a warning of the file system, that the buffer is too small, is an error from here on.
pub(crate) fn query_security(
    machine: &Arc<Inner>,
    file: &Arc<FileObject>,
    mut request: Request,
    information: SECURITY_INFORMATION,
    (buffer, length): (PVOID, ULONG),
) -> (NTSTATUS, usize) {
    let parameters = &mut request.parameters;
    parameters.QuerySecurity.SecurityInformation = information;
    parameters.QuerySecurity.Length = length;
    parameters.QuerySecurity.SecurityBuffer = buffer;
    match path::run(&Operation::new(machine, file, &request)) {
        (STATUS_BUFFER_OVERFLOW, needed) => (STATUS_BUFFER_TOO_SMALL, needed),
        other => other,
    }
}

/// Sets parts of the descriptor of a file.
pub(crate) fn set_security(
    machine: &Arc<Inner>,
    file: &Arc<FileObject>,
    mut request: Request,
    information: SECURITY_INFORMATION,
    descriptor: &Captured,
) -> NTSTATUS {
    let mut descriptor = descriptor.self_relative();
    let parameters = &mut request.parameters;
    parameters.SetSecurity.SecurityInformation = information;
    parameters.SetSecurity.SecurityDescriptor = descriptor.as_mut_ptr().cast();
    path::run(&Operation::new(machine, file, &request)).0
}
