//! Giving an open file another name.

use super::constants::FILE_RENAME_IGNORE_READONLY_ATTRIBUTE;
use super::create::{Found, Target};
use super::layout::Reader;
use super::locked::{Locked, Subject};
use super::path::VolumePath;
use super::transaction::Undo;
use crate::storage::{NodeId, NodeKind};
use fltmgr_sys::{
    FILE_ATTRIBUTE_READONLY, FILE_RENAME_POSIX_SEMANTICS, FILE_RENAME_REPLACE_IF_EXISTS, NTSTATUS,
    STATUS_ACCESS_DENIED, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
    STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_INVALID,
};

impl Locked<'_> {
    pub(super) fn rename(
        &mut self,
        subject: &Subject,
        reader: Reader<'_>,
        extended: bool,
        target: Option<&str>,
    ) -> Result<(), NTSTATUS> {
        let flags = if extended {
            reader.u32(0)?
        } else if reader.u8(0)? != 0 {
            FILE_RENAME_REPLACE_IF_EXISTS
        } else {
            0
        };
        let node = subject.place()?;
        let Some(old) = self.storage.location(node)? else {
            return Err(STATUS_INVALID_PARAMETER);
        };
        if !subject.name.is_empty() {
            return Err(STATUS_NOT_SUPPORTED);
        }
        let name = match target {
            Some(target) => target.to_owned(),
            None => self.name_in_buffer(reader, old.parent)?,
        };
        let path = VolumePath::parse(&name, false)?;
        let Some(new_name) = path.components.last() else {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        };
        if self.has_open_descendants(node)? {
            return Err(STATUS_ACCESS_DENIED);
        }
        let transaction = subject.transaction;
        self.state.transactions.check_lock(node, transaction)?;

        let (parent_names, _) = path.components.split_at(path.components.len() - 1);
        let parent = match self.walk(&path.components, transaction)? {
            // The same file under the same name, possibly in another case.
            Target::Node(existing, _) if existing == node => {
                self.directory(parent_names, subject)?
            }
            Target::Node(existing, kind) => {
                let parent = self.directory(parent_names, subject)?;
                self.may_replace(subject, existing, kind, flags)?;
                match transaction {
                    None => return self.replace(node, existing, parent, new_name),
                    Some(id) => {
                        self.delete_node(existing, transaction)?;
                        self.move_aside(existing, parent, id)?;
                    }
                }
                parent
            }
            Target::Missing { parent, found, .. } => {
                // A file that this very transaction moved or deleted may be replaced silently.
                debug_assert!(!matches!(found, Found::Entry(_)));
                self.clear_name(parent, &found, transaction)?;
                parent
            }
        };
        self.storage.rename(node, parent, new_name, false)?;
        self.state
            .transactions
            .note(transaction, Undo::Rename(node, old));
        Ok(())
    }

    /// Puts a file in the place of another, which is lost only if this succeeds.
    fn replace(
        &mut self,
        node: NodeId,
        existing: NodeId,
        parent: NodeId,
        new_name: &str,
    ) -> Result<(), NTSTATUS> {
        let path = self.path_of(existing)?;
        let old = self.storage.location(existing)?;
        let old = old.ok_or(STATUS_ACCESS_DENIED)?;
        self.hide(existing, parent)?;
        if let Err(status) = self.storage.rename(node, parent, new_name, false) {
            self.storage
                .rename(existing, old.parent, &old.name, false)?;
            return Err(status);
        }
        let file = self.state.table.file_of(existing);
        self.remove_node_now(existing)?;
        // Whoever still has it open knows it by the name it had.
        if let Some(file) = file.and_then(|file| self.state.table.file_mut(file)) {
            file.removed = Some(path);
        }
        Ok(())
    }

    /// The name that the structure holds: from the root, or of a sibling.
    fn name_in_buffer(&self, reader: Reader<'_>, parent: NodeId) -> Result<String, NTSTATUS> {
        let len = usize::try_from(reader.u32(16)?).map_err(|_| STATUS_INVALID_PARAMETER)?;
        let name = reader.name(20, len).ok_or(STATUS_OBJECT_NAME_INVALID)?;
        if name.is_empty() {
            return Err(STATUS_OBJECT_NAME_INVALID);
        }
        if name.starts_with('\\') {
            return Ok(name);
        }
        let mut path = self.path_of(parent)?;
        if !path.ends_with('\\') {
            path.push('\\');
        }
        Ok(path + &name)
    }

    fn directory(&self, names: &[String], subject: &Subject) -> Result<NodeId, NTSTATUS> {
        match self.walk(names, subject.transaction)? {
            Target::Node(node, NodeKind::Directory) => Ok(node),
            _ => Err(fltmgr_sys::STATUS_OBJECT_PATH_NOT_FOUND),
        }
    }

    /// Everything that can keep a file from being replaced by another.
    fn may_replace(
        &self,
        subject: &Subject,
        existing: NodeId,
        kind: NodeKind,
        flags: u32,
    ) -> Result<(), NTSTATUS> {
        if flags & FILE_RENAME_REPLACE_IF_EXISTS == 0 {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        }
        let metadata = self.storage.metadata(existing)?;
        let ignore_read_only = flags & FILE_RENAME_IGNORE_READONLY_ATTRIBUTE != 0;
        let read_only = metadata.attributes & FILE_ATTRIBUTE_READONLY != 0 && !ignore_read_only;
        let posix = flags & FILE_RENAME_POSIX_SEMANTICS != 0;
        let table = &self.state.table;
        let file = table.file_of(existing);
        let open = file.is_some_and(|file| table.handles(file) != 0);
        if kind == NodeKind::Directory || read_only || (open && !posix) {
            return Err(STATUS_ACCESS_DENIED);
        }
        self.state
            .transactions
            .check_lock(existing, subject.transaction)
    }

    /// Whether something below a directory is open.
    fn has_open_descendants(&self, directory: NodeId) -> Result<bool, NTSTATUS> {
        for open in self.state.opens.values().filter(|open| !open.cleaned) {
            let file = self.file(open.file)?;
            if file.removed.is_some() || file.node == directory {
                continue;
            }
            let mut at = file.node;
            while let Ok(Some(location)) = self.storage.location(at) {
                at = location.parent;
                if at == directory {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
