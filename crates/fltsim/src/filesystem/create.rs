//! Opening and creating.

use super::ccb::Open;
use super::constants::{
    FILE_ALL_ACCESS, GENERIC_ALL, GENERIC_EXECUTE, GENERIC_READ, GENERIC_WRITE, MAXIMUM_ALLOWED,
};
use super::locked::Locked;
use super::path::VolumePath;
use super::transaction::{Sight, Undo};
use super::{CreateRequest, OpenId, Opened, TransactionId};
use crate::storage::{Entry, Metadata, NodeId, NodeKind};
use fltmgr_sys::{
    DELETE, FILE_APPEND_DATA, FILE_ATTRIBUTE_ARCHIVE, FILE_ATTRIBUTE_HIDDEN,
    FILE_ATTRIBUTE_NOT_CONTENT_INDEXED, FILE_ATTRIBUTE_OFFLINE, FILE_ATTRIBUTE_READONLY,
    FILE_ATTRIBUTE_SYSTEM, FILE_ATTRIBUTE_TEMPORARY, FILE_CREATE, FILE_CREATED,
    FILE_DELETE_ON_CLOSE, FILE_DIRECTORY_FILE, FILE_GENERIC_EXECUTE, FILE_GENERIC_READ,
    FILE_GENERIC_WRITE, FILE_NON_DIRECTORY_FILE, FILE_OPEN, FILE_OPENED, FILE_OVERWRITE,
    FILE_OVERWRITE_IF, FILE_OVERWRITTEN, FILE_SUPERSEDE, FILE_SUPERSEDED, FILE_WRITE_DATA,
    NTSTATUS, STATUS_ACCESS_DENIED, STATUS_CANNOT_DELETE, STATUS_DELETE_PENDING,
    STATUS_FILE_IS_A_DIRECTORY, STATUS_INVALID_PARAMETER, STATUS_NOT_A_DIRECTORY,
    STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_NAME_INVALID, STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_OBJECT_PATH_NOT_FOUND, STATUS_SHARING_VIOLATION, STATUS_VOLUME_DISMOUNTED, ULONG_PTR,
};

/// The attributes that a caller may choose.
pub(super) const SETTABLE_ATTRIBUTES: u32 = FILE_ATTRIBUTE_READONLY
    | FILE_ATTRIBUTE_HIDDEN
    | FILE_ATTRIBUTE_SYSTEM
    | FILE_ATTRIBUTE_ARCHIVE
    | FILE_ATTRIBUTE_TEMPORARY
    | FILE_ATTRIBUTE_OFFLINE
    | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED;

/// The rights that let an open change what others see of a file.
pub(super) const MODIFYING: u32 = FILE_WRITE_DATA | FILE_APPEND_DATA | DELETE;

/// What a name stands for, to someone.
#[derive(Debug)]
pub(super) enum Found {
    Entry(Entry),
    Missing,
    /// His own transaction has deleted it; the name can be had after moving this aside.
    DeletedHere(NodeId),
    /// Another transaction has created it; the name cannot be had.
    Foreign,
}

/// Where a path leads.
#[derive(Debug)]
pub(super) enum Target {
    Node(NodeId, NodeKind),
    Missing {
        parent: NodeId,
        name: String,
        found: Found,
    },
}

impl Locked<'_> {
    pub(super) fn create(&mut self, request: &CreateRequest<'_>) -> Result<Opened, NTSTATUS> {
        if !self.state.mounted {
            return Err(STATUS_VOLUME_DISMOUNTED);
        }
        let access = resolve_access(request.desired_access);
        check_options(request, access)?;
        if let Some(id) = request.transaction {
            self.check_transactions()?;
            self.state.transactions.get_mut(id)?;
        }
        let path = VolumePath::parse(request.path, self.personality.alternate_streams)?;
        let target = match request.by_id {
            Some(id) => self.by_id(NodeId(id), request.transaction)?,
            None => self.walk(&path.components, request.transaction)?,
        };
        match target {
            Target::Node(_, NodeKind::File) if path.directory_only => {
                Err(STATUS_OBJECT_NAME_INVALID)
            }
            Target::Node(node, kind) if path.stream.is_empty() => {
                self.open_existing(request, access, node, kind)
            }
            Target::Node(node, kind) => {
                self.open_named_stream(request, access, node, kind, &path.stream)
            }
            Target::Missing {
                parent,
                name,
                found,
            } => {
                if path.directory_only && request.options & FILE_DIRECTORY_FILE == 0 {
                    return Err(if creates(request.disposition) {
                        STATUS_OBJECT_NAME_INVALID
                    } else {
                        STATUS_OBJECT_NAME_NOT_FOUND
                    });
                }
                self.create_new(request, access, (parent, &name, found), &path.stream)
            }
        }
    }

    fn by_id(&self, node: NodeId, viewer: Option<TransactionId>) -> Result<Target, NTSTATUS> {
        let metadata = self.storage.metadata(node);
        let metadata = metadata.map_err(|_| STATUS_INVALID_PARAMETER)?;
        match self.state.transactions.sight(node, viewer) {
            Sight::Visible => Ok(Target::Node(node, metadata.kind)),
            _ => Err(STATUS_INVALID_PARAMETER),
        }
    }

    /// Follows names from the root.
    pub(super) fn walk(
        &self,
        components: &[String],
        viewer: Option<TransactionId>,
    ) -> Result<Target, NTSTATUS> {
        let root = self.storage.root();
        let Some((last, parents)) = components.split_last() else {
            return Ok(Target::Node(root, NodeKind::Directory));
        };
        let mut parent = root;
        for name in parents {
            match self.find(parent, name, viewer)? {
                Found::Entry(entry) if entry.kind == NodeKind::Directory => parent = entry.node,
                _ => return Err(STATUS_OBJECT_PATH_NOT_FOUND),
            }
        }
        match self.find(parent, last, viewer)? {
            Found::Entry(entry) => Ok(Target::Node(entry.node, entry.kind)),
            found => Ok(Target::Missing {
                parent,
                name: last.clone(),
                found,
            }),
        }
    }

    fn find(
        &self,
        parent: NodeId,
        name: &str,
        viewer: Option<TransactionId>,
    ) -> Result<Found, NTSTATUS> {
        let entry = match self
            .storage
            .lookup(parent, name, self.personality.case_sensitive)
        {
            Ok(entry) => entry,
            Err(STATUS_OBJECT_NAME_NOT_FOUND) => return Ok(Found::Missing),
            Err(status) => return Err(status),
        };
        Ok(match self.state.transactions.sight(entry.node, viewer) {
            Sight::Visible => Found::Entry(entry),
            Sight::DeletedHere => Found::DeletedHere(entry.node),
            Sight::Foreign | Sight::Aside => Found::Foreign,
        })
    }

    /// Makes a missing name free for someone to use.
    pub(super) fn clear_name(
        &mut self,
        parent: NodeId,
        found: &Found,
        transaction: Option<TransactionId>,
    ) -> Result<(), NTSTATUS> {
        match (found, transaction) {
            (Found::Missing, _) => Ok(()),
            (Found::DeletedHere(node), Some(id)) => self.move_aside(*node, parent, id),
            _ => Err(STATUS_SHARING_VIOLATION),
        }
    }

    /// Takes the name of a file that a transaction has deleted, so that it can be used again.
    pub(super) fn move_aside(
        &mut self,
        node: NodeId,
        parent: NodeId,
        id: TransactionId,
    ) -> Result<(), NTSTATUS> {
        let old = self.storage.location(node)?;
        let old = old.ok_or(STATUS_CANNOT_DELETE)?;
        self.hide(node, parent)?;
        let transaction = self.state.transactions.get_mut(id)?;
        transaction.aside.insert(node);
        transaction.undo.push(Undo::Rename(node, old));
        Ok(())
    }

    /// Gives a file a name that nobody uses.
    pub(super) fn hide(&mut self, node: NodeId, parent: NodeId) -> Result<(), NTSTATUS> {
        loop {
            self.state.last_aside += 1;
            let name = format!(".fltsim-aside-{}", self.state.last_aside);
            match self.storage.rename(node, parent, &name, false) {
                Err(STATUS_OBJECT_NAME_COLLISION) => {}
                result => return result,
            }
        }
    }

    fn create_new(
        &mut self,
        request: &CreateRequest<'_>,
        access: u32,
        (parent, name, found): (NodeId, &str, Found),
        stream: &str,
    ) -> Result<Opened, NTSTATUS> {
        if !creates(request.disposition) {
            return Err(STATUS_OBJECT_NAME_NOT_FOUND);
        }
        let directory = request.options & FILE_DIRECTORY_FILE != 0;
        if directory && !stream.is_empty() {
            return Err(STATUS_NOT_A_DIRECTORY);
        }
        let holder = self.state.table.file_of(parent);
        if holder.is_some_and(|file| {
            let file = self.state.table.file(file);
            file.is_some_and(|file| file.delete_pending.is_some())
        }) {
            return Err(STATUS_DELETE_PENDING);
        }
        let delete_on_close = request.options & FILE_DELETE_ON_CLOSE != 0;
        if delete_on_close && request.attributes & FILE_ATTRIBUTE_READONLY != 0 {
            return Err(STATUS_CANNOT_DELETE);
        }
        self.clear_name(parent, &found, request.transaction)?;
        let kind = if directory {
            NodeKind::Directory
        } else {
            NodeKind::File
        };
        let node = self.storage.create(parent, name, kind)?;
        if let Err(status) = self.furnish(request, node, kind, stream) {
            // The name must not stay when the create fails; the first failure is the answer.
            let _ = self.storage.remove(node);
            return Err(status);
        }
        if let Some(id) = request.transaction {
            let transaction = self.state.transactions.get_mut(id)?;
            transaction.created.insert(node);
            transaction.undo.push(Undo::Create(node));
        }
        self.opened(request, access, node, kind, stream, FILE_CREATED)
    }

    /// Gives a new node its attributes and its stream.
    fn furnish(
        &self,
        request: &CreateRequest<'_>,
        node: NodeId,
        kind: NodeKind,
        stream: &str,
    ) -> Result<(), NTSTATUS> {
        let mut attributes = request.attributes & SETTABLE_ATTRIBUTES;
        if kind == NodeKind::File {
            attributes |= FILE_ATTRIBUTE_ARCHIVE;
        }
        if attributes != 0 {
            self.storage.set_attributes(node, attributes)?;
        }
        if stream.is_empty() {
            Ok(())
        } else {
            self.storage.create_stream(node, stream)
        }
    }

    fn open_existing(
        &mut self,
        request: &CreateRequest<'_>,
        access: u32,
        node: NodeId,
        kind: NodeKind,
    ) -> Result<Opened, NTSTATUS> {
        if request.disposition == FILE_CREATE {
            return Err(STATUS_OBJECT_NAME_COLLISION);
        }
        let overwrites = overwrites(request.disposition);
        // Without a name it is the volume, which is no directory, although its root is one.
        let is_volume = request.path.is_empty() && request.by_id.is_none();
        let wants = |option| request.options & option != 0;
        match kind {
            NodeKind::Directory if overwrites || wants(FILE_NON_DIRECTORY_FILE) && !is_volume => {
                return Err(STATUS_FILE_IS_A_DIRECTORY);
            }
            _ if wants(FILE_DIRECTORY_FILE) && (is_volume || kind == NodeKind::File) => {
                return Err(STATUS_NOT_A_DIRECTORY);
            }
            _ => {}
        }
        let metadata = self.may_open(request, access, node, kind, "")?;
        let information = if overwrites {
            self.overwrite(request, node, &metadata)?
        } else {
            FILE_OPENED
        };
        self.opened(request, access, node, kind, "", information)
    }

    fn open_named_stream(
        &mut self,
        request: &CreateRequest<'_>,
        access: u32,
        node: NodeId,
        kind: NodeKind,
        stream: &str,
    ) -> Result<Opened, NTSTATUS> {
        if request.options & FILE_DIRECTORY_FILE != 0 {
            return Err(STATUS_NOT_A_DIRECTORY);
        }
        let existing = self.storage.streams(node)?;
        let stored = existing
            .into_iter()
            .map(|(name, _)| name)
            .find(|name| !name.is_empty() && self.same_name(name, stream));
        let Some(stored) = stored else {
            if !creates(request.disposition) {
                return Err(STATUS_OBJECT_NAME_NOT_FOUND);
            }
            self.may_open(request, access | FILE_WRITE_DATA, node, kind, stream)?;
            self.storage.create_stream(node, stream)?;
            if let Some(id) = request.transaction {
                let key = (node, stream.to_owned());
                let transaction = self.state.transactions.get_mut(id)?;
                transaction.created_streams.insert(key.clone());
                transaction.undo.push(Undo::CreateStream(key));
            }
            return self.opened(request, access, node, kind, stream, FILE_CREATED);
        };
        let key = (node, stored);
        let sight = self
            .state
            .transactions
            .stream_sight(&key, request.transaction);
        match sight {
            Sight::Visible if request.disposition == FILE_CREATE => {
                return Err(STATUS_OBJECT_NAME_COLLISION);
            }
            Sight::Visible => {}
            _ if !creates(request.disposition) => return Err(STATUS_OBJECT_NAME_NOT_FOUND),
            Sight::DeletedHere => return Err(STATUS_DELETE_PENDING),
            Sight::Foreign | Sight::Aside => return Err(STATUS_SHARING_VIOLATION),
        }
        let stream = key.1;
        self.may_open(request, access, node, kind, &stream)?;
        let mut opened = self.opened(request, access, node, kind, &stream, FILE_OPENED)?;
        if overwrites(request.disposition) {
            let subject = self.subject(opened.open)?;
            if let Err(status) = self.set_stream_len(&subject, 0) {
                self.undo_open(opened.open);
                return Err(status);
            }
            opened.information = count(overwritten(request.disposition));
        }
        Ok(opened)
    }

    /// Everything that can keep an existing stream from being opened.
    fn may_open(
        &self,
        request: &CreateRequest<'_>,
        access: u32,
        node: NodeId,
        kind: NodeKind,
        stream: &str,
    ) -> Result<Metadata, NTSTATUS> {
        let table = &self.state.table;
        let file = table.file_of(node);
        if file.is_some_and(|file| {
            let file = table.file(file);
            file.is_some_and(|file| file.delete_pending.is_some())
        }) {
            return Err(STATUS_DELETE_PENDING);
        }
        let structure = table
            .stream_of(node, |other| self.same_name(other, stream))
            .and_then(|stream| table.stream(stream));
        if structure.is_some_and(|stream| stream.delete_pending.is_some()) {
            return Err(STATUS_DELETE_PENDING);
        }
        let metadata = self.storage.metadata(node)?;
        let overwrites = overwrites(request.disposition);
        let read_only = metadata.attributes & FILE_ATTRIBUTE_READONLY != 0;
        if read_only && kind == NodeKind::File {
            if request.options & FILE_DELETE_ON_CLOSE != 0 {
                return Err(STATUS_CANNOT_DELETE);
            }
            // Asking for whatever is allowed is no reason to be refused.
            let asked = request.desired_access & MAXIMUM_ALLOWED == 0;
            if overwrites || (asked && access & (FILE_WRITE_DATA | FILE_APPEND_DATA) != 0) {
                return Err(STATUS_ACCESS_DENIED);
            }
        }
        if request.options & FILE_DELETE_ON_CLOSE != 0 && node == self.storage.root() {
            return Err(STATUS_CANNOT_DELETE);
        }
        let kept = metadata.attributes & (FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM);
        if overwrites && stream.is_empty() && kept & !request.attributes != 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        // To put a new file in the place of another is to write or delete it.
        let effective = access
            | match request.disposition {
                FILE_SUPERSEDE => DELETE,
                FILE_OVERWRITE | FILE_OVERWRITE_IF => FILE_WRITE_DATA,
                _ => 0,
            };
        self.check_transactional(node, effective, request.transaction)?;
        if let Some(stream) = structure.filter(|_| !request.ignores_sharing) {
            stream.share.check(effective, request.share.into())?;
        }
        Ok(metadata)
    }

    /// Whether a transaction keeps an open from modifying a node.
    fn check_transactional(
        &self,
        node: NodeId,
        access: u32,
        transaction: Option<TransactionId>,
    ) -> Result<(), NTSTATUS> {
        // Entries of a directory come and go without the directory's own consent.
        if access & MODIFYING == 0 || self.storage.metadata(node)?.kind == NodeKind::Directory {
            return Ok(());
        }
        self.state.transactions.check_lock(node, transaction)?;
        let file = self.state.table.file_of(node);
        if let (Some(file), Some(_)) = (file, transaction) {
            let mut opens = self.state.opens.values();
            if opens.any(|open| {
                open.file == file
                    && !open.cleaned
                    && open.transaction != transaction
                    && open.access & MODIFYING != 0
            }) {
                return Err(STATUS_SHARING_VIOLATION);
            }
        }
        Ok(())
    }

    /// Empties an existing file and gives it new attributes; its named streams go.
    fn overwrite(
        &mut self,
        request: &CreateRequest<'_>,
        node: NodeId,
        metadata: &Metadata,
    ) -> Result<ULONG_PTR, NTSTATUS> {
        let attributes = (request.attributes & SETTABLE_ATTRIBUTES) | FILE_ATTRIBUTE_ARCHIVE;
        if let Some(id) = request.transaction {
            let undo = Undo::Attributes(node, metadata.attributes, metadata.times);
            let transaction = self.state.transactions.get_mut(id)?;
            transaction.locks.insert(node);
            transaction
                .shadows
                .insert((node, String::new()), Vec::new());
            self.state.transactions.note(request.transaction, undo);
        } else {
            self.storage.set_len(node, "", 0)?;
        }
        for (name, _) in self.visible_streams(node, request.transaction)? {
            let structure = self.state.table.stream_of(node, |other| other == name);
            let open = structure
                .and_then(|stream| self.state.table.stream(stream))
                .is_some_and(|stream| stream.opens != 0);
            if !name.is_empty() && !open {
                self.delete_stream(node, &name, request.transaction)?;
            }
        }
        let attributes = match request.disposition {
            FILE_SUPERSEDE => attributes,
            _ => attributes | metadata.attributes,
        };
        if attributes != metadata.attributes {
            self.storage.set_attributes(node, attributes)?;
        }
        Ok(overwritten(request.disposition))
    }

    /// The structures and the open of a stream that was found or made.
    fn opened(
        &mut self,
        request: &CreateRequest<'_>,
        access: u32,
        node: NodeId,
        kind: NodeKind,
        stream: &str,
        information: ULONG_PTR,
    ) -> Result<Opened, NTSTATUS> {
        if let Some(id) = request.transaction
            && (access & MODIFYING != 0 || information != FILE_OPENED)
            && kind == NodeKind::File
        {
            self.state.transactions.get_mut(id)?.locks.insert(node);
        }
        let case_sensitive = self.personality.case_sensitive;
        let same = |other: &str| {
            if case_sensitive {
                other == stream
            } else {
                crate::storage::fold(other) == crate::storage::fold(stream)
            }
        };
        let (file, id) = self.state.table.ensure(node, kind, stream, same);
        let share = u32::from(request.share);
        let counted = if request.ignores_sharing { 0 } else { access };
        if let Some(stream) = self.state.table.stream_mut(id) {
            stream.share.add(counted, share);
            stream.opens += 1;
            stream.handles += 1;
        }
        self.state.last_open += 1;
        let open = OpenId(self.state.last_open);
        let directory = kind == NodeKind::Directory && stream.is_empty();
        self.state.opens.insert(
            open,
            Open {
                stream: id,
                file,
                access,
                counted,
                share,
                options: request.options,
                transaction: request.transaction,
                directory,
                delete_on_close: request.options & FILE_DELETE_ON_CLOSE != 0,
                posix_delete: false,
                cleaned: false,
                position: 0,
                enumeration: None,
            },
        );
        Ok(Opened {
            open,
            stream: id,
            file,
            information: count(information),
            directory,
            paging_file: request.paging_file,
        })
    }

    /// Takes an open back that must not have happened. Its structures stay for the next one.
    fn undo_open(&mut self, id: OpenId) {
        if let Some(open) = self.state.opens.remove(&id)
            && let Some(stream) = self.state.table.stream_mut(open.stream)
        {
            stream.share.remove(open.counted, open.share);
            stream.opens -= 1;
            stream.handles -= 1;
        }
    }
}

fn creates(disposition: u32) -> bool {
    !matches!(disposition, FILE_OPEN | FILE_OVERWRITE)
}

fn overwrites(disposition: u32) -> bool {
    matches!(
        disposition,
        FILE_SUPERSEDE | FILE_OVERWRITE | FILE_OVERWRITE_IF
    )
}

fn overwritten(disposition: u32) -> ULONG_PTR {
    if disposition == FILE_SUPERSEDE {
        FILE_SUPERSEDED
    } else {
        FILE_OVERWRITTEN
    }
}

/// What the I/O status carries, as a number of this process.
fn count(information: ULONG_PTR) -> usize {
    usize::try_from(information).unwrap_or(0)
}

/// Generic rights as those of files.
fn resolve_access(desired: u32) -> u32 {
    const GENERIC: u32 =
        GENERIC_ALL | GENERIC_EXECUTE | GENERIC_WRITE | GENERIC_READ | MAXIMUM_ALLOWED;
    let mut access = desired & !GENERIC;
    for (generic, rights) in [
        (GENERIC_READ, FILE_GENERIC_READ),
        (GENERIC_WRITE, FILE_GENERIC_WRITE),
        (GENERIC_EXECUTE, FILE_GENERIC_EXECUTE),
        (GENERIC_ALL | MAXIMUM_ALLOWED, FILE_ALL_ACCESS),
    ] {
        if desired & generic != 0 {
            access |= rights;
        }
    }
    access
}

fn check_options(request: &CreateRequest<'_>, access: u32) -> Result<(), NTSTATUS> {
    let directory = request.options & FILE_DIRECTORY_FILE != 0;
    let file = request.options & FILE_NON_DIRECTORY_FILE != 0;
    let deletes = request.options & FILE_DELETE_ON_CLOSE != 0;
    if request.disposition > FILE_OVERWRITE_IF
        || (directory && file)
        || (directory && overwrites(request.disposition))
        || (deletes && access & DELETE == 0)
    {
        return Err(STATUS_INVALID_PARAMETER);
    }
    Ok(())
}
