//! Security descriptors of files: below an instance, and through a handle.

use super::exports;
use super::file::{narrow, own, resolve_target};
use super::handle_io::{Caller, request};
use super::write;
use crate::io;
use crate::kernel::descriptor::Captured;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

exports! {
    /// Queries parts of the security descriptor of a file.
    unsafe fn FltQuerySecurityObject(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        SecurityInformation: SECURITY_INFORMATION,
        SecurityDescriptor: PVOID,
        Length: ULONG,
        LengthNeeded: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltQuerySecurityObject";
        let Some((machine, instance, file)) = resolve_target(CALL, Instance, FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        let mut request = own(IRP_MJ_QUERY_SECURITY);
        request.below = Some(Arc::clone(&instance));
        let buffer = (SecurityDescriptor, Length);
        let (status, needed) = instance.sends(|| {
            io::query_security(&machine, &file, request, SecurityInformation, buffer)
        });
        // SAFETY: the caller passes null or a place for the length.
        unsafe { write(LengthNeeded, narrow(needed)) };
        status
    }

    /// Sets parts of the security descriptor of a file.
    unsafe fn FltSetSecurityObject(
        Instance: PFLT_INSTANCE,
        FileObject: PFILE_OBJECT,
        SecurityInformation: SECURITY_INFORMATION,
        SecurityDescriptor: PVOID,
    ) -> NTSTATUS {
        const CALL: &str = "FltSetSecurityObject";
        let Some((machine, instance, file)) = resolve_target(CALL, Instance, FileObject) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes null or a descriptor.
        let captured = match unsafe { Captured::capture(SecurityDescriptor.cast()) } {
            Ok(captured) => captured,
            Err(status) => return status,
        };
        let mut request = own(IRP_MJ_SET_SECURITY);
        request.below = Some(Arc::clone(&instance));
        instance.sends(|| {
            io::set_security(&machine, &file, request, SecurityInformation, &captured)
        })
    }

    /// Queries parts of the security descriptor of a file by its handle.
    unsafe fn ZwQuerySecurityObject(
        Handle: HANDLE,
        SecurityInformation: SECURITY_INFORMATION,
        SecurityDescriptor: PVOID,
        Length: ULONG,
        LengthNeeded: *mut ULONG,
    ) -> NTSTATUS {
        let caller = Caller::synchronous("ZwQuerySecurityObject", null_mut());
        let mut needed = 0;
        // SAFETY: there is no status block.
        let status = unsafe {
            caller.perform(Handle, |machine, file| {
                let request = request(file, IRP_MJ_QUERY_SECURITY);
                let buffer = (SecurityDescriptor, Length);
                let done = io::query_security(machine, file, request, SecurityInformation, buffer);
                needed = done.1;
                done
            })
        };
        // SAFETY: the caller passes null or a place for the length.
        unsafe { write(LengthNeeded, narrow(needed)) };
        status
    }

    /// Sets parts of the security descriptor of a file by its handle.
    unsafe fn ZwSetSecurityObject(
        Handle: HANDLE,
        SecurityInformation: SECURITY_INFORMATION,
        SecurityDescriptor: PVOID,
    ) -> NTSTATUS {
        let caller = Caller::synchronous("ZwSetSecurityObject", null_mut());
        // SAFETY: the caller passes null or a descriptor.
        let captured = unsafe { Captured::capture(SecurityDescriptor.cast()) };
        // SAFETY: there is no status block.
        unsafe {
            caller.perform(Handle, |machine, file| match &captured {
                Ok(captured) => {
                    let request = request(file, IRP_MJ_SET_SECURITY);
                    let status =
                        io::set_security(machine, file, request, SecurityInformation, captured);
                    (status, 0)
                }
                Err(status) => (*status, 0),
            })
        }
    }
}
