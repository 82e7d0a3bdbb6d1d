//! The names that drivers open files by: of a device, of a drive, or relative to an open directory.

use super::file_object::FileObject;
use crate::kernel::link::Directory;
use crate::machine::Inner;
use crate::manager::Volume;
use fltmgr_sys::*;
use std::sync::Arc;

const STATUS_OBJECT_PATH_SYNTAX_BAD: NTSTATUS = 0xC000_003B_u32.cast_signed();

/// Where the names of drives are found.
const DRIVES: [&str; 3] = ["\\??\\", "\\DosDevices\\", "\\GLOBAL??\\"];

/// A name as a driver passes it.
pub(crate) struct ObjectName {
    /// The directory that it is relative to; null for none.
    pub(crate) root: HANDLE,
    pub(crate) units: Vec<u16>,
    /// The name is the number of a file (`FILE_OPEN_BY_FILE_ID`).
    pub(crate) by_id: bool,
}

/// What a name leads to.
pub(crate) struct Found {
    pub(crate) volume: Arc<Volume>,
    /// From the root of the volume; empty for the volume itself.
    pub(crate) path: String,
    /// The directory that the name was relative to.
    pub(crate) related: Option<Arc<FileObject>>,
    /// The number of the file, which then has no path.
    pub(crate) id: Option<u64>,
}

/// Finds the volume of a name, and what is left of it there.
///
/// # Errors
/// `STATUS_INVALID_HANDLE`, `STATUS_OBJECT_TYPE_MISMATCH` for the root directory;
/// `STATUS_OBJECT_PATH_SYNTAX_BAD`, `STATUS_OBJECT_NAME_INVALID` for a malformed name;
/// `STATUS_OBJECT_NAME_NOT_FOUND`, `STATUS_OBJECT_PATH_NOT_FOUND` if there is no such volume.
pub(crate) fn find(machine: &Inner, name: &ObjectName) -> Result<Found, NTSTATUS> {
    if !name.by_id
        && let Some(directory) = machine.handles.find_as::<Directory>(name.root)
    {
        let inside = String::from_utf16_lossy(&name.units);
        let (volume, path) = absolute(machine, &directory.body.join(&inside)?)?;
        return Ok(Found {
            volume,
            path,
            related: None,
            id: None,
        });
    }
    let related = if name.root.is_null() {
        None
    } else {
        Some(file_of(machine, name.root)?)
    };
    match related {
        Some(related) if name.by_id => Ok(Found {
            volume: related.volume().clone(),
            path: String::new(),
            id: Some(number(&name.units)?),
            related: Some(related),
        }),
        Some(related) => {
            let text = String::from_utf16_lossy(&name.units);
            Ok(Found {
                volume: related.volume().clone(),
                path: join(&related, &text)?,
                id: None,
                related: Some(related),
            })
        }
        None if name.by_id => Err(STATUS_INVALID_PARAMETER),
        None => {
            let text = String::from_utf16_lossy(&name.units);
            let (volume, path) = absolute(machine, &text)?;
            Ok(Found {
                volume,
                path,
                related: None,
                id: None,
            })
        }
    }
}

/// The file object of a handle.
///
/// # Errors
/// `STATUS_INVALID_HANDLE`; `STATUS_OBJECT_TYPE_MISMATCH` if it is one of something else.
pub(crate) fn file_of(machine: &Inner, handle: HANDLE) -> Result<Arc<FileObject>, NTSTATUS> {
    machine.handles.find_as(handle).ok_or_else(|| {
        if machine.handles.find(handle).is_some() {
            STATUS_OBJECT_TYPE_MISMATCH
        } else {
            STATUS_INVALID_HANDLE
        }
    })
}

/// The path of a file from the root of its volume; empty for the volume itself.
pub(crate) fn path_of(file: &FileObject) -> String {
    // The file may have another name by now.
    let stored = file.identity().map(|identity| {
        let file_system = &file.volume().io.file_system;
        file_system.name_of(identity.open)
    });
    match stored {
        Some(Ok(_)) if file.is_volume_open() => String::new(),
        Some(Ok(stored)) => stored,
        _ => file.path().to_owned(),
    }
}

/// The name of a file that is relative to a directory.
fn join(directory: &FileObject, name: &str) -> Result<String, NTSTATUS> {
    if name.starts_with('\\') {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    let base = path_of(directory);
    if name.is_empty() {
        return Ok(base);
    }
    // A stream of what is open has no backslash in front.
    let separator = if name.starts_with(':') { "" } else { "\\" };
    Ok(format!("{}{separator}{name}", base.trim_end_matches('\\')))
}

fn absolute(machine: &Inner, name: &str) -> Result<(Arc<Volume>, String), NTSTATUS> {
    if !name.starts_with('\\') {
        return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
    }
    let volumes = machine.volumes.read();
    let device = volumes
        .iter()
        .filter_map(|volume| Some((volume, strip(name, &volume.name)?)))
        .max_by_key(|(volume, _)| volume.name.len());
    let found = device.or_else(|| {
        let inside = DRIVES.iter().find_map(|drives| prefix(name, drives))?;
        volumes.iter().enumerate().find_map(|(index, volume)| {
            let drive = strip(inside, &drive(index)?);
            let found = drive.or_else(|| strip(inside, &guid_name(volume)))?;
            Some((volume, found))
        })
    });
    match found {
        Some((volume, path)) => Ok((Arc::clone(volume), path.to_owned())),
        None if name.trim_end_matches('\\').matches('\\').count() > 2 => {
            Err(STATUS_OBJECT_PATH_NOT_FOUND)
        }
        None => Err(STATUS_OBJECT_NAME_NOT_FOUND),
    }
}

/// The drive of a volume, in the order of mounting from `C:` on.
fn drive(index: usize) -> Option<String> {
    let letter = u8::try_from(index)
        .ok()?
        .checked_add(b'C')
        .filter(u8::is_ascii_uppercase)?;
    Some(format!("{}:", char::from(letter)))
}

/// What applications know a volume by: its drive, or else the name that stays.
pub(crate) fn dos_name(machine: &Inner, volume: &Volume) -> String {
    let index = {
        let volumes = machine.volumes.read();
        volumes.iter().position(|other| other.id == volume.id)
    };
    let drive = index.and_then(drive);
    drive.unwrap_or_else(|| format!("\\\\?\\{}", guid_name(volume)))
}

/// What a symbolic link leads to, by its full name, if it is that of a volume.
pub(crate) fn link_target(machine: &Inner, path: &str) -> Option<String> {
    let name = DRIVES.iter().find_map(|drives| prefix(path, drives))?;
    let volumes = machine.volumes.read();
    let mut volumes = volumes.iter().enumerate();
    let found = volumes.find(|(index, volume)| {
        let drive = drive(*index);
        let mut names = drive.into_iter().chain([guid_name(volume)]);
        names.any(|other| other.eq_ignore_ascii_case(name))
    });
    found.map(|(_, volume)| volume.name.clone())
}

/// The name of a volume that stays when drives change, below the directory of drives.
pub(crate) fn guid_name(volume: &Volume) -> String {
    format!("Volume{{00000000-0000-0000-0000-{:012x}}}", volume.id)
}

/// What follows a name in a path, if that begins with it.
fn strip<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    prefix(path, name).filter(|rest| rest.is_empty() || rest.starts_with('\\'))
}

fn prefix<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (head, rest) = path.split_at_checked(name.len())?;
    (head.to_lowercase() == name.to_lowercase()).then_some(rest)
}

/// The number of a file, eight bytes in the place of a name.
fn number(units: &[u16]) -> Result<u64, NTSTATUS> {
    match *units {
        [a, b, c, d] => {
            let [a, b, c, d] = [a, b, c, d].map(u64::from);
            Ok(a | b << 16 | c << 32 | d << 48)
        }
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::Personality;
    use crate::{Machine, VolumeConfig};

    fn found(machine: &Machine, name: &str) -> Result<(String, String), NTSTATUS> {
        let name = ObjectName {
            root: std::ptr::null_mut(),
            units: name.encode_utf16().collect(),
            by_id: false,
        };
        find(&machine.inner, &name).map(|found| (found.volume.name.clone(), found.path))
    }

    #[test]
    fn devices_drives_and_volumes_are_found() {
        let machine = Machine::default();
        let [one, two] = ["\\Device\\HarddiskVolume1", "\\Device\\HarddiskVolume12"];
        let _one = machine.add_volume(VolumeConfig::memory(one, Personality::ntfs()));
        let other = machine.add_volume(VolumeConfig::memory(two, Personality::ntfs()));
        let is = |name: &str, volume: &str, path: &str| {
            let expected = (volume.to_owned(), path.to_owned());
            assert_eq!(found(&machine, name), Ok(expected), "{name}");
        };
        is("\\Device\\HarddiskVolume1\\a", one, "\\a");
        is("\\device\\harddiskvolume12\\a\\b", two, "\\a\\b");
        is("\\Device\\HarddiskVolume12", two, "");
        is("\\??\\C:\\x:s", one, "\\x:s");
        is("\\DosDevices\\d:", two, "");
        let guid = format!("\\??\\{}\\y", guid_name(&other.object));
        is(&guid, two, "\\y");
        for (name, status) in [
            ("", STATUS_OBJECT_PATH_SYNTAX_BAD),
            ("C:\\x", STATUS_OBJECT_PATH_SYNTAX_BAD),
            ("\\Device\\HarddiskVolume3", STATUS_OBJECT_NAME_NOT_FOUND),
            ("\\Device\\HarddiskVolume3\\a", STATUS_OBJECT_PATH_NOT_FOUND),
            ("\\??\\E:\\a", STATUS_OBJECT_PATH_NOT_FOUND),
        ] {
            assert_eq!(found(&machine, name), Err(status), "{name}");
        }
    }

    #[test]
    fn names_begin_in_directories_of_the_object_manager() {
        use crate::kernel::handle::Grant;
        use crate::kernel::link::DirectoryBody;

        let machine = Machine::default();
        let device = "\\Device\\HarddiskVolume1";
        let _volume = machine.add_volume(VolumeConfig::memory(device, Personality::ntfs()));
        let inside = |directory: &str, name: &str| {
            let body = DirectoryBody::new(directory.to_owned());
            let root = Directory::open(&machine.inner, None, body, Grant::default(), "test")?;
            let name = ObjectName {
                root,
                units: name.encode_utf16().collect(),
                by_id: false,
            };
            let found = find(&machine.inner, &name);
            assert!(machine.inner.handles.close(&machine.inner, root));
            found.map(|found| (found.volume.name.clone(), found.path))
        };
        let expected = Ok((device.to_owned(), "\\a".to_owned()));
        assert_eq!(inside("\\??", "C:\\a"), expected);
        assert_eq!(inside("\\Device", "HarddiskVolume1\\a"), expected);
        assert_eq!(inside("\\", "Device\\HarddiskVolume1\\a"), expected);
        let missing = Err(STATUS_OBJECT_NAME_NOT_FOUND);
        assert_eq!(inside("\\Device", "HarddiskVolume2"), missing);
        assert_eq!(inside("\\??", "\\a"), Err(STATUS_OBJECT_PATH_SYNTAX_BAD));
    }
}
