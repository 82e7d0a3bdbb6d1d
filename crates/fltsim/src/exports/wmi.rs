//! Windows Management Instrumentation: providers of data, events, and messages for sessions of
//! software tracing. There is no session, and nobody asks a provider for its data.

use super::kernel::free_within;
use super::{bad_pointer, misuse, routines, write};
use crate::kernel::irp::{self, Location, Request};
use crate::kernel::scope;
use crate::machine::Inner;
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::ptr::null_mut;

const STATUS_OBJECT_NAME_EXISTS: NTSTATUS = 0x4000_0000;
const STATUS_INVALID_PARAMETER_MIX: NTSTATUS = 0xC000_0030_u32.cast_signed();

const ACTION_REGISTER: ULONG = 1;
const ACTION_DEREGISTER: ULONG = 2;
const ACTION_REREGISTER: ULONG = 3;
const ACTION_UPDATE_GUIDS: ULONG = 4;

/// `IRP_MJ_SYSTEM_CONTROL`.
const SYSTEM_CONTROL: UCHAR = 0x17;
/// `IRP_MN_REGINFO_EX`.
const REGINFO_EX: UCHAR = 0x0B;
/// `WMIREGISTER`.
const DATA_REGISTER: u64 = 0;
/// `WMIUPDATE`.
const DATA_UPDATE: u64 = 1;
/// How many bytes a driver has at first for saying what it provides.
const FIRST_LENGTH: usize = 4096;
/// More than that no driver gets.
const LARGEST_LENGTH: usize = 1 << 20;

const TRACE_MESSAGE_GUID: ULONG = 0x2;
const TRACE_MESSAGE_PERFORMANCE_TIMESTAMP: ULONG = 0x10;
/// `WNODE_FLAG_TRACED_GUID`.
const TRACED_GUID: ULONG = 0x0002_0000;

/// `WNODE_HEADER`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct NodeHeader {
    size: ULONG,
    provider: ULONG,
    context: u64,
    time: u64,
    guid: GUID,
    client: ULONG,
    flags: ULONG,
}

const _: () = assert!(size_of::<NodeHeader>() == 48);

/// What stands for the registration of a device in the reports: a place inside it.
fn registration(device: PDEVICE_OBJECT) -> usize {
    device as usize + 2
}

/// Takes a device out; `false` if it was not registered.
pub(super) fn deregister(machine: &Inner, device: PDEVICE_OBJECT) -> bool {
    machine.providers.forget_device(device as usize) && machine.held.remove(registration(device))
}

/// Asks the driver of a device what it provides. Nobody will want it, whatever it is.
fn ask(device: PDEVICE_OBJECT, data: u64) {
    let Some((machine, found)) = scope::machine().zip(irp::device(device as usize)) else {
        return;
    };
    let mut length = FIRST_LENGTH;
    while length <= LARGEST_LENGTH {
        let mut buffer = vec![0_u64; length.div_ceil(8)];
        let address = buffer.as_mut_ptr() as u64;
        let parameters = [device as u64, data, length as u64, address];
        let mut location = Location::new(SYSTEM_CONTROL, null_mut(), parameters);
        location.minor = REGINFO_EX;
        let prepare = |packet: &mut irp::Packet| packet.requestor = 0;
        let request = Request {
            location,
            prepare: &prepare,
        };
        let (status, _) = irp::send(&machine, &found, &request);
        // The driver says in the first four bytes how many it needs.
        let wanted = usize::try_from(buffer[0] & 0xFFFF_FFFF).unwrap_or(0);
        if status != STATUS_BUFFER_TOO_SMALL || wanted <= length {
            return;
        }
        length = wanted;
    }
}

/// What is wrong with a message; nobody takes it anyway.
fn message(call: &'static str, flags: ULONG) -> NTSTATUS {
    let text = if flags & TRACE_MESSAGE_PERFORMANCE_TIMESTAMP != 0 {
        "TRACE_MESSAGE_PERFORMANCE_TIMESTAMP must not be used"
    } else if flags & TRACE_MESSAGE_GUID == 0 {
        "TRACE_MESSAGE_GUID must be set"
    } else {
        return STATUS_INVALID_HANDLE;
    };
    misuse(Rule::V0, call, text.to_owned());
    STATUS_INVALID_HANDLE
}

/// What a class of information about traces is like.
struct Class {
    /// How many bytes it has.
    length: ULONG,
    /// It may have more.
    or_more: bool,
    /// The caller says in its buffer which trace it asks for.
    asks: bool,
    /// What there is to say without any trace.
    status: NTSTATUS,
}

fn class(number: i32) -> Option<Class> {
    let class = |length, or_more, asks, status| {
        Some(Class {
            length,
            or_more,
            asks,
            status,
        })
    };
    match number {
        // TraceIdClass, TraceHandleClass.
        0 => class(4, false, true, STATUS_INVALID_HANDLE),
        1 => class(8, false, true, STATUS_INVALID_HANDLE),
        // TraceEnableFlagsClass, TraceEnableLevelClass.
        2 | 3 => class(4, true, true, STATUS_INVALID_HANDLE),
        // GlobalLoggerHandleClass.
        4 => class(8, false, false, STATUS_NOT_FOUND),
        // AllLoggerHandlesClass: there are none.
        6 => class(0, true, false, STATUS_SUCCESS),
        // TraceHandleByNameClass.
        7 => class(8, false, true, STATUS_INVALID_PARAMETER),
        _ => None,
    }
}

routines! {
    /// Makes a device of a driver a provider of data, or takes it out again.
    unsafe fn IoWMIRegistrationControl(device: PDEVICE_OBJECT, action: ULONG) -> NTSTATUS {
        let known = [ACTION_REGISTER, ACTION_DEREGISTER, ACTION_REREGISTER, ACTION_UPDATE_GUIDS];
        let Some(machine) = scope::machine().filter(|_| known.contains(&action)) else {
            return STATUS_INVALID_PARAMETER;
        };
        if irp::device(device as usize).is_none() {
            bad_pointer(CALL, "DeviceObject", device as usize, "device of a driver");
            return STATUS_INVALID_PARAMETER;
        }
        let was_registered = match action {
            ACTION_DEREGISTER | ACTION_REREGISTER => deregister(&machine, device),
            ACTION_UPDATE_GUIDS => machine.providers.is_device(device as usize),
            _ => true,
        };
        if !was_registered {
            return STATUS_INVALID_PARAMETER;
        }
        if matches!(action, ACTION_REGISTER | ACTION_REREGISTER) {
            if !machine.providers.add_device(device as usize) {
                return STATUS_OBJECT_NAME_EXISTS;
            }
            machine.held.add("WMI registration", registration(device), CALL);
        }
        match action {
            ACTION_DEREGISTER => {}
            ACTION_UPDATE_GUIDS => ask(device, DATA_UPDATE),
            _ => ask(device, DATA_REGISTER),
        }
        STATUS_SUCCESS
    }

    /// Delivers an event to nobody, and frees it. One for a session stays the caller's: there is no
    /// session.
    unsafe fn IoWMIWriteEvent(event: *mut NodeHeader) -> NTSTATUS {
        let machine = scope::machine();
        let pool = machine.as_ref().and_then(|machine| machine.pool.around(event as usize));
        // SAFETY: the caller passes an event.
        let header = unsafe { event.read_unaligned() };
        if header.flags & TRACED_GUID != 0 {
            return STATUS_INVALID_HANDLE;
        }
        if pool.is_some_and(|(pool, _)| pool == PagedPool) {
            misuse(Rule::V0, CALL, "the event is in paged pool".to_owned());
        }
        let size = header.size as usize;
        if size < size_of::<NodeHeader>() || pool.is_some_and(|(_, left)| left < size) {
            let text = format!("the event says that it has {size} bytes");
            misuse(Rule::V0, CALL, text);
        }
        free_within(CALL, event.cast(), 0);
        STATUS_SUCCESS
    }

    /// Writes a message to a session. What the caller passes besides is not looked at, so that this
    /// is no variadic function.
    unsafe fn WmiTraceMessage(
        _session: u64,
        flags: ULONG,
        _guid: *const GUID,
        _number: USHORT,
    ) -> NTSTATUS {
        message(CALL, flags)
    }

    /// As `WmiTraceMessage`, with the parts of the message in a list.
    unsafe fn WmiTraceMessageVa(
        _session: u64,
        flags: ULONG,
        _guid: *const GUID,
        _number: USHORT,
        _parts: *const u64,
    ) -> NTSTATUS {
        message(CALL, flags)
    }

    /// Tells about traces.
    unsafe fn WmiQueryTraceInformation(
        number: i32,
        place: PVOID,
        length: ULONG,
        needed: *mut ULONG,
        buffer: PVOID,
    ) -> NTSTATUS {
        let Some(class) = class(number) else {
            return STATUS_INVALID_INFO_CLASS;
        };
        // SAFETY: the caller passes a place, or null.
        unsafe { write(needed, class.length) };
        if length < class.length || (length > class.length && !class.or_more) {
            return STATUS_INFO_LENGTH_MISMATCH;
        }
        if (class.length > 0 && place.is_null()) || (class.asks && buffer.is_null()) {
            return STATUS_INVALID_PARAMETER_MIX;
        }
        class.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::device::{IoCreateDevice, IoDeleteDevice, IofCompleteRequest};
    use crate::{DriverConfig, Machine};
    use std::cell::RefCell;

    const GIVEN: GUID = GUID {
        Data1: 1,
        Data2: 2,
        Data3: 3,
        Data4: [4; 8],
    };

    /// What a request of WMI was.
    type Asked = (UCHAR, UCHAR, KPROCESSOR_MODE, [u64; 3]);

    thread_local! {
        static ASKED: RefCell<Vec<Asked>> = const { RefCell::new(Vec::new()) };
    }

    fltapi! {
        /// Says what the device provides, for which it needs a larger buffer.
        ///
        /// # Safety
        /// A device and a packet for it.
        unsafe fn system_control(device: PDEVICE_OBJECT, packet: *mut irp::Packet) -> NTSTATUS {
            // SAFETY: by this function's contract.
            let packet = unsafe { &mut *packet };
            // SAFETY: the packet's current location.
            let location = unsafe { *packet.location };
            let [provider, data, length, buffer] = location.parameters;
            assert_eq!(provider, device as u64);
            let asked = (location.major, location.minor, packet.requestor, [data, length, irql()]);
            ASKED.with_borrow_mut(|all| all.push(asked));
            packet.status = STATUS_SUCCESS;
            if length < 5000 {
                // SAFETY: the buffer has at least four bytes.
                unsafe { (buffer as *mut u32).write(5000) };
                packet.status = STATUS_BUFFER_TOO_SMALL;
            }
            let status = packet.status;
            // SAFETY: the packet that this is about.
            unsafe { IofCompleteRequest(packet, 0) };
            status
        }
    }

    fn irql() -> u64 {
        crate::kernel::irql::current().into()
    }

    fn device(machine: &Machine) -> PDEVICE_OBJECT {
        let driver = machine.create_driver(DriverConfig::new("wmi"));
        let owner = driver.driver_object();
        // SAFETY: the driver object lives as long as the machine.
        unsafe { (*owner).MajorFunction[usize::from(SYSTEM_CONTROL)] = system_control as PVOID };
        let mut made = null_mut();
        // SAFETY: a driver object and a place.
        let status = unsafe {
            IoCreateDevice(
                owner,
                0,
                std::ptr::null(),
                FILE_DEVICE_DISK,
                0,
                0,
                &raw mut made,
            )
        };
        assert_eq!(status, STATUS_SUCCESS);
        made
    }

    fn control(device: PDEVICE_OBJECT, action: ULONG) -> NTSTATUS {
        // SAFETY: the device is looked up.
        unsafe { IoWMIRegistrationControl(device, action) }
    }

    fn asked() -> Vec<Asked> {
        ASKED.take()
    }

    /// A buffer that is too small, and then one that is not.
    fn twice(data: u64) -> [Asked; 2] {
        [4096, 5000].map(|length| (SYSTEM_CONTROL, REGINFO_EX, 0, [data, length, 0]))
    }

    #[test]
    fn a_device_is_registered_and_asked_what_it_provides() {
        let machine = Machine::default();
        machine.at_irql(PASSIVE_LEVEL, || {
            let device = device(&machine);
            assert_eq!(
                control(device, ACTION_UPDATE_GUIDS),
                STATUS_INVALID_PARAMETER
            );
            assert_eq!(control(device, ACTION_DEREGISTER), STATUS_INVALID_PARAMETER);
            for action in [0, 5, 0x8001_0001] {
                assert_eq!(control(device, action), STATUS_INVALID_PARAMETER);
            }
            assert_eq!(asked(), []);
            assert_eq!(control(device, ACTION_REGISTER), STATUS_SUCCESS);
            assert_eq!(asked(), twice(DATA_REGISTER));
            assert_eq!(control(device, ACTION_REGISTER), STATUS_OBJECT_NAME_EXISTS);
            assert_eq!(asked(), []);
            assert_eq!(control(device, ACTION_UPDATE_GUIDS), STATUS_SUCCESS);
            assert_eq!(asked(), twice(DATA_UPDATE));
            assert_eq!(control(device, ACTION_REREGISTER), STATUS_SUCCESS);
            assert_eq!(asked(), twice(DATA_REGISTER));
            assert_eq!(control(device, ACTION_DEREGISTER), STATUS_SUCCESS);
            assert_eq!(control(device, ACTION_DEREGISTER), STATUS_INVALID_PARAMETER);
            assert_eq!(asked(), []);
            // SAFETY: the device exists.
            unsafe { IoDeleteDevice(device) };
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn a_registration_that_is_left_is_reported() {
        let machine = Machine::default();
        machine.at_irql(PASSIVE_LEVEL, || {
            let [deleted, left] = [device(&machine), device(&machine)];
            assert_eq!(control(deleted, ACTION_REGISTER), STATUS_SUCCESS);
            assert_eq!(control(left, ACTION_REGISTER), STATUS_SUCCESS);
            // SAFETY: the device exists.
            unsafe { IoDeleteDevice(deleted) };
            let none = (&raw const machine).cast_mut().cast();
            assert_eq!(control(none, ACTION_REGISTER), STATUS_INVALID_PARAMETER);
        });
        let outcome = machine.finish();
        let leaks: Vec<_> = outcome.leaks.iter().map(|leak| leak.object).collect();
        assert_eq!(leaks, ["device object", "WMI registration"]);
        let violations: Vec<_> = outcome
            .violations
            .iter()
            .map(|report| report.call)
            .collect();
        assert_eq!(violations, ["IoDeleteDevice", "IoWMIRegistrationControl"]);
    }

    #[test]
    fn an_event_is_freed_unless_it_is_for_a_session() {
        let machine = Machine::default();
        let inner = &machine.inner;
        let event = |pool, flags, size| {
            let address = inner.pool.allocate(inner, "test", pool, 64, 1, true);
            let event = address as *mut NodeHeader;
            // SAFETY: the allocation is larger than a header.
            unsafe { (*event).flags = flags };
            // SAFETY: as above.
            unsafe { (*event).size = size };
            event
        };
        machine.at_irql(APC_LEVEL, || {
            let traced = event(NonPagedPoolNx, TRACED_GUID, 64);
            // SAFETY: an event in pool.
            let status = unsafe { IoWMIWriteEvent(traced) };
            assert_eq!(status, STATUS_INVALID_HANDLE);
            free_within("test", traced.cast(), 0);
            // SAFETY: as above.
            let status = unsafe { IoWMIWriteEvent(event(NonPagedPoolNx, 8, 64)) };
            assert_eq!(status, STATUS_SUCCESS);
            assert!(machine.verifier().reports().is_empty());
            for (pool, size) in [(PagedPool, 64), (NonPagedPoolNx, 65), (NonPagedPoolNx, 47)] {
                // SAFETY: as above.
                let status = unsafe { IoWMIWriteEvent(event(pool, 8, size)) };
                assert_eq!(status, STATUS_SUCCESS);
            }
        });
        let outcome = machine.finish();
        let texts: Vec<_> = outcome
            .violations
            .into_iter()
            .map(|report| report.message)
            .collect();
        let expected = [
            "the event is in paged pool",
            "the event says that it has 65 bytes",
            "the event says that it has 47 bytes",
        ];
        assert_eq!(texts, expected);
        assert_eq!((outcome.leaks.len(), outcome.bugchecks.len()), (0, 0));
    }

    #[test]
    fn there_is_no_session_to_write_to_or_to_ask_about() {
        let machine = Machine::default();
        machine.at_irql(DISPATCH_LEVEL, || {
            // SAFETY: what a message is made of is not looked at.
            let status = unsafe { WmiTraceMessage(1, 0x2B, &GIVEN, 10) };
            assert_eq!(status, STATUS_INVALID_HANDLE);
            // SAFETY: as above.
            let status = unsafe { WmiTraceMessageVa(1, 0x2B, &GIVEN, 10, std::ptr::null()) };
            assert_eq!(status, STATUS_INVALID_HANDLE);
            let ask = |class, length, asks: bool| {
                let mut place = 0_u64;
                let mut needed = 99;
                let buffer = if asks {
                    (&raw mut place).cast()
                } else {
                    null_mut()
                };
                // SAFETY: places for what is asked.
                let status = unsafe {
                    WmiQueryTraceInformation(
                        class,
                        (&raw mut place).cast(),
                        length,
                        &raw mut needed,
                        buffer,
                    )
                };
                (status, needed)
            };
            assert_eq!(ask(0, 4, true), (STATUS_INVALID_HANDLE, 4));
            assert_eq!(ask(0, 8, true), (STATUS_INFO_LENGTH_MISMATCH, 4));
            assert_eq!(ask(0, 4, false), (STATUS_INVALID_PARAMETER_MIX, 4));
            assert_eq!(ask(1, 8, true), (STATUS_INVALID_HANDLE, 8));
            for class in [2, 3] {
                assert_eq!(ask(class, 8, true), (STATUS_INVALID_HANDLE, 4));
                assert_eq!(ask(class, 3, true), (STATUS_INFO_LENGTH_MISMATCH, 4));
            }
            assert_eq!(ask(4, 8, false), (STATUS_NOT_FOUND, 8));
            assert_eq!(ask(4, 4, false), (STATUS_INFO_LENGTH_MISMATCH, 8));
            assert_eq!(ask(6, 8, false), (STATUS_SUCCESS, 0));
            assert_eq!(ask(7, 8, true), (STATUS_INVALID_PARAMETER, 8));
            assert_eq!(ask(7, 8, false), (STATUS_INVALID_PARAMETER_MIX, 8));
            assert_eq!(ask(5, 8, true), (STATUS_INVALID_INFO_CLASS, 99));
            assert_eq!(ask(11, 8, true), (STATUS_INVALID_INFO_CLASS, 99));
        });
        assert!(machine.verifier().reports().is_empty());
        machine.at_irql(DISPATCH_LEVEL, || {
            for flags in [0x29, 0x12] {
                // SAFETY: as above.
                let status = unsafe { WmiTraceMessage(1, flags, &GIVEN, 10) };
                assert_eq!(status, STATUS_INVALID_HANDLE);
            }
        });
        let outcome = machine.finish();
        let texts: Vec<_> = outcome
            .violations
            .into_iter()
            .map(|report| report.message)
            .collect();
        let expected = [
            "TRACE_MESSAGE_GUID must be set",
            "TRACE_MESSAGE_PERFORMANCE_TIMESTAMP must not be used",
        ];
        assert_eq!(texts, expected);
    }
}
