//! Event tracing (`Etw…`). Nobody listens: no session is enabled, so that no provider's callback is
//! called, and what is written goes nowhere. What a driver passes is checked nevertheless.

use super::time::uuid;
use super::{bad_pointer, enter_below, exports, here, misuse, write};
use crate::kernel::memory::{self, Access};
use crate::kernel::{irql, scope, tracing};
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::sync::Arc;

/// `MAX_EVENT_DATA_DESCRIPTORS`.
const MOST_DATA: ULONG = 128;
/// `EVENT_WRITE_FLAG_NO_FAULTING` and `EVENT_WRITE_FLAG_INPRIVATE`.
const WRITE_FLAGS: ULONG = 0x3;
/// The lowest IRQL that is too high for anything.
const NO_LIMIT: KIRQL = 15;

const BINARY_TRACK_INFO: i32 = 0;
const SET_RESERVED: i32 = 1;
const SET_TRAITS: i32 = 2;
const USE_DESCRIPTOR_TYPE: i32 = 3;

const GET_ID: ULONG = 1;
const SET_ID: ULONG = 2;
const CREATE_ID: ULONG = 3;
const GET_SET_ID: ULONG = 4;
const CREATE_SET_ID: ULONG = 5;

/// `EVENT_DATA_DESCRIPTOR`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct DataDescriptor {
    address: u64,
    size: ULONG,
    reserved: ULONG,
}

/// `EVENT_DESCRIPTOR`.
#[repr(C)]
pub(crate) struct EventDescriptor {
    id: USHORT,
    version: UCHAR,
    channel: UCHAR,
    level: UCHAR,
    opcode: UCHAR,
    task: USHORT,
    keyword: u64,
}

const _: () = assert!(size_of::<DataDescriptor>() == 16);
const _: () = assert!(size_of::<EventDescriptor>() == 16);

/// Registers a provider, under a GUID that nobody will look for.
///
/// # Safety
/// The place may be written to, or is null.
unsafe fn register(call: &'static str, id: *const GUID, handle: *mut u64) -> NTSTATUS {
    let Some(machine) = here(call) else {
        return STATUS_INVALID_PARAMETER;
    };
    if id.is_null() || handle.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: by this function's contract.
    unsafe { write(handle, tracing::register(&machine, call)) };
    STATUS_SUCCESS
}

/// The machine whose provider has a handle. There is none with the handle 0, which a driver has that
/// could not register; any other one was unregistered before, or never was one.
fn provider(call: &'static str, handle: u64) -> Option<Arc<Inner>> {
    let machine = scope::machine()?;
    if tracing::is_registered(&machine, handle) {
        return Some(machine);
    }
    if handle != 0 {
        let address = usize::try_from(handle).unwrap_or(0);
        bad_pointer(call, "RegHandle", address, "registered event provider");
    }
    None
}

/// Looks at what an event is to be made of.
///
/// # Safety
/// There are so many descriptors, or `data` is null.
unsafe fn check_data(
    machine: &Inner,
    call: &'static str,
    count: ULONG,
    data: *const DataDescriptor,
) -> NTSTATUS {
    if count > MOST_DATA || (count > 0 && data.is_null()) {
        return STATUS_INVALID_PARAMETER;
    }
    for index in 0..count as usize {
        // SAFETY: by this function's contract.
        let descriptor = unsafe { data.wrapping_add(index).read_unaligned() };
        let address = usize::try_from(descriptor.address).unwrap_or(usize::MAX);
        check_memory(machine, call, index, address, descriptor.size as usize);
    }
    STATUS_SUCCESS
}

/// The data must be there, and must not be pageable where page faults cannot be handled.
fn check_memory(machine: &Inner, call: &'static str, index: usize, address: usize, size: usize) {
    if size == 0 {
        return;
    }
    let pool = machine.pool.around(address);
    let pageable = pool.is_some_and(|(pool, _)| pool == PagedPool);
    if pageable && irql::current() > APC_LEVEL {
        let text = format!("UserData[{index}] is in paged pool");
        misuse(Rule::V6, call, text);
    }
    let too_long = pool.is_some_and(|(_, left)| left < size);
    if too_long || !memory::is_accessible(address, size, Access::Read) {
        let text = format!("UserData[{index}] is {address:#x}: there are no {size} bytes");
        misuse(Rule::V0, call, text);
    }
}

/// Writes an event.
///
/// # Safety
/// There are so many descriptors, or `data` is null.
unsafe fn write_event(
    call: &'static str,
    handle: u64,
    event: *const EventDescriptor,
    count: ULONG,
    data: *const DataDescriptor,
) -> NTSTATUS {
    let Some(machine) = provider(call, handle) else {
        return STATUS_INVALID_HANDLE;
    };
    if event.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: by this function's contract.
    unsafe { check_data(&machine, call, count, data) }
}

/// Whether a provider takes information of a class.
///
/// # Safety
/// The buffer is as long as it is said to be, or null.
unsafe fn check_information(class: i32, buffer: *const u8, length: ULONG) -> NTSTATUS {
    let is_right = match class {
        BINARY_TRACK_INFO => true,
        SET_RESERVED => return STATUS_INVALID_DEVICE_REQUEST,
        // The traits begin with their own length, and a name that ends follows.
        SET_TRAITS if !buffer.is_null() && length > 2 => {
            // SAFETY: by this function's contract.
            let own = unsafe { buffer.cast::<u16>().read_unaligned() };
            ULONG::from(own) == length
        }
        USE_DESCRIPTOR_TYPE => !buffer.is_null() && length == 1,
        _ => false,
    };
    if is_right {
        STATUS_SUCCESS
    } else {
        STATUS_INVALID_PARAMETER
    }
}

exports! {
    /// Registers a provider of events.
    unsafe fn EtwRegister(
        id: *const GUID,
        _callback: usize,
        _context: PVOID,
        handle: *mut u64,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a place.
        unsafe { register("EtwRegister", id, handle) }
    }

    /// Registers a provider of messages of the older sort (WPP).
    unsafe fn EtwRegisterClassicProvider(
        id: *const GUID,
        _kind: ULONG,
        _callback: usize,
        _context: PVOID,
        handle: *mut u64,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a place.
        unsafe { register("EtwRegisterClassicProvider", id, handle) }
    }

    /// Takes a provider out.
    unsafe fn EtwUnregister(handle: u64) -> NTSTATUS {
        const CALL: &str = "EtwUnregister";
        here(CALL);
        match provider(CALL, handle) {
            Some(machine) if tracing::unregister(&machine, handle) => STATUS_SUCCESS,
            _ => STATUS_INVALID_HANDLE,
        }
    }

    /// Says something about a provider.
    unsafe fn EtwSetInformation(
        handle: u64,
        class: i32,
        buffer: *const u8,
        length: ULONG,
    ) -> NTSTATUS {
        const CALL: &str = "EtwSetInformation";
        here(CALL);
        if provider(CALL, handle).is_none() {
            return STATUS_INVALID_HANDLE;
        }
        // SAFETY: the caller passes a buffer of this length, or null.
        unsafe { check_information(class, buffer, length) }
    }

    /// Whether anybody listens to an event.
    unsafe fn EtwEventEnabled(handle: u64, _event: *const EventDescriptor) -> BOOLEAN {
        const CALL: &str = "EtwEventEnabled";
        here(CALL);
        provider(CALL, handle);
        0
    }

    /// Whether anybody listens to a provider.
    unsafe fn EtwProviderEnabled(handle: u64, _level: UCHAR, _keyword: u64) -> BOOLEAN {
        const CALL: &str = "EtwProviderEnabled";
        here(CALL);
        provider(CALL, handle);
        0
    }

    /// Writes an event.
    unsafe fn EtwWrite(
        handle: u64,
        event: *const EventDescriptor,
        _activity: *const GUID,
        count: ULONG,
        data: *const DataDescriptor,
    ) -> NTSTATUS {
        const CALL: &str = "EtwWrite";
        here(CALL);
        // SAFETY: the caller passes so many descriptors.
        unsafe { write_event(CALL, handle, event, count, data) }
    }

    /// Writes an event that some sessions are not to have.
    unsafe fn EtwWriteEx(
        handle: u64,
        event: *const EventDescriptor,
        _filter: u64,
        flags: ULONG,
        _activity: *const GUID,
        _related: *const GUID,
        count: ULONG,
        data: *const DataDescriptor,
    ) -> NTSTATUS {
        const CALL: &str = "EtwWriteEx";
        here(CALL);
        if flags & !WRITE_FLAGS != 0 {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes so many descriptors.
        unsafe { write_event(CALL, handle, event, count, data) }
    }

    /// Writes an event that links two activities.
    unsafe fn EtwWriteTransfer(
        handle: u64,
        event: *const EventDescriptor,
        _activity: *const GUID,
        _related: *const GUID,
        count: ULONG,
        data: *const DataDescriptor,
    ) -> NTSTATUS {
        const CALL: &str = "EtwWriteTransfer";
        here(CALL);
        // SAFETY: the caller passes so many descriptors.
        unsafe { write_event(CALL, handle, event, count, data) }
    }

    /// Writes a string.
    unsafe fn EtwWriteString(
        handle: u64,
        _level: UCHAR,
        _keyword: u64,
        _activity: *const GUID,
        text: *const WCHAR,
    ) -> NTSTATUS {
        const CALL: &str = "EtwWriteString";
        here(CALL);
        if provider(CALL, handle).is_none() {
            return STATUS_INVALID_HANDLE;
        }
        if text.is_null() {
            return STATUS_INVALID_PARAMETER;
        }
        STATUS_SUCCESS
    }

    /// Makes an activity, asks for that of this thread, sets it. Only making one is for every IRQL.
    unsafe fn EtwActivityIdControl(code: ULONG, activity: *mut GUID) -> NTSTATUS {
        const CALL: &str = "EtwActivityIdControl";
        if let Some(machine) = scope::machine() {
            let limit = (code == CREATE_ID).then_some(NO_LIMIT);
            enter_below(&machine, CALL, limit);
        }
        if activity.is_null() {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: not null, so the caller's GUID.
        let given = unsafe { activity.read_unaligned() };
        let returned = match code {
            GET_ID => tracing::activity(),
            SET_ID => {
                tracing::set_activity(given);
                return STATUS_SUCCESS;
            }
            CREATE_ID => uuid(),
            GET_SET_ID => tracing::set_activity(given),
            CREATE_SET_ID => tracing::set_activity(uuid()),
            _ => return STATUS_INVALID_PARAMETER,
        };
        // SAFETY: as above.
        unsafe { activity.write_unaligned(returned) };
        STATUS_SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;
    use crate::verifier::Leak;
    use std::ptr::{null, null_mut};

    const ID: GUID = GUID {
        Data1: 1,
        Data2: 2,
        Data3: 3,
        Data4: [4; 8],
    };
    const EVENT: EventDescriptor = EventDescriptor {
        id: 1,
        version: 0,
        channel: 0,
        level: 4,
        opcode: 0,
        task: 0,
        keyword: 0,
    };

    fn registered() -> u64 {
        let mut handle = 0;
        // SAFETY: a GUID and a place for the handle.
        let status = unsafe { EtwRegister(&ID, 0, null_mut(), &raw mut handle) };
        assert_eq!(status, STATUS_SUCCESS);
        assert_ne!(handle, 0);
        handle
    }

    fn unregister(handle: u64) -> NTSTATUS {
        // SAFETY: any number may be passed.
        unsafe { EtwUnregister(handle) }
    }

    fn put(handle: u64, data: &[DataDescriptor]) -> NTSTATUS {
        let count = ULONG::try_from(data.len()).unwrap();
        // SAFETY: an event and so many descriptors.
        unsafe { EtwWrite(handle, &EVENT, null(), count, data.as_ptr()) }
    }

    fn describe<T>(value: &T) -> DataDescriptor {
        DataDescriptor {
            address: &raw const *value as u64,
            size: ULONG::try_from(size_of::<T>()).unwrap(),
            reserved: 0,
        }
    }

    fn texts(machine: &Machine) -> Vec<String> {
        let reports = machine.verifier().violations();
        let texts = reports.into_iter().map(|report| {
            let words = report
                .message
                .split(' ')
                .map(|word| if word.starts_with("0x") { "X" } else { word });
            format!("{}: {}", report.call, words.collect::<Vec<_>>().join(" "))
        });
        texts.collect()
    }

    #[test]
    fn a_provider_is_registered_written_to_and_unregistered() {
        let machine = Machine::default();
        let value = 7_u32;
        machine.at_irql(PASSIVE_LEVEL, || {
            let handle = registered();
            let other = registered();
            assert_ne!(handle, other);
            // SAFETY: an event.
            assert_eq!(unsafe { EtwEventEnabled(handle, &EVENT) }, 0);
            // SAFETY: any numbers may be passed.
            assert_eq!(unsafe { EtwProviderEnabled(handle, 0, 0) }, 0);
            assert_eq!(put(handle, &[]), STATUS_SUCCESS);
            assert_eq!(put(handle, &[describe(&value)]), STATUS_SUCCESS);
            assert_eq!(put(handle, &[describe(&value); 128]), STATUS_SUCCESS);
            let refused = STATUS_INVALID_PARAMETER;
            assert_eq!(put(handle, &[describe(&value); 129]), refused);
            // SAFETY: null is no descriptor, and no event.
            let without = unsafe { EtwWrite(handle, &EVENT, null(), 1, null()) };
            assert_eq!(without, refused);
            // SAFETY: as above.
            let without = unsafe { EtwWrite(handle, null(), null(), 0, null()) };
            assert_eq!(without, refused);
            for (flags, expected) in [(0, STATUS_SUCCESS), (3, STATUS_SUCCESS), (4, refused)] {
                // SAFETY: an event without data.
                let status =
                    unsafe { EtwWriteEx(handle, &EVENT, 0, flags, null(), null(), 0, null()) };
                assert_eq!(status, expected);
            }
            // SAFETY: an event with one descriptor.
            let status =
                unsafe { EtwWriteTransfer(handle, &EVENT, null(), &ID, 1, &describe(&value)) };
            assert_eq!(status, STATUS_SUCCESS);
            let text = [65_u16, 0];
            // SAFETY: a string that ends.
            let status = unsafe { EtwWriteString(handle, 4, 0, null(), text.as_ptr()) };
            assert_eq!(status, STATUS_SUCCESS);
            // SAFETY: null is no string.
            let status = unsafe { EtwWriteString(handle, 4, 0, null(), null()) };
            assert_eq!(status, refused);
            assert_eq!(unregister(handle), STATUS_SUCCESS);
            assert_eq!(unregister(other), STATUS_SUCCESS);
        });
        assert_eq!(machine.calls("EtwWrite"), 6);
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn registering_needs_an_identifier_and_a_place() {
        let machine = Machine::default();
        machine.at_irql(PASSIVE_LEVEL, || {
            let mut handle = 9;
            // SAFETY: null is no GUID.
            let status = unsafe { EtwRegister(null(), 0, null_mut(), &raw mut handle) };
            assert_eq!((status, handle), (STATUS_INVALID_PARAMETER, 9));
            // SAFETY: null is no place.
            let status = unsafe { EtwRegister(&ID, 0, null_mut(), null_mut()) };
            assert_eq!(status, STATUS_INVALID_PARAMETER);
        });
        assert!(machine.finish().is_clean());
    }

    #[test]
    fn a_provider_that_is_left_is_a_leak() {
        let machine = Machine::default();
        machine.at_irql(PASSIVE_LEVEL, || {
            registered();
            let mut handle = 0;
            // SAFETY: a GUID and a place for the handle.
            let status =
                unsafe { EtwRegisterClassicProvider(&ID, 0, 0, null_mut(), &raw mut handle) };
            assert_eq!(status, STATUS_SUCCESS);
        });
        let outcome = machine.finish();
        let what = |leak: &Leak| (leak.object, leak.count, leak.acquired.clone());
        let leaks: Vec<_> = outcome.leaks.iter().map(what).collect();
        let expected = ["EtwRegister", "EtwRegisterClassicProvider"];
        assert_eq!(
            leaks,
            expected.map(|call| ("event provider", 1, vec![(call, 1)]))
        );
        assert_eq!((outcome.violations.len(), outcome.bugchecks.len()), (0, 0));
    }

    #[test]
    fn a_handle_that_is_none_is_refused_and_a_stale_one_is_reported() {
        let machine = Machine::default();
        machine.at_irql(PASSIVE_LEVEL, || {
            assert_eq!(put(0, &[]), STATUS_INVALID_HANDLE);
            assert_eq!(unregister(0), STATUS_INVALID_HANDLE);
            // SAFETY: any number may be passed.
            assert_eq!(unsafe { EtwProviderEnabled(0, 0, 0) }, 0);
            let handle = registered();
            assert_eq!(unregister(handle), STATUS_SUCCESS);
            assert!(machine.verifier().reports().is_empty());
            assert_eq!(unregister(handle), STATUS_INVALID_HANDLE);
            assert_eq!(put(handle, &[]), STATUS_INVALID_HANDLE);
            // SAFETY: as above.
            assert_eq!(unsafe { EtwEventEnabled(handle, &EVENT) }, 0);
        });
        let expected = ["EtwUnregister", "EtwWrite", "EtwEventEnabled"].map(|call| {
            format!("{call}: RegHandle is X nothing known, not a registered event provider")
        });
        let texts: Vec<String> = texts(&machine)
            .iter()
            .map(|text| text.replace("X:", "X"))
            .collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn data_must_be_there_and_resident_above_apc_level() {
        let machine = Machine::default();
        let pool = &machine.inner.pool;
        let paged = pool.allocate(&machine.inner, "test", PagedPool, 8, 1, true);
        let nonpaged = pool.allocate(&machine.inner, "test", NonPagedPoolNx, 8, 1, true);
        let at = |address: usize, size| DataDescriptor {
            address: address as u64,
            size,
            reserved: 0,
        };
        let handle = machine.at_irql(PASSIVE_LEVEL, registered);
        machine.at_irql(APC_LEVEL, || {
            assert_eq!(
                put(handle, &[at(paged, 8), at(nonpaged, 8), at(8, 0)]),
                STATUS_SUCCESS
            );
        });
        assert!(machine.verifier().reports().is_empty());
        machine.at_irql(DISPATCH_LEVEL, || {
            assert_eq!(
                put(handle, &[at(nonpaged, 8), at(paged, 8)]),
                STATUS_SUCCESS
            );
            assert_eq!(put(handle, &[at(nonpaged, 9), at(8, 1)]), STATUS_SUCCESS);
            assert_eq!(unregister(handle), STATUS_SUCCESS);
        });
        let expected = [
            "EtwWrite: UserData[1] is in paged pool",
            "EtwWrite: UserData[0] is X there are no 9 bytes",
            "EtwWrite: UserData[1] is X there are no 1 bytes",
            "EtwUnregister: EtwUnregister was called at IRQL 2; its maximum is 0",
        ];
        assert_eq!(texts(&machine), expected);
    }

    #[test]
    fn a_provider_is_told_about() {
        let machine = Machine::default();
        machine.at_irql(PASSIVE_LEVEL, || {
            let handle = registered();
            let set = |handle, class, bytes: &[u8]| {
                let length = ULONG::try_from(bytes.len()).unwrap();
                // SAFETY: a buffer of this length.
                unsafe { EtwSetInformation(handle, class, bytes.as_ptr(), length) }
            };
            assert_eq!(set(handle, SET_TRAITS, b"\x04\x00A\x00"), STATUS_SUCCESS);
            assert_eq!(set(handle, USE_DESCRIPTOR_TYPE, &[1]), STATUS_SUCCESS);
            assert_eq!(set(handle, BINARY_TRACK_INFO, &[]), STATUS_SUCCESS);
            let refused = STATUS_INVALID_PARAMETER;
            assert_eq!(set(handle, SET_TRAITS, b"\x05\x00A\x00"), refused);
            assert_eq!(set(handle, SET_TRAITS, b"\x02\x00"), refused);
            assert_eq!(set(handle, USE_DESCRIPTOR_TYPE, &[1, 0]), refused);
            assert_eq!(set(handle, 4, &[]), refused);
            // SAFETY: null is no buffer.
            let status = unsafe { EtwSetInformation(handle, SET_TRAITS, null(), 4) };
            assert_eq!(status, refused);
            assert_eq!(
                set(handle, SET_RESERVED, &[]),
                STATUS_INVALID_DEVICE_REQUEST
            );
            assert_eq!(set(0, SET_TRAITS, b"\x04\x00A\x00"), STATUS_INVALID_HANDLE);
            assert_eq!(unregister(handle), STATUS_SUCCESS);
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn a_thread_has_an_activity() {
        fn control(code: ULONG, mut activity: GUID) -> (NTSTATUS, GUID) {
            // SAFETY: a place for a GUID.
            let status = unsafe { EtwActivityIdControl(code, &raw mut activity) };
            (status, activity)
        }
        fn done(code: ULONG, activity: GUID) -> GUID {
            let (status, activity) = control(code, activity);
            assert_eq!(status, STATUS_SUCCESS);
            activity
        }
        let machine = Machine::default();
        let before = machine.at_irql(APC_LEVEL, || done(GET_SET_ID, ID));
        machine.at_irql(APC_LEVEL, || {
            let none = before;
            assert_eq!(done(GET_ID, none), ID);
            let made = done(CREATE_ID, none);
            assert_ne!(made, done(CREATE_ID, none));
            assert_eq!(done(GET_ID, none), ID);
            assert_eq!(done(CREATE_SET_ID, none), ID);
            let set = done(GET_ID, none);
            assert!(set != ID && set != none && set != made);
            assert_eq!(done(SET_ID, made), made);
            assert_eq!(done(GET_ID, none), made);
            let elsewhere = std::thread::spawn(tracing::activity).join().unwrap();
            assert_ne!(elsewhere, made);
            for code in [0, 6] {
                assert_eq!(control(code, ID), (STATUS_INVALID_PARAMETER, ID));
            }
            // SAFETY: null is no place.
            let status = unsafe { EtwActivityIdControl(GET_ID, null_mut()) };
            assert_eq!(status, STATUS_INVALID_PARAMETER);
            done(SET_ID, before);
        });
        machine.at_irql(DISPATCH_LEVEL, || {
            done(CREATE_ID, ID);
            assert!(machine.verifier().reports().is_empty());
            done(GET_ID, ID);
        });
        let expected =
            ["EtwActivityIdControl: EtwActivityIdControl was called at IRQL 2; its maximum is 1"];
        assert_eq!(texts(&machine), expected);
    }
}
