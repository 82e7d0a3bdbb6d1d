//! The stack of a volume, and descriptions of filters, instances and volumes.

#![allow(
    non_upper_case_globals,
    reason = "information classes are named as in the C headers"
)]

use super::{bad_pointer, enter, exports, filter, instance, volume, write};
use crate::kernel::{scope, string};
use crate::manager::instance::compare_altitudes;
use crate::manager::{Filter, Instance, Volume};
use fltmgr_sys::*;
use std::cmp::Ordering;
use std::sync::Arc;

/// One description: numbers at their offsets, and names.
struct Record(Vec<u8>);

impl Record {
    /// A structure of this size without names.
    fn new(size: usize, numbers: &[(usize, u32)]) -> Self {
        let mut bytes = vec![0; size];
        for (at, number) in numbers {
            bytes[*at..*at + 4].copy_from_slice(&number.to_le_bytes());
        }
        Self(bytes)
    }

    fn put(&mut self, at: usize, number: usize) {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        self.0[at..at + 2].copy_from_slice(&number.to_le_bytes());
    }

    /// Adds a name behind everything; its length and its offset have their places.
    fn name(mut self, length_at: usize, offset_at: usize, name: &str) -> Self {
        let start = self.0.len();
        self.put(offset_at, start);
        self.0
            .extend(name.encode_utf16().flat_map(u16::to_le_bytes));
        self.put(length_at, self.0.len() - start);
        self
    }

    /// Adds the name that the structure ends with.
    fn inline(mut self, length_at: usize, start: usize, name: &str) -> Self {
        self.0.truncate(start);
        self.0
            .extend(name.encode_utf16().flat_map(u16::to_le_bytes));
        self.put(length_at, self.0.len() - start);
        self
    }
}

fn of_filter(filter: &Filter, class: FILTER_INFORMATION_CLASS) -> Result<Record, NTSTATUS> {
    let count = u32::try_from(filter.instances.lock().len()).unwrap_or(u32::MAX);
    match class {
        FilterFullInformation => Ok(Record::new(16, &[(8, count)]).inline(12, 14, &filter.name)),
        FilterAggregateBasicInformation => {
            let numbers = [(4, FLTFL_AGGREGATE_INFO_IS_MINIFILTER), (12, count)];
            let record = Record::new(24, &numbers).name(16, 18, &filter.name);
            Ok(record.name(20, 22, filter.altitude()))
        }
        FilterAggregateStandardInformation => {
            let numbers = [(4, FLTFL_ASI_IS_MINIFILTER), (16, count)];
            let record = Record::new(28, &numbers).name(20, 22, &filter.name);
            Ok(record.name(24, 26, filter.altitude()))
        }
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

fn of_instance(of: &Instance, class: INSTANCE_INFORMATION_CLASS) -> Result<Record, NTSTATUS> {
    let (name, altitude) = (&of.name, &of.altitude);
    let (volume, filter) = (&of.volume.name, &of.filter.name);
    match class {
        InstanceBasicInformation => Ok(Record::new(8, &[]).name(4, 6, name)),
        InstancePartialInformation => {
            let record = Record::new(12, &[]).name(4, 6, name);
            Ok(record.name(8, 10, altitude))
        }
        InstanceFullInformation => {
            let record = Record::new(20, &[]).name(4, 6, name);
            let record = record.name(8, 10, altitude).name(12, 14, volume);
            Ok(record.name(16, 18, filter))
        }
        InstanceAggregateStandardInformation => {
            let file_system = of.volume.personality.filesystem_type.cast_unsigned();
            let numbers = [(4, FLTFL_IASI_IS_MINIFILTER), (16, file_system)];
            let record = Record::new(40, &numbers).name(20, 22, name);
            let record = record.name(24, 26, altitude).name(28, 30, volume);
            Ok(record.name(32, 34, filter))
        }
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

fn of_volume(of: &Volume, class: FILTER_VOLUME_INFORMATION_CLASS) -> Result<Record, NTSTATUS> {
    match class {
        FilterVolumeBasicInformation => Ok(Record::new(4, &[]).inline(0, 2, &of.name)),
        FilterVolumeStandardInformation => {
            let file_system = of.personality.filesystem_type.cast_unsigned();
            Ok(Record::new(20, &[(12, file_system)]).inline(16, 18, &of.name))
        }
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

/// The caller's buffer.
struct Target {
    buffer: PVOID,
    size: ULONG,
    returned: *mut ULONG,
}

impl Target {
    /// Copies a description; what does not fit is only measured.
    ///
    /// # Safety
    /// The buffer has its size, and the place for the length may be written to.
    unsafe fn give(&self, record: Result<Record, NTSTATUS>) -> NTSTATUS {
        let record = match record {
            Ok(Record(bytes)) => bytes,
            Err(status) => return status,
        };
        let length = ULONG::try_from(record.len()).unwrap_or(ULONG::MAX);
        // SAFETY: by this function's contract.
        unsafe { write(self.returned, length) };
        if self.buffer.is_null() || self.size < length {
            return STATUS_BUFFER_TOO_SMALL;
        }
        let target = self.buffer.cast::<u8>();
        // SAFETY: the buffer has room for it, as was checked.
        unsafe { target.copy_from_nonoverlapping(record.as_ptr(), record.len()) };
        STATUS_SUCCESS
    }
}

/// What stands at an index, counted from 0.
fn at<T: Clone>(list: &[T], index: ULONG) -> Result<T, NTSTATUS> {
    list.get(index as usize)
        .cloned()
        .ok_or(STATUS_NO_MORE_ENTRIES)
}

/// Hands out a referenced instance of a stack.
///
/// # Safety
/// `returned` is null or may be written to.
unsafe fn hand_out(
    call: &'static str,
    found: Option<&Arc<Instance>>,
    returned: *mut PFLT_INSTANCE,
) -> NTSTATUS {
    let Some(found) = found else {
        return STATUS_NO_MORE_ENTRIES;
    };
    if let Err(status) = found.references.acquire(call) {
        return status;
    }
    // SAFETY: by this function's contract.
    unsafe { write(returned, found.pointer()) };
    STATUS_SUCCESS
}

/// Hands out one end of the stack of a volume.
///
/// # Safety
/// `returned` is null or may be written to.
unsafe fn end(
    call: &'static str,
    of: PFLT_VOLUME,
    returned: *mut PFLT_INSTANCE,
    choose: impl Fn(&[Arc<Instance>]) -> Option<&Arc<Instance>>,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    unsafe { write(returned, std::ptr::null_mut()) };
    let Some((machine, of)) = volume(call, "Volume", of) else {
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    if of.is_dismounted() {
        return STATUS_FLT_DELETING_OBJECT;
    }
    // SAFETY: as above.
    unsafe { hand_out(call, choose(&of.stack()), returned) }
}

/// Hands out the instance beside another in its stack.
///
/// # Safety
/// `returned` is null or may be written to.
unsafe fn neighbour(
    call: &'static str,
    of: PFLT_INSTANCE,
    returned: *mut PFLT_INSTANCE,
    above: bool,
) -> NTSTATUS {
    // SAFETY: by this function's contract.
    unsafe { write(returned, std::ptr::null_mut()) };
    let Some((machine, of)) = instance(call, "CurrentInstance", of) else {
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    let wanted = if above {
        Ordering::Greater
    } else {
        Ordering::Less
    };
    let mut stack = of.volume.stack();
    stack.retain(|other| compare_altitudes(&other.altitude, &of.altitude) == wanted);
    let found = if above { stack.last() } else { stack.first() };
    // SAFETY: as above.
    unsafe { hand_out(call, found, returned) }
}

exports! {
    /// The highest instance of a volume; the caller owns a reference.
    unsafe fn FltGetTopInstance(of: PFLT_VOLUME, returned: *mut PFLT_INSTANCE) -> NTSTATUS {
        // SAFETY: the caller passes a place for the result.
        unsafe { end("FltGetTopInstance", of, returned, <[_]>::first) }
    }

    /// The lowest instance of a volume; the caller owns a reference.
    unsafe fn FltGetBottomInstance(of: PFLT_VOLUME, returned: *mut PFLT_INSTANCE) -> NTSTATUS {
        // SAFETY: the caller passes a place for the result.
        unsafe { end("FltGetBottomInstance", of, returned, <[_]>::last) }
    }

    /// The next instance above; the caller owns a reference.
    unsafe fn FltGetUpperInstance(of: PFLT_INSTANCE, returned: *mut PFLT_INSTANCE) -> NTSTATUS {
        // SAFETY: the caller passes a place for the result.
        unsafe { neighbour("FltGetUpperInstance", of, returned, true) }
    }

    /// The next instance below; the caller owns a reference.
    unsafe fn FltGetLowerInstance(of: PFLT_INSTANCE, returned: *mut PFLT_INSTANCE) -> NTSTATUS {
        // SAFETY: the caller passes a place for the result.
        unsafe { neighbour("FltGetLowerInstance", of, returned, false) }
    }

    /// Compares the altitudes of two instances: negative, zero or positive.
    unsafe fn FltCompareInstanceAltitudes(one: PFLT_INSTANCE, other: PFLT_INSTANCE) -> LONG {
        const CALL: &str = "FltCompareInstanceAltitudes";
        let one = instance(CALL, "Instance1", one);
        let other = instance(CALL, "Instance2", other);
        let Some(((machine, one), (_, other))) = one.zip(other) else {
            return 0;
        };
        enter(&machine, CALL);
        compare_altitudes(&one.altitude, &other.altitude) as LONG
    }

    /// Describes a filter.
    unsafe fn FltGetFilterInformation(
        of: PFLT_FILTER,
        class: FILTER_INFORMATION_CLASS,
        buffer: PVOID,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetFilterInformation";
        let Some((machine, of)) = filter(CALL, "Filter", of) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let target = Target { buffer, size, returned };
        // SAFETY: the caller passes a buffer of this size, and a place for the length.
        unsafe { target.give(of_filter(&of, class)) }
    }

    /// Describes an instance.
    unsafe fn FltGetInstanceInformation(
        of: PFLT_INSTANCE,
        class: INSTANCE_INFORMATION_CLASS,
        buffer: PVOID,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetInstanceInformation";
        let Some((machine, of)) = instance(CALL, "Instance", of) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let target = Target { buffer, size, returned };
        // SAFETY: the caller passes a buffer of this size, and a place for the length.
        unsafe { target.give(of_instance(&of, class)) }
    }

    /// Describes a volume.
    unsafe fn FltGetVolumeInformation(
        of: PFLT_VOLUME,
        class: FILTER_VOLUME_INFORMATION_CLASS,
        buffer: PVOID,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetVolumeInformation";
        let Some((machine, of)) = volume(CALL, "Volume", of) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let target = Target { buffer, size, returned };
        // SAFETY: the caller passes a buffer of this size, and a place for the length.
        unsafe { target.give(of_volume(&of, class)) }
    }

    /// Describes the filter at an index, the highest altitude first.
    unsafe fn FltEnumerateFilterInformation(
        index: ULONG,
        class: FILTER_INFORMATION_CLASS,
        buffer: PVOID,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnumerateFilterInformation";
        let Some(machine) = scope::machine() else {
            return STATUS_NO_MORE_ENTRIES;
        };
        enter(&machine, CALL);
        let mut filters = machine.filters.read().clone();
        filters.sort_by(|one, two| compare_altitudes(two.altitude(), one.altitude()));
        let found = at(&filters, index).and_then(|found| of_filter(&found, class));
        let target = Target { buffer, size, returned };
        // SAFETY: the caller passes a buffer of this size, and a place for the length.
        unsafe { target.give(found) }
    }

    /// Describes the instance of a filter at an index.
    unsafe fn FltEnumerateInstanceInformationByFilter(
        of: PFLT_FILTER,
        index: ULONG,
        class: INSTANCE_INFORMATION_CLASS,
        buffer: PVOID,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnumerateInstanceInformationByFilter";
        let Some((machine, of)) = filter(CALL, "Filter", of) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let mut stack = of.instances.lock().clone();
        stack.retain(|instance| !instance.is_deleting());
        let found = at(&stack, index).and_then(|found| of_instance(&found, class));
        let target = Target { buffer, size, returned };
        // SAFETY: the caller passes a buffer of this size, and a place for the length.
        unsafe { target.give(found) }
    }

    /// Describes the instance of a volume at an index, the highest first.
    unsafe fn FltEnumerateInstanceInformationByVolume(
        of: PFLT_VOLUME,
        index: ULONG,
        class: INSTANCE_INFORMATION_CLASS,
        buffer: PVOID,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnumerateInstanceInformationByVolume";
        let Some((machine, of)) = volume(CALL, "Volume", of) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let found = at(&of.stack(), index).and_then(|found| of_instance(&found, class));
        let target = Target { buffer, size, returned };
        // SAFETY: the caller passes a buffer of this size, and a place for the length.
        unsafe { target.give(found) }
    }

    /// The same, of a volume by its name.
    unsafe fn FltEnumerateInstanceInformationByVolumeName(
        name: PUNICODE_STRING,
        index: ULONG,
        class: INSTANCE_INFORMATION_CLASS,
        buffer: PVOID,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnumerateInstanceInformationByVolumeName";
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) };
        let Some((machine, name)) = scope::machine().zip(name) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let volumes = machine.mounted();
        let same = |volume: &&Arc<Volume>| volume.name.to_lowercase() == name.to_lowercase();
        let Some(of) = volumes.iter().find(same) else {
            return STATUS_FLT_VOLUME_NOT_FOUND;
        };
        let found = at(&of.stack(), index).and_then(|found| of_instance(&found, class));
        let target = Target { buffer, size, returned };
        // SAFETY: the caller passes a buffer of this size, and a place for the length.
        unsafe { target.give(found) }
    }

    /// The same, of a volume by its device object.
    unsafe fn FltEnumerateInstanceInformationByDeviceObject(
        device: PDEVICE_OBJECT,
        index: ULONG,
        class: INSTANCE_INFORMATION_CLASS,
        buffer: PVOID,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnumerateInstanceInformationByDeviceObject";
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let of = machine.volume_of_device(device);
        let Some(of) = of.filter(|volume| !volume.is_dismounted()) else {
            bad_pointer(CALL, "DeviceObject", device as usize, "device object of a volume");
            return STATUS_INVALID_PARAMETER;
        };
        let found = at(&of.stack(), index).and_then(|found| of_instance(&found, class));
        let target = Target { buffer, size, returned };
        // SAFETY: the caller passes a buffer of this size, and a place for the length.
        unsafe { target.give(found) }
    }

    /// Describes the volume at an index.
    unsafe fn FltEnumerateVolumeInformation(
        owner: PFLT_FILTER,
        index: ULONG,
        class: FILTER_VOLUME_INFORMATION_CLASS,
        buffer: PVOID,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnumerateVolumeInformation";
        let Some((machine, _)) = filter(CALL, "Filter", owner) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let found = at(&machine.mounted(), index).and_then(|found| of_volume(&found, class));
        let target = Target { buffer, size, returned };
        // SAFETY: the caller passes a buffer of this size, and a place for the length.
        unsafe { target.give(found) }
    }
}
