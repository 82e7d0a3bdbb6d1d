//! What is done with keys, as the routines of drivers are told of it.

use super::filter::{self, Class};
use super::hive::{KeyId, ROOT, below_root};
use super::notice::{self, CREATE_KEY, OPEN_KEY};
use super::{Key, RegistryValue};
use crate::kernel::handle::{KernelObject, downcast};
use crate::kernel::string::Owned;
use crate::machine::Inner;
use crate::manager::{Object, find};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::sync::Arc;

const CREATED_NEW_KEY: ULONG = 1;
const OPENED_EXISTING_KEY: ULONG = 2;

/// Which key is opened or made, and how.
#[derive(Default)]
pub(crate) struct Opening {
    /// The key that the path begins at; that of all keys if there is none.
    pub(crate) root: Option<Arc<Key>>,
    /// The path as it is given.
    pub(crate) name: String,
    pub(crate) access: ACCESS_MASK,
    pub(crate) attributes: ULONG,
    pub(crate) options: ULONG,
    pub(crate) class: String,
    pub(crate) volatile: bool,
}

impl Opening {
    /// A key at a full path.
    pub(crate) fn absolute(path: &str) -> Self {
        Self {
            name: path.to_owned(),
            ..Self::default()
        }
    }

    /// A key below another one.
    pub(crate) fn below(root: &Arc<Key>, name: &str) -> Self {
        Self {
            root: Some(Arc::clone(root)),
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Where the path begins, and the path from there.
    fn from(&self) -> Result<(KeyId, &str), NTSTATUS> {
        match &self.root {
            Some(root) => Ok((root.id, &self.name)),
            None => Ok((ROOT, below_root(&self.name)?)),
        }
    }
}

/// Opens a key that is there. Whoever opens it has to release it.
pub(crate) fn open(machine: &Arc<Inner>, opening: &Opening) -> Result<Arc<Key>, NTSTATUS> {
    let (from, path) = opening.from()?;
    let perform = || Ok((machine.registry.find(from, path)?, OPENED_EXISTING_KEY));
    let (key, _) = run(machine, OPEN_KEY, opening, perform)?;
    Ok(key)
}

/// Opens a key, made if only the last part of its path is missing, and whether it was
/// (`REG_CREATED_NEW_KEY`, `REG_OPENED_EXISTING_KEY`).
pub(crate) fn create(
    machine: &Arc<Inner>,
    opening: &Opening,
) -> Result<(Arc<Key>, ULONG), NTSTATUS> {
    let (from, path) = opening.from()?;
    run(machine, CREATE_KEY, opening, || {
        let hive = &machine.registry;
        let (id, made) = hive.create(from, path, &opening.class, opening.volatile)?;
        Ok((id, disposition(made)))
    })
}

fn disposition(made: bool) -> ULONG {
    if made {
        CREATED_NEW_KEY
    } else {
        OPENED_EXISTING_KEY
    }
}

/// Opens the key at a full path, made with all above it that are missing.
pub(crate) fn create_all(machine: &Arc<Inner>, path: &str) -> Result<Arc<Key>, NTSTATUS> {
    let hive = &machine.registry;
    // What is above the first key that is missing need not be made.
    let ends = path.match_indices('\\').map(|(at, _)| at);
    let above: Vec<&str> = ends.map(|at| &path[..at]).collect();
    for above in above {
        if above.is_empty() || hive.find_absolute(above).is_ok() {
            continue;
        }
        let opening = Opening::absolute(above);
        let perform = || Ok((hive.create_all(above)?, CREATED_NEW_KEY));
        let (key, _) = run(machine, CREATE_KEY, &opening, perform)?;
        key.release(machine);
    }
    let opening = Opening::absolute(path);
    let (key, _) = run(machine, CREATE_KEY, &opening, || {
        let made = hive.find_absolute(path).is_err();
        Ok((hive.create_all(path)?, disposition(made)))
    })?;
    Ok(key)
}

/// Opens or makes a key, with the routines told.
fn run(
    machine: &Arc<Inner>,
    class: Class,
    opening: &Opening,
    perform: impl FnOnce() -> Result<(KeyId, ULONG), NTSTATUS>,
) -> Result<(Arc<Key>, ULONG), NTSTATUS> {
    if !machine.registry_filters.is_told() {
        let (id, what) = perform()?;
        return Ok((Key::create(machine, id), what));
    }
    let top = opening.root.is_none().then(|| Key::create(machine, ROOT));
    let root = opening.root.as_ref().or(top.as_ref());
    let names = [&*opening.name, opening.from()?.1, &opening.class].map(Owned::new);
    let [complete, remaining, class_name] = names.each_ref().map(|name| name.pointer() as usize);
    let (mut result, mut what) = (0_usize, 0);
    let (result_at, what_at) = (&raw mut result, &raw mut what);
    let mut notice = notice::Create {
        complete_name: complete,
        root: root.map_or(0, |root| root.address()),
        options: opening.options,
        class: if opening.class.is_empty() {
            0
        } else {
            class_name
        },
        desired: opening.access,
        disposition: what_at as usize,
        result: result_at as usize,
        version: 1,
        remaining_name: remaining,
        attributes: opening.attributes,
        ..notice::Create::default()
    };
    let status = filter::run(machine, class, &mut notice, |notice| match perform() {
        Ok((id, found)) => {
            // SAFETY: the two places above.
            unsafe { result_at.write(Key::create(machine, id).address()) };
            // SAFETY: as above.
            unsafe { what_at.write(found) };
            notice.granted = notice.desired;
            STATUS_SUCCESS
        }
        Err(status) => status,
    });
    if let Some(top) = top {
        top.abandon();
    }
    // SAFETY: a place above; a routine may have written to it.
    let result = unsafe { result_at.read() };
    // SAFETY: as above.
    let what = unsafe { what_at.read() };
    let key = find(result)
        .and_then(Object::kernel)
        .and_then(downcast::<Key>);
    let wrong = |text: &str| {
        let text = format!("a registry callback {text}");
        machine
            .verifier
            .violation(Rule::V0, "RegistryCallback", text);
    };
    match key {
        Some(key) if nt_success(status) => Ok((key, what)),
        None if nt_success(status) => {
            wrong("made the operation succeed without a ResultObject");
            Err(STATUS_UNSUCCESSFUL)
        }
        Some(key) => {
            wrong("made the operation fail and left the ResultObject");
            key.release(machine);
            Err(status)
        }
        None => Err(status),
    }
}

fn status(result: Result<(), NTSTATUS>) -> NTSTATUS {
    result.err().unwrap_or(STATUS_SUCCESS)
}

/// What is done with an open key that has no other parameters.
fn of_key(
    machine: &Arc<Inner>,
    class: Class,
    key: &Key,
    perform: impl FnOnce() -> Result<(), NTSTATUS>,
) -> NTSTATUS {
    let mut notice = notice::OfKey {
        object: key.address(),
        ..notice::OfKey::default()
    };
    filter::run(machine, class, &mut notice, |_| status(perform()))
}

/// Deletes a key without subkeys.
pub(crate) fn delete(machine: &Arc<Inner>, key: &Key) -> NTSTATUS {
    of_key(machine, notice::DELETE_KEY, key, || {
        machine.registry.delete(key.id)
    })
}

/// Writes a key to the disk, which there is none of.
pub(crate) fn flush(machine: &Arc<Inner>, key: &Key) -> NTSTATUS {
    of_key(machine, notice::FLUSH_KEY, key, || {
        machine.registry.describe(key.id).map(|_| ())
    })
}

/// The last handle of a key is closed.
pub(crate) fn close(machine: &Arc<Inner>, key: &Key) {
    of_key(machine, notice::CLOSE_HANDLE, key, || {
        filter::clean_up(machine, key.address());
        Ok(())
    });
}

/// Writes a value.
pub(crate) fn set(
    machine: &Arc<Inner>,
    key: &Key,
    name: &str,
    title: ULONG,
    value: RegistryValue,
) -> NTSTATUS {
    let own = Owned::new(name);
    // The routines still look at it when the value is in the registry.
    let shown = value.data.clone();
    let mut notice = notice::SetValue {
        object: key.address(),
        name: own.pointer() as usize,
        title,
        kind: value.kind,
        data: shown.as_ptr() as usize,
        length: ULONG::try_from(shown.len()).unwrap_or(ULONG::MAX),
        ..notice::SetValue::default()
    };
    filter::run(machine, notice::SET_VALUE, &mut notice, |_| {
        status(machine.registry.set(key.id, name, value))
    })
}

/// Deletes a value.
pub(crate) fn remove(machine: &Arc<Inner>, key: &Key, name: &str) -> NTSTATUS {
    let own = Owned::new(name);
    let mut notice = notice::DeleteValue {
        object: key.address(),
        name: own.pointer() as usize,
        ..notice::DeleteValue::default()
    };
    filter::run(machine, notice::DELETE_VALUE, &mut notice, |_| {
        status(machine.registry.remove(key.id, name))
    })
}
