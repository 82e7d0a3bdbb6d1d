//! The tree of keys.

use super::RegistryValue;
use crate::storage::ticks;
use fltmgr_sys::{
    NTSTATUS, STATUS_ACCESS_DENIED, STATUS_CANNOT_DELETE, STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_PATH_NOT_FOUND,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::SystemTime;

pub(crate) const STATUS_OBJECT_PATH_SYNTAX_BAD: NTSTATUS = 0xC000_003B_u32.cast_signed();
pub(crate) const STATUS_KEY_DELETED: NTSTATUS = 0xC000_017C_u32.cast_signed();
pub(crate) const STATUS_CHILD_MUST_BE_VOLATILE: NTSTATUS = 0xC000_0181_u32.cast_signed();

/// The longest name of a key, in UTF-16 units.
const LONGEST_KEY: usize = 255;
/// The longest name of a value.
const LONGEST_VALUE: usize = 16383;

/// A key, while it exists. The number is not used again.
pub(crate) type KeyId = u64;

/// The key above all others.
pub(crate) const ROOT: KeyId = 0;

/// What every Windows has, for paths that drivers know by heart.
const KEYS: [&str; 6] = [
    r"Machine\System\ControlSet001\Control",
    r"Machine\System\ControlSet001\Services\FltMgr",
    r"Machine\Software\Microsoft\Windows NT\CurrentVersion",
    r"Machine\Hardware\DeviceMap",
    r"Machine\Hardware\Description\System",
    r"User\.Default",
];

struct Node {
    name: String,
    parent: KeyId,
    class: String,
    /// By name in upper case, which is the order that they are listed in.
    subkeys: BTreeMap<String, KeyId>,
    /// In the order that they were made.
    values: Vec<(String, RegistryValue)>,
    /// The key that this one stands for.
    link: Option<KeyId>,
    volatile: bool,
    /// In ticks of Windows.
    written: i64,
}

/// What is known of a key.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) name: String,
    /// From `\REGISTRY` on.
    pub(crate) path: String,
    pub(crate) class: String,
    pub(crate) written: i64,
    pub(crate) subkeys: Vec<KeyId>,
    pub(crate) values: Vec<(String, RegistryValue)>,
}

struct Tree {
    nodes: BTreeMap<KeyId, Node>,
    next: KeyId,
}

/// The registry of a machine. Names are found whatever their case.
pub(crate) struct Hive(Mutex<Tree>);

impl Default for Hive {
    fn default() -> Self {
        let mut tree = Tree {
            nodes: BTreeMap::new(),
            next: ROOT,
        };
        tree.insert(ROOT, "REGISTRY", "", false);
        for path in KEYS {
            tree.create_all(ROOT, path);
        }
        if let Ok(system) = tree.find(ROOT, r"Machine\System")
            && let Ok(target) = tree.find(system, "ControlSet001")
        {
            let link = tree.insert(system, "CurrentControlSet", "", true);
            if let Some(node) = tree.nodes.get_mut(&link) {
                node.link = Some(target);
            }
        }
        Self(Mutex::new(tree))
    }
}

fn now() -> i64 {
    ticks(SystemTime::now())
}

fn fold(name: &str) -> String {
    name.to_uppercase()
}

fn units(name: &str) -> usize {
    name.encode_utf16().count()
}

impl Tree {
    fn node(&self, key: KeyId) -> Result<&Node, NTSTATUS> {
        self.nodes.get(&key).ok_or(STATUS_KEY_DELETED)
    }

    fn node_mut(&mut self, key: KeyId) -> Result<&mut Node, NTSTATUS> {
        self.nodes.get_mut(&key).ok_or(STATUS_KEY_DELETED)
    }

    fn insert(&mut self, parent: KeyId, name: &str, class: &str, volatile: bool) -> KeyId {
        let key = self.next;
        self.next += 1;
        let node = Node {
            name: name.to_owned(),
            parent,
            class: class.to_owned(),
            subkeys: BTreeMap::new(),
            values: Vec::new(),
            link: None,
            volatile,
            written: now(),
        };
        self.nodes.insert(key, node);
        if key != parent
            && let Some(parent) = self.nodes.get_mut(&parent)
        {
            parent.subkeys.insert(fold(name), key);
            parent.written = now();
        }
        key
    }

    /// The subkey of a name, through a link.
    fn step(&self, key: KeyId, name: &str) -> Result<KeyId, NTSTATUS> {
        let found = self.node(key)?.subkeys.get(&fold(name));
        let found = *found.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        Ok(self.node(found)?.link.unwrap_or(found))
    }

    fn find(&self, from: KeyId, path: &str) -> Result<KeyId, NTSTATUS> {
        self.node(from)?;
        parts(path)?
            .iter()
            .try_fold(from, |key, name| self.step(key, name))
    }

    fn create_all(&mut self, from: KeyId, path: &str) -> KeyId {
        let mut key = from;
        for name in path.split('\\').filter(|name| !name.is_empty()) {
            let found = self.step(key, name);
            key = found.unwrap_or_else(|_| self.insert(key, name, "", false));
        }
        key
    }

    fn path(&self, key: KeyId) -> String {
        let mut names = Vec::new();
        let mut at = key;
        while let Some(node) = self.nodes.get(&at) {
            names.push(node.name.as_str());
            if at == ROOT {
                break;
            }
            at = node.parent;
        }
        names
            .iter()
            .rev()
            .fold(String::new(), |path, name| path + "\\" + name)
    }

    fn describe(&self, key: KeyId) -> Result<Description, NTSTATUS> {
        let node = self.node(key)?;
        Ok(Description {
            name: node.name.clone(),
            path: self.path(key),
            class: node.class.clone(),
            written: node.written,
            subkeys: node.subkeys.values().copied().collect(),
            values: node.values.clone(),
        })
    }

    fn delete(&mut self, key: KeyId) -> Result<(), NTSTATUS> {
        let node = self.node(key)?;
        if !node.subkeys.is_empty() || self.is_fixed(key) {
            return Err(STATUS_CANNOT_DELETE);
        }
        let (parent, name) = (node.parent, fold(&node.name));
        self.nodes.remove(&key);
        let parent = self.node_mut(parent)?;
        parent.subkeys.remove(&name);
        parent.written = now();
        Ok(())
    }

    /// Whether a key is the root, or one of those directly below it or below `Machine` and
    /// `User`: where hives begin.
    fn is_fixed(&self, key: KeyId) -> bool {
        let parent = |key| self.nodes.get(&key).map_or(ROOT, |node| node.parent);
        key == ROOT || parent(key) == ROOT || parent(parent(key)) == ROOT
    }
}

/// The names in a path; one blackslash at its end does no harm.
fn parts(path: &str) -> Result<Vec<&str>, NTSTATUS> {
    let path = path.strip_suffix('\\').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = path.split('\\').collect();
    if names.iter().any(|name| units(name) > LONGEST_KEY) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    if names.iter().any(|name| name.is_empty()) {
        return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
    }
    Ok(names)
}

/// What follows `\Registry` in a full path.
pub(crate) fn below_root(path: &str) -> Result<&str, NTSTATUS> {
    const NAME: &str = r"\Registry";
    let absolute = path.starts_with('\\');
    let split = path.split_at_checked(NAME.len());
    match split {
        Some((start, rest)) if start.eq_ignore_ascii_case(NAME) => match rest.strip_prefix('\\') {
            Some(rest) => Ok(rest),
            None if rest.is_empty() => Ok(""),
            None => Err(STATUS_OBJECT_PATH_NOT_FOUND),
        },
        _ if absolute => Err(STATUS_OBJECT_PATH_NOT_FOUND),
        _ => Err(STATUS_OBJECT_PATH_SYNTAX_BAD),
    }
}

impl Hive {
    /// The key at a path below another one.
    pub(crate) fn find(&self, from: KeyId, path: &str) -> Result<KeyId, NTSTATUS> {
        self.0.lock().find(from, path)
    }

    /// The key at a full path.
    pub(crate) fn find_absolute(&self, path: &str) -> Result<KeyId, NTSTATUS> {
        self.find(ROOT, below_root(path)?)
    }

    /// The key at a path below another one, made if only it is missing, and whether it was.
    pub(crate) fn create(
        &self,
        from: KeyId,
        path: &str,
        class: &str,
        volatile: bool,
    ) -> Result<(KeyId, bool), NTSTATUS> {
        let mut tree = self.0.lock();
        let names = parts(path)?;
        tree.node(from)?;
        let Some((last, above)) = names.split_last() else {
            return Ok((from, false));
        };
        let step = |key, name: &&str| tree.step(key, name);
        let parent = above.iter().try_fold(from, step)?;
        if let Ok(found) = tree.step(parent, last) {
            return Ok((found, false));
        }
        if parent == ROOT || tree.node(parent)?.parent == ROOT {
            // Hives are not made by making a key.
            return Err(STATUS_ACCESS_DENIED);
        }
        if tree.node(parent)?.volatile && !volatile {
            return Err(STATUS_CHILD_MUST_BE_VOLATILE);
        }
        Ok((tree.insert(parent, last, class, volatile), true))
    }

    /// The key at a full path, made with all above it that are missing.
    pub(crate) fn create_all(&self, path: &str) -> Result<KeyId, NTSTATUS> {
        let path = below_root(path)?;
        parts(path)?;
        Ok(self.0.lock().create_all(ROOT, path))
    }

    /// Deletes a key that has no subkeys.
    pub(crate) fn delete(&self, key: KeyId) -> Result<(), NTSTATUS> {
        self.0.lock().delete(key)
    }

    /// Whether a key cannot be deleted: where a hive begins.
    pub(crate) fn is_fixed(&self, key: KeyId) -> bool {
        self.0.lock().is_fixed(key)
    }

    /// Deletes a key and all below it.
    pub(crate) fn delete_all(&self, key: KeyId) -> Result<(), NTSTATUS> {
        fn below(tree: &mut Tree, key: KeyId) -> Result<(), NTSTATUS> {
            let subkeys: Vec<KeyId> = tree.node(key)?.subkeys.values().copied().collect();
            for subkey in subkeys {
                below(tree, subkey)?;
            }
            tree.delete(key)
        }
        let mut tree = self.0.lock();
        tree.node(key)?;
        if tree.is_fixed(key) {
            return Err(STATUS_CANNOT_DELETE);
        }
        below(&mut tree, key)
    }

    pub(crate) fn describe(&self, key: KeyId) -> Result<Description, NTSTATUS> {
        self.0.lock().describe(key)
    }

    /// The value of a name, with the name as it was first written.
    pub(crate) fn value(
        &self,
        key: KeyId,
        name: &str,
    ) -> Result<(String, RegistryValue), NTSTATUS> {
        let tree = self.0.lock();
        let wanted = fold(name);
        let mut values = tree.node(key)?.values.iter();
        let found = values.find(|(name, _)| fold(name) == wanted);
        found.cloned().ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
    }

    pub(crate) fn set(&self, key: KeyId, name: &str, value: RegistryValue) -> Result<(), NTSTATUS> {
        if units(name) > LONGEST_VALUE {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let mut tree = self.0.lock();
        let node = tree.node_mut(key)?;
        node.written = now();
        let wanted = fold(name);
        let mut values = node.values.iter_mut();
        match values.find(|(name, _)| fold(name) == wanted) {
            Some((_, old)) => *old = value,
            None => node.values.push((name.to_owned(), value)),
        }
        Ok(())
    }

    pub(crate) fn remove(&self, key: KeyId, name: &str) -> Result<(), NTSTATUS> {
        let mut tree = self.0.lock();
        let node = tree.node_mut(key)?;
        let wanted = fold(name);
        let found = node
            .values
            .iter()
            .position(|(name, _)| fold(name) == wanted);
        node.values
            .remove(found.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?);
        node.written = now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = r"\Registry\Machine\System\CurrentControlSet\Services\one";

    #[test]
    fn paths_are_followed() {
        let hive = Hive::default();
        assert_eq!(
            hive.find_absolute(SERVICE),
            Err(STATUS_OBJECT_NAME_NOT_FOUND)
        );
        let key = hive.create_all(SERVICE).unwrap();
        assert_eq!(hive.find_absolute(&SERVICE.to_uppercase()), Ok(key));
        assert_eq!(hive.find_absolute(&format!("{SERVICE}\\")), Ok(key));
        let path = r"\REGISTRY\Machine\System\ControlSet001\Services\one";
        assert_eq!(hive.describe(key).unwrap().path, path);
        assert_eq!(hive.find_absolute(r"\Registry"), Ok(ROOT));
        for (path, status) in [
            ("Registry", STATUS_OBJECT_PATH_SYNTAX_BAD),
            (r"\Registryx", STATUS_OBJECT_PATH_NOT_FOUND),
            (r"\Device\Null", STATUS_OBJECT_PATH_NOT_FOUND),
            (r"\Registry\Machine\\System", STATUS_OBJECT_PATH_SYNTAX_BAD),
        ] {
            assert_eq!(hive.find_absolute(path), Err(status), "{path}");
        }
    }

    #[test]
    fn keys_come_and_go() {
        let hive = Hive::default();
        let key = hive.create_all(SERVICE).unwrap();
        assert_eq!(
            hive.create(key, r"a\b", "", false),
            Err(STATUS_OBJECT_NAME_NOT_FOUND)
        );
        let (a, made) = hive.create(key, "a", "class", true).unwrap();
        assert!(made);
        assert_eq!(hive.create(key, "A", "", true), Ok((a, false)));
        assert_eq!(
            hive.create(key, r"a\b", "", false),
            Err(STATUS_CHILD_MUST_BE_VOLATILE)
        );
        let (b, _) = hive.create(key, r"a\b", "", true).unwrap();
        assert_eq!(hive.describe(a).unwrap().subkeys, [b]);
        assert_eq!(hive.delete(a), Err(STATUS_CANNOT_DELETE));
        hive.delete_all(a).unwrap();
        assert_eq!(hive.describe(b).unwrap_err(), STATUS_KEY_DELETED);
        assert_eq!(hive.find(b, ""), Err(STATUS_KEY_DELETED));
        assert_eq!(hive.find(key, "a"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
        assert_eq!(hive.delete(ROOT), Err(STATUS_CANNOT_DELETE));
        assert_eq!(hive.delete_all(ROOT), Err(STATUS_CANNOT_DELETE));
        assert_eq!(hive.find_absolute(SERVICE), Ok(key));
        assert_eq!(
            hive.create(ROOT, r"Machine\Mine", "", false),
            Err(STATUS_ACCESS_DENIED)
        );
    }

    #[test]
    fn values_come_and_go() {
        let hive = Hive::default();
        let key = hive.create_all(SERVICE).unwrap();
        hive.set(key, "Start", RegistryValue::dword(3)).unwrap();
        hive.set(key, "Type", RegistryValue::dword(2)).unwrap();
        hive.set(key, "START", RegistryValue::dword(0)).unwrap();
        let found = hive.value(key, "start").unwrap();
        assert_eq!(found, ("Start".to_owned(), RegistryValue::dword(0)));
        hive.remove(key, "start").unwrap();
        assert_eq!(hive.remove(key, "start"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
        assert_eq!(hive.describe(key).unwrap().values.len(), 1);
        let long = "x".repeat(16384);
        let value = RegistryValue::dword(1);
        assert_eq!(hive.set(key, &long, value), Err(STATUS_INVALID_PARAMETER));
    }
}
