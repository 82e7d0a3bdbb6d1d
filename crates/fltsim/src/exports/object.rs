//! References on filters, instances and volumes; look-up and enumeration.

use super::{driver, enter, exports, file_object, filter, instance, volume, write};
use crate::kernel::{scope, string};
use crate::machine::Inner;
use crate::manager::filter::release_instance;
use crate::manager::{Filter, Instance, Object, Volume, find};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;
use std::sync::Arc;

/// Takes a rundown reference on whatever it is.
fn acquire(object: &Object, call: &'static str) -> Result<(), NTSTATUS> {
    match object {
        Object::Filter(filter) => filter.references.acquire(call),
        Object::Instance(instance) => instance.references.acquire(call),
        Object::Volume(volume) => volume.references.acquire(call),
        _ => Err(STATUS_INVALID_PARAMETER),
    }
}

/// The driver's pointer for an object.
fn pointer(object: &Object) -> PVOID {
    match object {
        Object::Filter(filter) => filter.pointer().cast(),
        Object::Instance(instance) => instance.pointer().cast(),
        Object::Volume(volume) => volume.pointer().cast(),
        _ => null_mut(),
    }
}

/// Returns a referenced object, or why not; the out-parameter is NULL then.
///
/// # Safety
/// `returned` is null or may be written to.
unsafe fn hand_out<T>(
    call: &'static str,
    object: Result<Object, NTSTATUS>,
    returned: *mut *mut T,
) -> NTSTATUS {
    let acquired = object.and_then(|object| acquire(&object, call).map(|()| object));
    let (status, result) = match acquired {
        Ok(object) => (STATUS_SUCCESS, pointer(&object).cast()),
        Err(status) => (status, null_mut()),
    };
    // SAFETY: null or writable by this function's contract.
    unsafe { write(returned, result) };
    status
}

/// Returns referenced objects in an array.
///
/// # Safety
/// `list` has room for `size` pointers, or is null; `returned` may be written to.
unsafe fn hand_out_all<T>(
    call: &'static str,
    objects: Vec<Object>,
    list: *mut *mut T,
    size: ULONG,
    returned: *mut ULONG,
) -> NTSTATUS {
    let room = if list.is_null() { 0 } else { size as usize };
    if objects.len() > room {
        let count = ULONG::try_from(objects.len()).unwrap_or(ULONG::MAX);
        // SAFETY: writable by this function's contract.
        unsafe { write(returned, count) };
        return STATUS_BUFFER_TOO_SMALL;
    }
    let mut count = 0;
    for object in objects {
        if acquire(&object, call).is_ok() {
            // SAFETY: `count` is below the room that the list has.
            unsafe { write(list.wrapping_add(count as usize), pointer(&object).cast()) };
            count += 1;
        }
    }
    // SAFETY: as above.
    unsafe { write(returned, count) };
    STATUS_SUCCESS
}

fn same_name(one: &str, two: &str) -> bool {
    one.to_lowercase() == two.to_lowercase()
}

/// Every instance of a filter, a volume, or both.
fn instances(
    machine: &Inner,
    filter: Option<&Filter>,
    volume: Option<&Volume>,
) -> Vec<Arc<Instance>> {
    let volumes = machine.mounted();
    let wanted = volumes
        .iter()
        .filter(|one| volume.is_none_or(|volume| volume.id == one.id));
    wanted
        .flat_map(|volume| volume.stack())
        .filter(|one| filter.is_none_or(|filter| filter.id == one.filter.id))
        .collect()
}

fn not_deleting(instance: &Arc<Instance>) -> Result<(), NTSTATUS> {
    if instance.is_deleting() {
        Err(STATUS_FLT_DELETING_OBJECT)
    } else {
        Ok(())
    }
}

/// Hands out a device of a volume, referenced.
///
/// # Safety
/// `returned` is null or may be written to.
unsafe fn hand_out_device(
    call: &'static str,
    on: PFLT_VOLUME,
    returned: *mut PDEVICE_OBJECT,
    device: impl Fn(&Volume) -> Option<PDEVICE_OBJECT>,
) -> NTSTATUS {
    let Some((machine, on)) = volume(call, "Volume", on) else {
        return STATUS_INVALID_PARAMETER;
    };
    enter(&machine, call);
    let Some(device) = device(&on) else {
        return STATUS_FLT_NO_DEVICE_OBJECT;
    };
    if let Some(object) = find(device as usize).and_then(Object::kernel) {
        object.reference(call);
    }
    // SAFETY: by this function's contract.
    unsafe { write(returned, device) };
    STATUS_SUCCESS
}

exports! {
    /// Takes a rundown reference on a filter, instance or volume.
    unsafe fn FltObjectReference(object: PVOID) -> NTSTATUS {
        const CALL: &str = "FltObjectReference";
        let found = find(object as usize);
        let known = matches!(
            found,
            Some(Object::Filter(_) | Object::Instance(_) | Object::Volume(_))
        );
        let Some(found) = found.filter(|_| known) else {
            super::bad_pointer(CALL, "FltObject", object as usize, "filter, instance or volume");
            return STATUS_INVALID_PARAMETER;
        };
        if let Some(machine) = found.machine() {
            enter(&machine, CALL);
        }
        match acquire(&found, CALL) {
            Ok(()) => STATUS_SUCCESS,
            Err(status) => status,
        }
    }

    /// Gives a rundown reference back.
    unsafe fn FltObjectDereference(object: PVOID) {
        const CALL: &str = "FltObjectDereference";
        let found = find(object as usize);
        let machine = found.as_ref().and_then(Object::machine);
        if let Some(machine) = &machine {
            enter(machine, CALL);
        }
        let released = match &found {
            Some(Object::Filter(filter)) => filter.references.release().is_some(),
            Some(Object::Volume(volume)) => volume.references.release().is_some(),
            Some(Object::Instance(instance)) => release_instance(instance),
            _ => {
                let wanted = "filter, instance or volume";
                super::bad_pointer(CALL, "FltObject", object as usize, wanted);
                return;
            }
        };
        let Some(machine) = machine else {
            return;
        };
        machine.progress.notify();
        if !released {
            let name = found.map_or("object", |found| found.name());
            let text = format!("{name} {object:p} has no references");
            machine.verifier.violation(Rule::V20, CALL, text);
        }
    }

    /// Finds a filter by name.
    unsafe fn FltGetFilterFromName(
        name: PCUNICODE_STRING,
        returned: *mut PFLT_FILTER,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetFilterFromName";
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) };
        let (Some(machine), Some(name)) = (scope::machine(), name) else {
            // SAFETY: the caller passes a place for the result.
            unsafe { write(returned, null_mut()) };
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let filters = machine.filters.read().clone();
        let found = filters.into_iter().find(|one| same_name(&one.name, &name));
        let found = found.map(Object::Filter).ok_or(STATUS_FLT_FILTER_NOT_FOUND);
        // SAFETY: as above.
        unsafe { hand_out(CALL, found, returned) }
    }

    /// The filter of an instance.
    unsafe fn FltGetFilterFromInstance(
        of: PFLT_INSTANCE,
        returned: *mut PFLT_FILTER,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetFilterFromInstance";
        let found = instance(CALL, "Instance", of).ok_or(STATUS_INVALID_PARAMETER);
        let found = found.and_then(|(machine, of)| {
            enter(&machine, CALL);
            not_deleting(&of)?;
            Ok(Object::Filter(Arc::clone(&of.filter)))
        });
        // SAFETY: the caller passes a place for the result.
        unsafe { hand_out(CALL, found, returned) }
    }

    /// Finds a volume by name.
    unsafe fn FltGetVolumeFromName(
        owner: PFLT_FILTER,
        name: PCUNICODE_STRING,
        returned: *mut PFLT_VOLUME,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetVolumeFromName";
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) }.unwrap_or_default();
        let found = filter(CALL, "Filter", owner).ok_or(STATUS_INVALID_PARAMETER);
        let found = found.and_then(|(machine, _)| {
            enter(&machine, CALL);
            let volumes = machine.mounted();
            let found = volumes.into_iter().find(|one| same_name(&one.name, &name));
            found.map(Object::Volume).ok_or(STATUS_FLT_VOLUME_NOT_FOUND)
        });
        // SAFETY: the caller passes a place for the result.
        unsafe { hand_out(CALL, found, returned) }
    }

    /// The volume of an instance.
    unsafe fn FltGetVolumeFromInstance(
        of: PFLT_INSTANCE,
        returned: *mut PFLT_VOLUME,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetVolumeFromInstance";
        let found = instance(CALL, "Instance", of).ok_or(STATUS_INVALID_PARAMETER);
        let found = found.and_then(|(machine, of)| {
            enter(&machine, CALL);
            not_deleting(&of)?;
            Ok(Object::Volume(Arc::clone(&of.volume)))
        });
        // SAFETY: the caller passes a place for the result.
        unsafe { hand_out(CALL, found, returned) }
    }

    /// The volume of a file object.
    unsafe fn FltGetVolumeFromFileObject(
        owner: PFLT_FILTER,
        file: PFILE_OBJECT,
        returned: *mut PFLT_VOLUME,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetVolumeFromFileObject";
        let owner = filter(CALL, "Filter", owner);
        let file = file_object(CALL, "FileObject", file);
        let found = match (owner, file) {
            (Some((machine, _)), Some((_, file))) => {
                enter(&machine, CALL);
                Ok(Object::Volume(Arc::clone(file.volume())))
            }
            _ => Err(STATUS_INVALID_PARAMETER),
        };
        // SAFETY: the caller passes a place for the result.
        unsafe { hand_out(CALL, found, returned) }
    }

    /// The volume of a device object.
    unsafe fn FltGetVolumeFromDeviceObject(
        owner: PFLT_FILTER,
        device: PDEVICE_OBJECT,
        returned: *mut PFLT_VOLUME,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetVolumeFromDeviceObject";
        let found = filter(CALL, "Filter", owner).ok_or(STATUS_INVALID_PARAMETER);
        let found = found.and_then(|(machine, _)| {
            enter(&machine, CALL);
            match machine.volume_of_device(device) {
                None => Err(STATUS_INVALID_PARAMETER),
                Some(volume) if volume.is_dismounted() => Err(STATUS_FLT_DELETING_OBJECT),
                Some(volume) => Ok(Object::Volume(volume)),
            }
        });
        // SAFETY: the caller passes a place for the result.
        unsafe { hand_out(CALL, found, returned) }
    }

    /// Finds an instance of a filter on a volume, by name or the highest one.
    unsafe fn FltGetVolumeInstanceFromName(
        owner: PFLT_FILTER,
        on: PFLT_VOLUME,
        name: PCUNICODE_STRING,
        returned: *mut PFLT_INSTANCE,
    ) -> NTSTATUS {
        const CALL: &str = "FltGetVolumeInstanceFromName";
        // SAFETY: the caller passes a string or NULL.
        let name = unsafe { string::read(name) };
        let owner = if owner.is_null() {
            None
        } else {
            filter(CALL, "Filter", owner)
        };
        let found = volume(CALL, "Volume", on).ok_or(STATUS_INVALID_PARAMETER);
        let found = found.and_then(|(machine, on)| {
            enter(&machine, CALL);
            let owner = owner.as_ref().map(|(_, filter)| &**filter);
            let all = instances(&machine, owner, Some(&on));
            let found = all.into_iter().find(|one| {
                let named = name.as_deref();
                named.is_none_or(|name| one.is_named(name))
            });
            found
                .map(Object::Instance)
                .ok_or(STATUS_FLT_INSTANCE_NOT_FOUND)
        });
        // SAFETY: the caller passes a place for the result.
        unsafe { hand_out(CALL, found, returned) }
    }

    /// Lists the filters.
    unsafe fn FltEnumerateFilters(
        list: *mut PFLT_FILTER,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnumerateFilters";
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let filters = machine.filters.read().clone();
        let all = filters
            .into_iter()
            .filter(|filter| !filter.references.is_deleting())
            .map(Object::Filter)
            .collect();
        // SAFETY: the caller passes a list of that size and a place for the count.
        unsafe { hand_out_all(CALL, all, list, size, returned) }
    }

    /// Lists the volumes.
    unsafe fn FltEnumerateVolumes(
        owner: PFLT_FILTER,
        list: *mut PFLT_VOLUME,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnumerateVolumes";
        let Some((machine, _)) = filter(CALL, "Filter", owner) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let volumes = machine.mounted();
        let all = volumes.into_iter().map(Object::Volume).collect();
        // SAFETY: the caller passes a list of that size and a place for the count.
        unsafe { hand_out_all(CALL, all, list, size, returned) }
    }

    /// Lists the instances of a filter, a volume or both.
    unsafe fn FltEnumerateInstances(
        on: PFLT_VOLUME,
        owner: PFLT_FILTER,
        list: *mut PFLT_INSTANCE,
        size: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "FltEnumerateInstances";
        let on = (!on.is_null()).then(|| volume(CALL, "Volume", on)).flatten();
        let owner = (!owner.is_null())
            .then(|| filter(CALL, "Filter", owner))
            .flatten();
        let machine = on.as_ref().map(|(machine, _)| machine);
        let machine = machine.or(owner.as_ref().map(|(machine, _)| machine));
        let Some(machine) = machine else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(machine, CALL);
        let all = instances(
            machine,
            owner.as_ref().map(|(_, filter)| &**filter),
            on.as_ref().map(|(_, volume)| &**volume),
        );
        let all = all
            .into_iter()
            .filter(|instance| !instance.is_deleting())
            .map(Object::Instance)
            .collect();
        // SAFETY: the caller passes a list of that size and a place for the count.
        unsafe { hand_out_all(CALL, all, list, size, returned) }
    }

    /// The device object of a volume, referenced.
    unsafe fn FltGetDeviceObject(on: PFLT_VOLUME, returned: *mut PDEVICE_OBJECT) -> NTSTATUS {
        let device = |on: &Volume| Some(on.device());
        // SAFETY: the caller passes a place for the result.
        unsafe { hand_out_device("FltGetDeviceObject", on, returned, device) }
    }

    /// The device object of the disk that a volume is on, referenced.
    unsafe fn FltGetDiskDeviceObject(on: PFLT_VOLUME, returned: *mut PDEVICE_OBJECT) -> NTSTATUS {
        // SAFETY: the caller passes a place for the result.
        unsafe { hand_out_device("FltGetDiskDeviceObject", on, returned, Volume::disk) }
    }

    /// Loads another filter by name. The privilege that the caller's thread needs is not looked at.
    unsafe fn FltLoadFilter(name: PCUNICODE_STRING) -> NTSTATUS {
        const CALL: &str = "FltLoadFilter";
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) };
        let (Some(machine), Some(name)) = (scope::machine(), name) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        match crate::machine::load(&machine, &name) {
            Ok(()) => STATUS_SUCCESS,
            Err(status) => status,
        }
    }

    /// Unloads another filter by name.
    unsafe fn FltUnloadFilter(name: PCUNICODE_STRING) -> NTSTATUS {
        const CALL: &str = "FltUnloadFilter";
        // SAFETY: the caller passes a string.
        let name = unsafe { string::read(name) };
        let (Some(machine), Some(name)) = (scope::machine(), name) else {
            return STATUS_INVALID_PARAMETER;
        };
        enter(&machine, CALL);
        let drivers = machine.drivers.lock().clone();
        let found = drivers.into_iter().find(|one| same_name(&one.config.name, &name));
        let Some((machine, record)) = found.and_then(|found| driver(CALL, "", found.pointer()))
        else {
            return STATUS_FLT_FILTER_NOT_FOUND;
        };
        match crate::machine::unload(&machine, &record, crate::machine::Unload::Normal) {
            Ok(()) => STATUS_SUCCESS,
            Err(status) => status,
        }
    }
}
