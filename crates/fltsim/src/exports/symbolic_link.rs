//! Opening symbolic links and directories of the Object Manager. The drives of volumes are links to
//! their devices; the others are those that drivers have made.

use super::attributes::Attributes;
use super::volume::copy_name;
use super::{exports, here, write};
use crate::io;
use crate::kernel::handle::downcast;
use crate::kernel::link::{Directory, DirectoryBody, Link, LinkBody};
use crate::kernel::namespace::STATUS_OBJECT_PATH_SYNTAX_BAD;
use crate::machine::Inner;
use fltmgr_sys::*;
use std::sync::Arc;

/// The full name that attributes have.
///
/// # Safety
/// `attributes` is null or that structure.
unsafe fn named(
    call: &'static str,
    attributes: *const OBJECT_ATTRIBUTES,
) -> Result<(Arc<Inner>, String, Attributes), NTSTATUS> {
    let machine = here(call).filter(|_| !attributes.is_null());
    let machine = machine.ok_or(STATUS_INVALID_PARAMETER)?;
    // SAFETY: by this function's contract.
    let mut attributes = unsafe { Attributes::read(attributes) }?;
    let path = attributes.path.take();
    Ok((
        machine,
        path.ok_or(STATUS_OBJECT_PATH_SYNTAX_BAD)?,
        attributes,
    ))
}

/// Gives a handle to the caller, or says why there is none.
///
/// # Safety
/// The place may be written to, or is null.
unsafe fn give(handle: *mut HANDLE, opened: Result<HANDLE, NTSTATUS>) -> NTSTATUS {
    match opened {
        Ok(opened) => {
            // SAFETY: by this function's contract.
            unsafe { write(handle, opened) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

exports! {
    /// Opens a symbolic link itself.
    unsafe fn ZwOpenSymbolicLinkObject(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
    ) -> NTSTATUS {
        const CALL: &str = "ZwOpenSymbolicLinkObject";
        // SAFETY: the caller passes attributes.
        let named = unsafe { named(CALL, attributes) };
        let opened = named.and_then(|(machine, path, attributes)| {
            let target = match io::link_target(&machine, &path) {
                Some(target) => target,
                None => machine.names.target(&path)?,
            };
            let body = LinkBody::new(path, target);
            Link::open(&machine, None, body, attributes.grant(access), CALL)
        });
        // SAFETY: the caller passes a place.
        unsafe { give(handle, opened) }
    }

    /// What a symbolic link leads to.
    unsafe fn ZwQuerySymbolicLinkObject(
        handle: HANDLE,
        target: PUNICODE_STRING,
        needed: *mut ULONG,
    ) -> NTSTATUS {
        let machine = here("ZwQuerySymbolicLinkObject");
        let found = machine.and_then(|machine| machine.handles.find(handle));
        let Some((found, _)) = found else {
            return STATUS_INVALID_HANDLE;
        };
        let link: Option<Arc<Link>> = downcast(found);
        let Some(link) = link else {
            return STATUS_OBJECT_TYPE_MISMATCH;
        };
        // SAFETY: the caller passes a string with a buffer, and a place for the length, or null.
        unsafe { copy_name(&link.body.target, target, needed) }
    }

    /// Opens a directory.
    unsafe fn ZwOpenDirectoryObject(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *const OBJECT_ATTRIBUTES,
    ) -> NTSTATUS {
        const CALL: &str = "ZwOpenDirectoryObject";
        // SAFETY: the caller passes attributes.
        let named = unsafe { named(CALL, attributes) };
        let opened = named.and_then(|(machine, path, attributes)| {
            let name = machine.names.directory(&path)?;
            let body = DirectoryBody::new(name.to_owned());
            Directory::open(&machine, None, body, attributes.grant(access), CALL)
        });
        // SAFETY: the caller passes a place.
        unsafe { give(handle, opened) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::exports::device::{IoCreateSymbolicLink, IoDeleteSymbolicLink};
    use crate::exports::kernel::ZwClose;
    use crate::filesystem::Personality;
    use crate::kernel::string::Owned;
    use crate::{Machine, VolumeConfig};
    use std::ptr::null_mut;

    type Open =
        unsafe extern "win64" fn(*mut HANDLE, ACCESS_MASK, *const OBJECT_ATTRIBUTES) -> NTSTATUS;

    const DEVICE: &str = "\\Device\\HarddiskVolume1";

    /// Opens a name in a directory with one of those functions.
    pub(crate) fn open(function: Open, root: HANDLE, name: &str) -> Result<HANDLE, NTSTATUS> {
        let name = Owned::new(name);
        let attributes = OBJECT_ATTRIBUTES {
            Length: 48,
            RootDirectory: root,
            ObjectName: name.pointer().cast_mut(),
            Attributes: 0x240,
            SecurityDescriptor: null_mut(),
            SecurityQualityOfService: null_mut(),
        };
        let mut handle = null_mut();
        // SAFETY: attributes and a place.
        let status = unsafe { function(&raw mut handle, 0x8000_0000, &raw const attributes) };
        if nt_success(status) {
            Ok(handle)
        } else {
            Err(status)
        }
    }

    pub(crate) fn close(handle: HANDLE) {
        // SAFETY: any handle may be passed.
        assert_eq!(unsafe { ZwClose(handle) }, STATUS_SUCCESS);
    }

    /// A machine with one volume.
    pub(crate) fn machine() -> Machine {
        let machine = Machine::default();
        let _volume = machine.add_volume(VolumeConfig::memory(DEVICE, Personality::ntfs()));
        machine
    }

    /// The target of a link, with room for so many bytes.
    fn target(handle: HANDLE, room: u16) -> (NTSTATUS, ULONG, String) {
        let mut units = vec![0_u16; usize::from(room) / 2];
        let mut string = UNICODE_STRING {
            Length: 0,
            MaximumLength: room,
            Buffer: units.as_mut_ptr(),
        };
        let mut needed = 0;
        // SAFETY: a string with a buffer and a place.
        let status = unsafe { ZwQuerySymbolicLinkObject(handle, &raw mut string, &raw mut needed) };
        let text = String::from_utf16_lossy(&units[..usize::from(string.Length) / 2]);
        (status, needed, text)
    }

    #[test]
    fn drives_are_links_to_devices() {
        let machine = machine();
        machine.at_irql(PASSIVE_LEVEL, || {
            let guid = format!("\\??\\Volume{{00000000-0000-0000-0000-{:012x}}}", 1);
            for name in ["\\??\\C:", "\\DosDevices\\c:", "\\GLOBAL??\\C:", &guid] {
                let link = open(ZwOpenSymbolicLinkObject, null_mut(), name).expect(name);
                assert_eq!(target(link, 46), (STATUS_SUCCESS, 46, DEVICE.to_owned()));
                assert_eq!(
                    target(link, 44),
                    (STATUS_BUFFER_TOO_SMALL, 46, String::new())
                );
                close(link);
            }
            for (name, status) in [
                ("\\??\\D:", STATUS_OBJECT_NAME_NOT_FOUND),
                ("\\??\\C:\\", STATUS_OBJECT_NAME_INVALID),
                ("\\??\\C:\\file", STATUS_OBJECT_PATH_NOT_FOUND),
                ("\\Device", STATUS_OBJECT_TYPE_MISMATCH),
                ("", STATUS_OBJECT_PATH_SYNTAX_BAD),
                ("C:", STATUS_OBJECT_PATH_SYNTAX_BAD),
            ] {
                let opened = open(ZwOpenSymbolicLinkObject, null_mut(), name);
                assert_eq!(opened, Err(status), "{name}");
            }
            // SAFETY: null is no place.
            let status = unsafe { ZwOpenSymbolicLinkObject(null_mut(), 0, std::ptr::null()) };
            assert_eq!(status, STATUS_INVALID_PARAMETER);
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn links_of_drivers_are_opened_and_drives_are_taken() {
        let machine = machine();
        machine.at_irql(PASSIVE_LEVEL, || {
            let [one, drive, to] = ["\\??\\One", "\\DosDevices\\C:", "\\Device\\X"].map(Owned::new);
            // SAFETY: strings.
            let made = |name: &Owned| unsafe { IoCreateSymbolicLink(name.pointer(), to.pointer()) };
            assert_eq!(made(&one), STATUS_SUCCESS);
            assert_eq!(made(&drive), STATUS_OBJECT_NAME_COLLISION);
            let link = open(ZwOpenSymbolicLinkObject, null_mut(), "\\??\\ONE").unwrap();
            // SAFETY: a string.
            let status = unsafe { IoDeleteSymbolicLink(one.pointer()) };
            assert_eq!(status, STATUS_SUCCESS);
            assert_eq!(target(link, 64).2, "\\Device\\X");
            close(link);
            let gone = open(ZwOpenSymbolicLinkObject, null_mut(), "\\??\\ONE");
            assert_eq!(gone, Err(STATUS_OBJECT_NAME_NOT_FOUND));
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn names_are_in_directories() {
        let machine = machine();
        machine.at_irql(PASSIVE_LEVEL, || {
            let directory = open(ZwOpenDirectoryObject, null_mut(), "\\DosDevices").unwrap();
            let link = open(ZwOpenSymbolicLinkObject, directory, "c:").unwrap();
            assert_eq!(target(link, 64), (STATUS_SUCCESS, 46, DEVICE.to_owned()));
            assert_eq!(target(directory, 64).0, STATUS_OBJECT_TYPE_MISMATCH);
            assert_eq!(target(null_mut(), 64).0, STATUS_INVALID_HANDLE);
            let inside = |root, name| open(ZwOpenSymbolicLinkObject, root, name);
            assert_eq!(
                inside(directory, "\\C:"),
                Err(STATUS_OBJECT_PATH_SYNTAX_BAD)
            );
            assert_eq!(inside(link, "C:"), Err(STATUS_OBJECT_TYPE_MISMATCH));
            let none = 0x7777_7770_usize as HANDLE;
            assert_eq!(inside(none, "C:"), Err(STATUS_INVALID_HANDLE));
            let root = open(ZwOpenDirectoryObject, null_mut(), "\\").unwrap();
            let device = open(ZwOpenDirectoryObject, root, "device").unwrap();
            for (name, status) in [
                ("\\Nothing", STATUS_OBJECT_NAME_NOT_FOUND),
                ("\\Nothing\\Device", STATUS_OBJECT_PATH_NOT_FOUND),
                ("\\Device\\", STATUS_OBJECT_NAME_INVALID),
                ("", STATUS_OBJECT_PATH_SYNTAX_BAD),
            ] {
                let opened = open(ZwOpenDirectoryObject, null_mut(), name);
                assert_eq!(opened, Err(status), "{name}");
            }
            [directory, link, root, device].into_iter().for_each(close);
            let _left = open(ZwOpenDirectoryObject, null_mut(), "\\Device").unwrap();
        });
        let outcome = machine.finish();
        let leaks: Vec<_> = outcome.leaks.iter().map(|leak| leak.object).collect();
        assert_eq!(leaks, ["directory handle"]);
        assert_eq!((outcome.violations.len(), outcome.bugchecks.len()), (0, 0));
    }
}
