//! File name information: referenced structures that hold a name and its parts.

use super::reference::Acquired;
use super::{Filter, Volume};
use crate::io::DriverMemory;
use crate::io::{FileObject, FilePhase};
use crate::verifier::Leak;
use dashmap::DashMap;
use fltmgr_sys::*;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::ptr::null_mut;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Weak};

/// How many freed names of a volume are remembered, so that stale pointers are recognised.
const RETIRED: usize = 1024;

/// All name information, freed but remembered ones included, by address.
static NAMES: LazyLock<DashMap<usize, Weak<NameInformation>>> = LazyLock::new(DashMap::new);

/// The name information that a driver's pointer stands for.
pub(crate) fn find(information: PFLT_FILE_NAME_INFORMATION) -> Option<Arc<NameInformation>> {
    NAMES.get(&(information as usize))?.upgrade()
}

#[derive(Default)]
struct Count {
    references: u64,
    acquired: Acquired,
}

/// One name.
///
/// # Invariants
/// The strings in the structure point into the buffer, which never changes.
pub(crate) struct NameInformation {
    information: DriverMemory<FLT_FILE_NAME_INFORMATION>,
    buffer: Box<[u16]>,
    pub(crate) filter: Arc<Filter>,
    volume: Weak<Volume>,
    count: Mutex<Count>,
}

impl Drop for NameInformation {
    fn drop(&mut self) {
        NAMES.remove(&(self.pointer() as usize));
    }
}

/// The names of a volume.
#[derive(Default)]
pub(crate) struct Names {
    live: Mutex<HashMap<usize, Arc<NameInformation>>>,
    retired: Mutex<VecDeque<Arc<NameInformation>>>,
}

impl Names {
    /// What a filter has not released.
    pub(crate) fn leaks(&self, filter: &Filter) -> Vec<Leak> {
        let live = self.live.lock();
        let mut leaks: Vec<Leak> = live
            .values()
            .filter(|name| name.filter.id == filter.id)
            .map(|name| name.leak())
            .collect();
        leaks.sort_by(|one, other| one.note.cmp(&other.note));
        leaks
    }

    /// Takes away what a filter has not released.
    pub(crate) fn zap(&self, filter: &Filter) {
        let mut live = self.live.lock();
        let mut gone = Vec::new();
        live.retain(|_, name| {
            let keep = name.filter.id != filter.id;
            if !keep {
                gone.push(Arc::clone(name));
            }
            keep
        });
        drop(live);
        for name in gone {
            name.count.lock().references = 0;
            filter.names.fetch_sub(1, Ordering::SeqCst);
            self.retire(name);
        }
    }

    fn retire(&self, name: Arc<NameInformation>) {
        let mut retired = self.retired.lock();
        retired.push_back(name);
        let oldest = if retired.len() > RETIRED {
            retired.pop_front()
        } else {
            None
        };
        drop(retired);
        drop(oldest);
    }
}

impl NameInformation {
    /// Makes a name with one reference, which the filter owns.
    pub(crate) fn new(
        filter: &Arc<Filter>,
        volume: &Arc<Volume>,
        path: &str,
        format: FLT_FILE_NAME_OPTIONS,
        call: &'static str,
    ) -> Arc<Self> {
        let separator = if path.starts_with('\\') { "" } else { "\\" };
        let mut buffer: Box<[u16]> = format!("{}{separator}{path}", volume.name)
            .encode_utf16()
            .collect();
        let volume_units = volume.name.encode_utf16().count();
        let first = buffer.as_mut_ptr();
        let information = FLT_FILE_NAME_INFORMATION {
            Size: u16::try_from(size_of::<FLT_FILE_NAME_INFORMATION>()).unwrap_or(0),
            NamesParsed: 0,
            Format: format,
            Name: string(first, 0..buffer.len()),
            Volume: string(first, 0..volume_units),
            Share: EMPTY,
            Extension: EMPTY,
            Stream: EMPTY,
            FinalComponent: EMPTY,
            ParentDir: EMPTY,
        };
        let mut count = Count {
            references: 1,
            acquired: Acquired::default(),
        };
        count.acquired.add(call);
        let name = Arc::new(Self {
            information: DriverMemory::new(information),
            buffer,
            filter: filter.clone(),
            volume: Arc::downgrade(volume),
            count: Mutex::new(count),
        });
        let address = name.pointer() as usize;
        NAMES.insert(address, Arc::downgrade(&name));
        filter.names.fetch_add(1, Ordering::SeqCst);
        volume.io.names.live.lock().insert(address, name.clone());
        name
    }

    pub(crate) const fn pointer(&self) -> PFLT_FILE_NAME_INFORMATION {
        self.information.pointer()
    }

    /// Adds a reference; `false` if it has been freed.
    pub(crate) fn reference(&self, call: &'static str) -> bool {
        let mut count = self.count.lock();
        if count.references == 0 {
            return false;
        }
        count.references += 1;
        count.acquired.add(call);
        true
    }

    /// Releases a reference; `false` if it has been freed.
    pub(crate) fn release(&self) -> bool {
        let left = {
            let mut count = self.count.lock();
            if count.references == 0 {
                return false;
            }
            count.references -= 1;
            count.references
        };
        if left == 0 {
            self.free();
        }
        true
    }

    fn free(&self) {
        if let Some(volume) = self.volume.upgrade() {
            let names = &volume.io.names;
            let removed = names.live.lock().remove(&(self.pointer() as usize));
            if let Some(name) = removed {
                names.retire(name);
            }
        }
        self.filter.names.fetch_sub(1, Ordering::SeqCst);
        if let Some(machine) = self.filter.machine.upgrade() {
            machine.progress.notify();
        }
    }

    fn leak(&self) -> Leak {
        let count = self.count.lock();
        Leak {
            object: "file name information",
            kind: None,
            pool: None,
            size: size_of::<FLT_FILE_NAME_INFORMATION>() + self.buffer.len() * 2,
            count: count.references,
            address: self.pointer() as usize,
            acquired: count.acquired.list(),
            note: String::from_utf16_lossy(&self.buffer),
        }
    }

    /// Fills in the parts of the name.
    pub(crate) fn parse(&self) {
        let volume_units = usize::from(self.information.load().Volume.Length) / 2;
        let parts = Parts::of(&self.buffer[volume_units..]);
        let first = self.buffer.as_ptr().cast_mut();
        let at = |range: &std::ops::Range<usize>| {
            string(first, range.start + volume_units..range.end + volume_units)
        };
        self.information.modify(|information| {
            information.ParentDir = at(&parts.parent);
            information.FinalComponent = at(&parts.last);
            information.Extension = at(&parts.extension);
            information.Stream = at(&parts.stream);
            information.NamesParsed = FLTFL_FILE_NAME_PARSED_FINAL_COMPONENT
                | FLTFL_FILE_NAME_PARSED_EXTENSION
                | FLTFL_FILE_NAME_PARSED_STREAM
                | FLTFL_FILE_NAME_PARSED_PARENT_DIR;
        });
    }
}

/// Where the parts of a path lie, in units.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// With both backslashes.
    pub(crate) parent: std::ops::Range<usize>,
    /// With the stream.
    pub(crate) last: std::ops::Range<usize>,
    /// Without the dot.
    pub(crate) extension: std::ops::Range<usize>,
    /// With the colon.
    pub(crate) stream: std::ops::Range<usize>,
}

impl Parts {
    pub(crate) fn of(path: &[u16]) -> Self {
        let find = |units: &[u16], wanted: char| {
            units
                .iter()
                .position(|&unit| u32::from(unit) == wanted as u32)
        };
        let rfind = |units: &[u16], wanted: char| {
            units
                .iter()
                .rposition(|&unit| u32::from(unit) == wanted as u32)
        };
        let start = rfind(path, '\\').map_or(0, |position| position + 1);
        let stream = find(&path[start..], ':').map_or(path.len(), |position| start + position);
        let extension =
            rfind(&path[start..stream], '.').map_or(stream, |position| start + position + 1);
        Self {
            parent: 0..start,
            last: start..path.len(),
            extension: extension..stream,
            stream: stream..path.len(),
        }
    }
}

const EMPTY: UNICODE_STRING = UNICODE_STRING {
    Length: 0,
    MaximumLength: 0,
    Buffer: null_mut(),
};

/// A string that is a part of a buffer; an empty part is an empty string without one.
pub(crate) fn string(first: *mut u16, range: std::ops::Range<usize>) -> UNICODE_STRING {
    if range.is_empty() {
        return EMPTY;
    }
    let bytes = u16::try_from(range.len() * 2).unwrap_or(u16::MAX - 1);
    UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: first.wrapping_add(range.start),
    }
}

/// The path of a file object from the root of its volume, in a format.
///
/// # Errors
/// `STATUS_INVALID_PARAMETER` for a format that does not exist; `STATUS_FLT_INVALID_NAME_REQUEST`
/// once the file object is closed, and for a short name before it is open; `STATUS_NOT_SUPPORTED`
/// for short names.
pub(crate) fn path_of(
    file: &FileObject,
    options: FLT_FILE_NAME_OPTIONS,
) -> Result<String, NTSTATUS> {
    match (options & 0xFF, file.phase()) {
        (
            FLT_FILE_NAME_NORMALIZED | FLT_FILE_NAME_OPENED | FLT_FILE_NAME_SHORT,
            FilePhase::Closed,
        )
        | (FLT_FILE_NAME_SHORT, FilePhase::Unopened) => Err(STATUS_FLT_INVALID_NAME_REQUEST),
        (FLT_FILE_NAME_NORMALIZED, _) => match file.identity() {
            Some(identity) => file.volume().io.file_system.name_of(identity.open),
            None => Ok(in_format(file.path(), FLT_FILE_NAME_NORMALIZED)),
        },
        (FLT_FILE_NAME_OPENED, _) => Ok(in_format(file.path(), FLT_FILE_NAME_OPENED)),
        (FLT_FILE_NAME_SHORT, _) => Err(STATUS_NOT_SUPPORTED),
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

/// A path that the file system has not been asked about, in a format.
pub(crate) fn in_format(path: &str, format: FLT_FILE_NAME_OPTIONS) -> String {
    if format == FLT_FILE_NAME_NORMALIZED {
        tidy(without_type(path))
    } else {
        tidy(path)
    }
}

/// A path whose stream has no type, as in a normalized name; `$DATA` is the only type that goes.
fn without_type(path: &str) -> &str {
    let last = path.rfind('\\').map_or(0, |position| position + 1);
    let typed = path[last..].split_once(':').and_then(|(name, stream)| {
        let (stream, kind) = stream.split_once(':')?;
        Some((name, stream, kind))
    });
    match typed {
        Some((name, "", kind)) if kind.eq_ignore_ascii_case("$DATA") => &path[..last + name.len()],
        Some((_, _, kind)) if kind.eq_ignore_ascii_case("$DATA") => {
            &path[..path.len() - kind.len() - 1]
        }
        _ => path,
    }
}

/// A path as it was asked for, without a trailing backslash and with a leading one.
fn tidy(path: &str) -> String {
    let path = path.trim_end_matches('\\');
    if path.starts_with('\\') {
        path.to_owned()
    } else {
        format!("\\{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Parts, tidy};

    fn parts(path: &str) -> [String; 4] {
        let units: Vec<u16> = path.encode_utf16().collect();
        let parts = Parts::of(&units);
        [parts.parent, parts.last, parts.extension, parts.stream]
            .map(|range| String::from_utf16(&units[range]).unwrap())
    }

    #[test]
    fn a_name_comes_apart() {
        assert_eq!(parts("\\a\\b.c.txt:s"), ["\\a\\", "b.c.txt:s", "txt", ":s"]);
        assert_eq!(parts("\\a"), ["\\", "a", "", ""]);
        assert_eq!(parts("\\"), ["\\", "", "", ""]);
        assert_eq!(parts("\\a.b\\c"), ["\\a.b\\", "c", "", ""]);
    }

    #[test]
    fn paths_are_tidied() {
        assert_eq!(tidy("a\\"), "\\a");
        assert_eq!(tidy("\\"), "\\");
        assert_eq!(tidy(""), "\\");
    }
}
