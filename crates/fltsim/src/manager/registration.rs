//! What a minifilter registered, copied out of its memory.

use super::context::ContextKind;
use crate::config::{Config, WindowsVersion};
use fltmgr_sys::*;

/// One usable entry of a context registration array.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) kind: ContextKind,
    pub(crate) no_exact: bool,
    /// `None` for variable size.
    pub(crate) size: Option<usize>,
    pub(crate) tag: ULONG,
    pub(crate) cleanup: PFLT_CONTEXT_CLEANUP_CALLBACK,
    pub(crate) allocate: PFLT_CONTEXT_ALLOCATE_CALLBACK,
    pub(crate) free: PFLT_CONTEXT_FREE_CALLBACK,
}

/// A deep copy of an `FLT_REGISTRATION`: the original may lie in memory that goes away.
pub(crate) struct Registration {
    /// By kind, and within a kind in ascending size with the variable-size entry last.
    pub(crate) contexts: Vec<Entry>,
    /// By major function code.
    pub(crate) operations: Vec<FLT_OPERATION_REGISTRATION>,
    /// The fixed part; its two table pointers are not to be followed.
    pub(crate) callbacks: FLT_REGISTRATION,
}

// SAFETY: the pointers in the copied tables are function pointers, reserved members that are NULL,
// and two table pointers that nobody follows, so any thread may have and read them.
unsafe impl Send for Registration {}
// SAFETY: as above.
unsafe impl Sync for Registration {}

impl Registration {
    /// The entries of one kind.
    pub(crate) fn entries(&self, kind: ContextKind) -> impl Iterator<Item = (usize, &Entry)> {
        let entries = self.contexts.iter().enumerate();
        entries.filter(move |(_, entry)| entry.kind == kind)
    }

    /// The callbacks for a major function code, if the filter registered any.
    pub(crate) fn operation(&self, major: UCHAR) -> Option<&FLT_OPERATION_REGISTRATION> {
        let mut operations = self.operations.iter();
        operations.find(|operation| operation.MajorFunction == major)
    }

    /// Which entry serves an allocation.
    pub(crate) fn select(&self, kind: ContextKind, size: usize) -> Result<usize, NTSTATUS> {
        let mut variable = None;
        for (index, entry) in self.entries(kind) {
            if entry.allocate.is_some() {
                return Ok(index);
            }
            match entry.size {
                Some(fixed) if size == fixed || (entry.no_exact && size < fixed) => {
                    return Ok(index);
                }
                Some(_) => {}
                None => variable = Some(index),
            }
        }
        variable.ok_or(STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND)
    }

    /// Copies a registration and checks it.
    ///
    /// # Errors
    /// The status of `FltRegisterFilter`, and for a bad context array what is bad about it.
    ///
    /// # Safety
    /// `registration` points to an `FLT_REGISTRATION` whose two arrays, where they are not null,
    /// end with their terminators.
    pub(crate) unsafe fn copy(
        registration: *const FLT_REGISTRATION,
        config: &Config,
    ) -> Result<Self, (NTSTATUS, String)> {
        // The last members may lie beyond the end of an old version's structure, so the version is
        // read by itself and the rest only as far as that version goes.
        let version = registration.cast::<USHORT>().wrapping_add(1);
        // SAFETY: a registration by this function's contract; the version is its second member,
        // right behind a size of the same type.
        let version = unsafe { version.read() };
        if version >> 8 != FLT_REGISTRATION_VERSION >> 8 {
            let text = format!("FLT_REGISTRATION.Version is {version:#06x}");
            return Err((STATUS_INVALID_PARAMETER, text));
        }
        let mut callbacks = FLT_REGISTRATION {
            Size: 0,
            Version: version,
            Flags: 0,
            ContextRegistration: std::ptr::null(),
            OperationRegistration: std::ptr::null(),
            FilterUnloadCallback: None,
            InstanceSetupCallback: None,
            InstanceQueryTeardownCallback: None,
            InstanceTeardownStartCallback: None,
            InstanceTeardownCompleteCallback: None,
            GenerateFileNameCallback: None,
            NormalizeNameComponentCallback: None,
            NormalizeContextCleanupCallback: None,
            TransactionNotificationCallback: None,
            NormalizeNameComponentExCallback: None,
            SectionNotificationCallback: None,
        };
        let known = match version {
            FLT_REGISTRATION_VERSION_0200 | FLT_REGISTRATION_VERSION_0201 => {
                std::mem::offset_of!(FLT_REGISTRATION, TransactionNotificationCallback)
            }
            FLT_REGISTRATION_VERSION_0202 => {
                std::mem::offset_of!(FLT_REGISTRATION, SectionNotificationCallback)
            }
            _ => size_of::<FLT_REGISTRATION>(),
        };
        // SAFETY: a structure of this version has at least `known` bytes, and so has ours.
        unsafe {
            std::ptr::copy_nonoverlapping(
                registration.cast::<u8>(),
                (&raw mut callbacks).cast::<u8>(),
                known,
            );
        }
        // SAFETY: null, or an array with a terminator by this function's contract.
        let contexts = unsafe { copy_contexts(callbacks.ContextRegistration) };
        // SAFETY: as above.
        let operations = unsafe { copy_operations(callbacks.OperationRegistration) };
        let contexts = check(&contexts, version, config)
            .map_err(|text| (config.policies.invalid_registration, text))?;
        Ok(Self {
            contexts,
            operations,
            callbacks,
        })
    }
}

/// # Safety
/// `first` is null or an array that ends with `FLT_CONTEXT_END`.
unsafe fn copy_contexts(first: *const FLT_CONTEXT_REGISTRATION) -> Vec<FLT_CONTEXT_REGISTRATION> {
    let mut copied = Vec::new();
    if first.is_null() {
        return copied;
    }
    loop {
        let entry = first.wrapping_add(copied.len());
        // SAFETY: no element before this one was the terminator, so this one exists, and the kind
        // is its first member.
        let kind = unsafe { entry.cast::<FLT_CONTEXT_TYPE>().read() };
        if kind == FLT_CONTEXT_END {
            return copied;
        }
        // SAFETY: as above; only the terminator may be shorter than a whole element.
        copied.push(unsafe { entry.read() });
    }
}

/// # Safety
/// `first` is null or an array that ends with `IRP_MJ_OPERATION_END`.
unsafe fn copy_operations(
    first: *const FLT_OPERATION_REGISTRATION,
) -> Vec<FLT_OPERATION_REGISTRATION> {
    let mut copied = Vec::new();
    if first.is_null() {
        return copied;
    }
    loop {
        let entry = first.wrapping_add(copied.len());
        // SAFETY: no element before this one was the terminator, so this one exists, and the major
        // function code is its first member.
        let major = unsafe { entry.cast::<UCHAR>().read() };
        if major == IRP_MJ_OPERATION_END {
            return copied;
        }
        // SAFETY: as above.
        copied.push(unsafe { entry.read() });
    }
}

fn address<T>(callback: Option<T>) -> usize
where
    T: Copy,
{
    const { assert!(size_of::<T>() == size_of::<usize>()) };
    // SAFETY: a nullable function pointer is one pointer, and `None` is null.
    unsafe { std::mem::transmute_copy(&callback) }
}

fn identical(one: &FLT_CONTEXT_REGISTRATION, two: &FLT_CONTEXT_REGISTRATION) -> bool {
    one.ContextType == two.ContextType
        && one.Flags == two.Flags
        && address(one.ContextCleanupCallback) == address(two.ContextCleanupCallback)
        && one.Size == two.Size
        && one.PoolTag == two.PoolTag
        && address(one.ContextAllocateCallback) == address(two.ContextAllocateCallback)
        && address(one.ContextFreeCallback) == address(two.ContextFreeCallback)
        && one.Reserved1 == two.Reserved1
}

/// Applies the rules of the array and sorts what is left.
fn check(
    array: &[FLT_CONTEXT_REGISTRATION],
    version: USHORT,
    config: &Config,
) -> Result<Vec<Entry>, String> {
    let mut unique: Vec<FLT_CONTEXT_REGISTRATION> = Vec::new();
    for entry in array {
        if !unique.iter().any(|other| identical(entry, other)) {
            unique.push(*entry);
        }
    }
    let mut entries = Vec::new();
    for entry in &unique {
        entries.push(convert(entry, version, config)?);
    }
    for kind in ContextKind::ALL {
        let name = kind.name();
        let of_kind: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == kind).collect();
        let fixed: Vec<usize> = of_kind.iter().filter_map(|entry| entry.size).collect();
        if of_kind.len() > 1 && of_kind.iter().any(|entry| entry.allocate.is_some()) {
            return Err(format!(
                "an entry for {name} contexts with an allocate callback must be the only one"
            ));
        }
        if of_kind.len() - fixed.len() > 1 {
            return Err(format!("two variable-size entries for {name} contexts"));
        }
        if fixed.len() > 3 {
            return Err(format!("more than three fixed sizes for {name} contexts"));
        }
        for (index, size) in fixed.iter().enumerate() {
            if fixed[..index].contains(size) {
                return Err(format!(
                    "two different entries of {size} bytes for {name} contexts"
                ));
            }
        }
    }
    entries.sort_by_key(|entry| (entry.kind, entry.size.unwrap_or(usize::MAX)));
    Ok(entries)
}

fn convert(
    entry: &FLT_CONTEXT_REGISTRATION,
    version: USHORT,
    config: &Config,
) -> Result<Entry, String> {
    let Some(kind) = ContextKind::from_bit(entry.ContextType) else {
        return Err(format!("{:#x} is not a context type", entry.ContextType));
    };
    let name = kind.name();
    let section_missing =
        version < FLT_REGISTRATION_VERSION_0203 || config.windows < WindowsVersion::Windows10;
    if kind == ContextKind::Section && section_missing {
        return Err("section contexts need Windows 8 and registration version 0x0203".to_owned());
    }
    if entry.Flags & !FLTFL_CONTEXT_REGISTRATION_NO_EXACT_SIZE_MATCH != 0 {
        return Err(format!("flags {:#x} of {name} contexts", entry.Flags));
    }
    if !entry.Reserved1.is_null() {
        return Err(format!("Reserved1 of {name} contexts is not NULL"));
    }
    let custom = entry.ContextAllocateCallback.is_some();
    if custom != entry.ContextFreeCallback.is_some() {
        return Err(format!(
            "{name} contexts have only one of an allocate and a free callback"
        ));
    }
    let variable = entry.Size == FLT_VARIABLE_SIZED_CONTEXTS;
    if !custom {
        if !variable && entry.Size > SIZE_T::from(u16::MAX) {
            return Err(format!("{name} contexts of {} bytes", entry.Size));
        }
        let tag_is_ascii = entry.PoolTag.to_le_bytes().iter().all(u8::is_ascii);
        if !tag_is_ascii || (entry.PoolTag == 0 && config.policies.pool_tag_required) {
            return Err(format!("pool tag {:#x} of {name} contexts", entry.PoolTag));
        }
    }
    Ok(Entry {
        kind,
        no_exact: entry.Flags & FLTFL_CONTEXT_REGISTRATION_NO_EXACT_SIZE_MATCH != 0,
        size: (!custom && !variable).then(|| usize::try_from(entry.Size).unwrap_or(usize::MAX)),
        tag: entry.PoolTag,
        cleanup: entry.ContextCleanupCallback,
        allocate: entry.ContextAllocateCallback,
        free: entry.ContextFreeCallback,
    })
}
