//! What can be asked about the volume.

use super::constants::{
    FILE_CASE_PRESERVED_NAMES, FILE_CASE_SENSITIVE_SEARCH, FILE_DEVICE_IS_MOUNTED,
    FILE_NAMED_STREAMS, FILE_PERSISTENT_ACLS, FILE_REMOTE_DEVICE, FILE_SUPPORTS_OPEN_BY_FILE_ID,
    FILE_SUPPORTS_TRANSACTIONS, FILE_UNICODE_ON_DISK,
};
use super::information::SERIAL_NUMBER;
use super::layout::{Writer, deliver, len32, utf16};
use super::locked::Locked;
use fltmgr_sys::{
    FLT_FSTYPE_LANMAN, FS_INFORMATION_CLASS, FileFsAttributeInformation, FileFsDeviceInformation,
    FileFsFullSizeInformation, FileFsLabelInformation, FileFsSizeInformation,
    FileFsVolumeInformation, NTSTATUS, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_INFO_CLASS,
    STATUS_INVALID_VOLUME_LABEL, STATUS_VOLUME_DISMOUNTED,
};

/// What a volume is labelled at first.
pub(super) const LABEL: &str = "fltsim";

/// The longest label, in bytes.
const MAX_LABEL: usize = 64;

/// Bytes in a cluster.
const CLUSTER: u64 = 4096;

impl Locked<'_> {
    pub(super) fn query_volume_information(
        &self,
        class: FS_INFORMATION_CLASS,
        buffer: &mut [u8],
    ) -> Result<usize, NTSTATUS> {
        if !self.state.mounted {
            return Err(STATUS_VOLUME_DISMOUNTED);
        }
        let (bytes, minimum) = match class {
            FileFsVolumeInformation => {
                let created = self.storage.metadata(self.storage.root())?.times.creation;
                let label = &self.state.label;
                let volume = Writer::default()
                    .i64(created)
                    .u32(SERIAL_NUMBER)
                    .u32(len32(label))
                    .u8(self.personality.alternate_streams.into())
                    .pad_to(18)
                    .bytes(label);
                (volume.finish(), 24)
            }
            FileFsSizeInformation => {
                let (total, free, sectors) = self.clusters()?;
                let size = Writer::default().u64(total).u64(free);
                let size = size.u32(sectors).u32(self.personality.sector_size);
                (size.finish(), 24)
            }
            FileFsFullSizeInformation => {
                let (total, free, sectors) = self.clusters()?;
                let size = Writer::default().u64(total).u64(free).u64(free);
                let size = size.u32(sectors).u32(self.personality.sector_size);
                (size.finish(), 32)
            }
            FileFsDeviceInformation => {
                let remote = self.personality.filesystem_type == FLT_FSTYPE_LANMAN;
                let remote = if remote { FILE_REMOTE_DEVICE } else { 0 };
                let device = Writer::default()
                    .u32(self.personality.device_type)
                    .u32(FILE_DEVICE_IS_MOUNTED | remote);
                (device.finish(), 8)
            }
            FileFsAttributeInformation => {
                let name = utf16(self.personality.name);
                let attributes = Writer::default()
                    .u32(self.capabilities())
                    .u32(255)
                    .u32(len32(&name))
                    .bytes(&name);
                (attributes.finish(), 16)
            }
            _ => return Err(STATUS_INVALID_INFO_CLASS),
        };
        deliver(&bytes, minimum, buffer)
    }

    pub(super) fn set_volume_information(
        &mut self,
        class: FS_INFORMATION_CLASS,
        buffer: &[u8],
    ) -> Result<(), NTSTATUS> {
        if !self.state.mounted {
            return Err(STATUS_VOLUME_DISMOUNTED);
        }
        if class != FileFsLabelInformation {
            return Err(STATUS_INVALID_INFO_CLASS);
        }
        let (length, label) = buffer
            .split_first_chunk()
            .ok_or(STATUS_INFO_LENGTH_MISMATCH)?;
        let length = usize::try_from(u32::from_le_bytes(*length));
        let length = length.map_err(|_| STATUS_INVALID_VOLUME_LABEL)?;
        if length > MAX_LABEL || length % 2 != 0 {
            return Err(STATUS_INVALID_VOLUME_LABEL);
        }
        let label = label.get(..length).ok_or(STATUS_INFO_LENGTH_MISMATCH)?;
        self.state.label = label.to_vec();
        Ok(())
    }

    fn clusters(&self) -> Result<(u64, u64, u32), NTSTATUS> {
        let capacity = self.storage.capacity()?;
        let sector = u64::from(self.personality.sector_size.max(1));
        let sectors = u32::try_from((CLUSTER / sector).max(1)).unwrap_or(1);
        let cluster = u64::from(sectors) * sector;
        Ok((capacity.total / cluster, capacity.free / cluster, sectors))
    }

    fn capabilities(&self) -> u32 {
        let personality = self.personality;
        let mut flags =
            FILE_CASE_PRESERVED_NAMES | FILE_UNICODE_ON_DISK | FILE_SUPPORTS_OPEN_BY_FILE_ID;
        for (has, flag) in [
            (personality.case_sensitive, FILE_CASE_SENSITIVE_SEARCH),
            (personality.security, FILE_PERSISTENT_ACLS),
            (personality.alternate_streams, FILE_NAMED_STREAMS),
            (personality.transactions, FILE_SUPPORTS_TRANSACTIONS),
        ] {
            if has {
                flags |= flag;
            }
        }
        flags
    }
}
