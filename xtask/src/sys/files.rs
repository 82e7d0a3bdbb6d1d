//! Files, with errors that name them.

use std::fs;
use std::io;
use std::path::Path;

/// What to say when an operation on a file failed.
pub(super) fn failed(what: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}

pub(super) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| failed("read", path, &error))
}

pub(super) fn create_folder(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| failed("create", path, &error))
}

/// Removes a folder and everything in it, if there is one. Links are removed, not followed.
pub(super) fn remove_folder(path: &Path) -> Result<(), String> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", path, &error))
        }
        _ => Ok(()),
    }
}

/// Removes a file, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", path, &error))
        }
        _ => Ok(()),
    }
}

/// Writes a file unless it says this already, so that its date tells when it changed. True when
/// it was written.
pub(super) fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<bool, String> {
    let contents = contents.as_ref();
    if fs::read(path).is_ok_and(|present| present == contents) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    fs::write(path, contents).map_err(|error| failed("write", path, &error))?;
    Ok(true)
}

/// Writes a program unless it says this already.
pub(super) fn write_program(path: &Path, contents: &str) -> Result<(), String> {
    write(path, contents)?;
    make_executable(path).map_err(|error| failed("make executable", path, &error))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Nothing is made executable where this command does not run.
#[cfg(not(unix))]
fn make_executable(_path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Copies a file unless it is there already.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let contents = fs::read(from).map_err(|error| failed("read", from, &error))?;
    write(to, contents)?;
    Ok(())
}

/// Makes a symbolic link that leads to `target`, unless there is one.
#[cfg(unix)]
pub(super) fn link(target: &Path, path: &Path) -> Result<(), String> {
    if fs::read_link(path).is_ok_and(|present| present == target) {
        return Ok(());
    }
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(failed("replace", path, &error));
    }
    std::os::unix::fs::symlink(target, path).map_err(|error| failed("link", path, &error))
}

/// Nothing is linked where this command does not run.
#[cfg(not(unix))]
pub(super) fn link(_target: &Path, path: &Path) -> Result<(), String> {
    Err(failed("link", path, &io::ErrorKind::Unsupported.into()))
}
