//! Security descriptors: one for each file or directory, whichever of its streams is open.
//!
//! They are kept here and not in the storage, so a host directory is not changed by them. Until one
//! is set, a file has what the system gives its own objects. Nobody is kept out by a descriptor:
//! opens are not checked against it.

use super::OpenId;
use super::constants::FILE_ALL_ACCESS;
use super::locked::{Locked, Subject};
use super::transaction::Undo;
use crate::kernel::descriptor::Captured;
use crate::storage::NodeId;
use fltmgr_sys::{
    ACCESS_MASK, ACCESS_SYSTEM_SECURITY, DACL_SECURITY_INFORMATION, GROUP_SECURITY_INFORMATION,
    LABEL_SECURITY_INFORMATION, NTSTATUS, OWNER_SECURITY_INFORMATION, READ_CONTROL,
    SACL_SECURITY_INFORMATION, SECURITY_INFORMATION, STATUS_ACCESS_DENIED,
    STATUS_INVALID_DEVICE_REQUEST, WRITE_DAC, WRITE_OWNER,
};

/// The parts that whoever may take the ownership may set.
const OWNERSHIP: SECURITY_INFORMATION =
    OWNER_SECURITY_INFORMATION | GROUP_SECURITY_INFORMATION | LABEL_SECURITY_INFORMATION;

/// The rights that some parts of a descriptor ask for.
fn rights(
    information: SECURITY_INFORMATION,
    needs: [(SECURITY_INFORMATION, ACCESS_MASK); 3],
) -> ACCESS_MASK {
    needs
        .iter()
        .filter(|(parts, _)| information & parts != 0)
        .fold(0, |rights, (_, right)| rights | right)
}

impl Locked<'_> {
    /// What an open is about, if it has the rights to ask for or change something of its security.
    ///
    /// All pages ask this of file objects too, not only of handles.
    fn securable(&self, open: OpenId, rights: ACCESS_MASK) -> Result<Subject, NTSTATUS> {
        let subject = self.usable(open)?;
        if !self.personality.security {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        if subject.access & rights != rights {
            return Err(STATUS_ACCESS_DENIED);
        }
        Ok(subject)
    }

    fn descriptor(&self, node: NodeId) -> Captured {
        let known = self.state.table.descriptor(node).cloned();
        known.unwrap_or_else(|| Captured::of_the_system(FILE_ALL_ACCESS))
    }

    pub(super) fn query_security(
        &self,
        open: OpenId,
        information: SECURITY_INFORMATION,
    ) -> Result<Vec<u8>, NTSTATUS> {
        let needs = [
            (OWNERSHIP, READ_CONTROL),
            (DACL_SECURITY_INFORMATION, READ_CONTROL),
            (SACL_SECURITY_INFORMATION, ACCESS_SYSTEM_SECURITY),
        ];
        let subject = self.securable(open, rights(information, needs))?;
        let descriptor = self.descriptor(subject.node);
        Ok(descriptor.select(information).self_relative())
    }

    pub(super) fn set_security(
        &mut self,
        open: OpenId,
        information: SECURITY_INFORMATION,
        descriptor: &[u8],
    ) -> Result<(), NTSTATUS> {
        let needs = [
            (OWNERSHIP, WRITE_OWNER),
            (DACL_SECURITY_INFORMATION, WRITE_DAC),
            (SACL_SECURITY_INFORMATION, ACCESS_SYSTEM_SECURITY),
        ];
        let subject = self.securable(open, rights(information, needs))?;
        let node = subject.node;
        let mut changed = self.descriptor(node);
        changed.replace(information, &Captured::parse(descriptor)?)?;
        self.state
            .transactions
            .check_lock(node, subject.transaction)?;
        let old = self.state.table.set_descriptor(node, Some(changed));
        let undo = Undo::Security(node, old);
        self.state.transactions.note(subject.transaction, undo);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
