//! I/O request packets: made, sent to the devices of drivers, and completed.

use super::device::Device;
use super::handle::downcast;
use super::pool::{Block, FRESH};
use super::scope::{Callback, Scope};
use super::{irql, mdl};
use crate::machine::Inner;
use crate::manager::{Object, find};
use crate::verifier::{Rule, Severity};
use fltmgr_sys::*;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Duration;

/// `MULTIPLE_IRP_COMPLETE_REQUESTS`.
const COMPLETED_TWICE: u32 = 0x44;
/// `NO_MORE_IRP_STACK_LOCATIONS`.
const NO_MORE_LOCATIONS: u32 = 0x35;
/// `IO_TYPE_IRP`.
const TYPE: i16 = 6;
const SL_PENDING_RETURNED: u8 = 0x01;
const SL_INVOKE_ON_CANCEL: u8 = 0x20;
const SL_INVOKE_ON_SUCCESS: u8 = 0x40;
const SL_INVOKE_ON_ERROR: u8 = 0x80;

/// `IO_STACK_LOCATION`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Location {
    pub(crate) major: UCHAR,
    pub(crate) minor: UCHAR,
    pub(crate) flags: UCHAR,
    pub(crate) control: UCHAR,
    pub(crate) parameters: [u64; 4],
    pub(crate) device: PDEVICE_OBJECT,
    pub(crate) file: PFILE_OBJECT,
    routine: usize,
    context: PVOID,
}

/// `IRP`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    kind: i16,
    size: u16,
    processor: u16,
    reserved: u16,
    pub(crate) mdl: *mut MDL,
    pub(crate) flags: ULONG,
    pub(crate) system_buffer: PVOID,
    thread_list: LIST_ENTRY,
    pub(crate) status: NTSTATUS,
    status_fill: u32,
    pub(crate) information: u64,
    pub(crate) requestor: KPROCESSOR_MODE,
    pending_returned: BOOLEAN,
    stack_count: i8,
    current: i8,
    cancel: BOOLEAN,
    cancel_irql: KIRQL,
    environment: i8,
    allocation: UCHAR,
    user_status: PVOID,
    user_event: PVOID,
    overlay: [u64; 2],
    cancel_routine: PVOID,
    pub(crate) user_buffer: PVOID,
    driver_context: [PVOID; 4],
    pub(crate) thread: PVOID,
    auxiliary: PVOID,
    list: LIST_ENTRY,
    pub(crate) location: *mut Location,
    original_file: PFILE_OBJECT,
    tail: u64,
}

const _: () = assert!(size_of::<Location>() == 0x48);
const _: () = assert!(size_of::<Packet>() == 0xD0);
const _: () = assert!(std::mem::offset_of!(Packet, status) == 0x30);
const _: () = assert!(std::mem::offset_of!(Packet, requestor) == 0x40);
const _: () = assert!(std::mem::offset_of!(Packet, user_buffer) == 0x70);
const _: () = assert!(std::mem::offset_of!(Packet, location) == 0xB8);

type Dispatch = unsafe extern "win64" fn(PDEVICE_OBJECT, *mut Packet) -> NTSTATUS;
type Completion = unsafe extern "win64" fn(PDEVICE_OBJECT, *mut Packet, PVOID) -> NTSTATUS;

#[derive(Default)]
struct Record {
    /// The packet; a freed one is kept for a while.
    block: Option<Block>,
    completed: bool,
    /// A driver allocated it, and has to free it.
    drivers: bool,
    freed: bool,
}

/// The packets of a machine.
#[derive(Default)]
pub(crate) struct Irps {
    records: Mutex<BTreeMap<usize, Record>>,
    changed: Condvar,
}

/// Allocates a packet.
fn make(machine: &Inner, locations: i8, drivers: bool) -> *mut Packet {
    let count = usize::try_from(locations).unwrap_or(0);
    let size = size_of::<Packet>() + count * size_of::<Location>();
    let Some(block) = Block::new(size) else {
        return null_mut();
    };
    block.fill(0);
    let packet = block.address() as *mut Packet;
    // SAFETY: a packet is integers and nullable pointers; all-zero is a valid one.
    let mut value: Packet = unsafe { std::mem::zeroed() };
    value.kind = TYPE;
    value.size = u16::try_from(size).unwrap_or(u16::MAX);
    value.stack_count = locations;
    value.current = locations.saturating_add(1);
    value.location = packet
        .wrapping_add(1)
        .cast::<Location>()
        .wrapping_add(count);
    // SAFETY: the block is as large as a packet and aligned as pool is.
    unsafe { packet.write(value) };
    let record = Record {
        block: Some(block),
        drivers,
        ..Record::default()
    };
    machine.irps.records.lock().insert(packet as usize, record);
    packet
}

/// Allocates a packet for a driver (`IoAllocateIrp`).
pub(crate) fn allocate(machine: &Inner, locations: i8, call: &'static str) -> *mut Packet {
    if locations < 1 {
        return null_mut();
    }
    let packet = make(machine, locations, true);
    if !packet.is_null() {
        machine.held.add("IRP", packet as usize, call);
    }
    packet
}

/// Frees a driver's packet (`IoFreeIrp`).
pub(crate) fn free(machine: &Inner, packet: *mut Packet, call: &'static str) {
    let mut records = machine.irps.records.lock();
    let record = records.get_mut(&(packet as usize));
    let Some(record) = record.filter(|record| record.drivers && !record.freed) else {
        drop(records);
        let text = format!("{packet:p} is not an IRP that IoAllocateIrp made");
        machine.verifier.violation(Rule::V0, call, text);
        return;
    };
    record.freed = true;
    if let Some(block) = &record.block {
        block.fill(FRESH);
    }
    drop(records);
    machine.held.remove(packet as usize);
}

impl Irps {
    fn is_live(&self, packet: *mut Packet) -> bool {
        let records = self.records.lock();
        let record = records.get(&(packet as usize));
        record.is_some_and(|record| !record.freed)
    }

    fn is_completed(&self, packet: *mut Packet) -> bool {
        let records = self.records.lock();
        let record = records.get(&(packet as usize));
        record.is_none_or(|record| record.completed)
    }
}

/// The device at an address, if a driver has created it.
pub(crate) fn device(address: usize) -> Option<Arc<Device>> {
    find(address).and_then(Object::kernel).and_then(downcast)
}

/// Sends a packet to a device (`IofCallDriver`).
pub(crate) fn call(
    machine: &Arc<Inner>,
    target: PDEVICE_OBJECT,
    packet: *mut Packet,
    call: &'static str,
) -> NTSTATUS {
    if !machine.irps.is_live(packet) {
        let text = format!("{packet:p} is not an IRP");
        machine.verifier.violation(Rule::V0, call, text);
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: a packet that exists.
    let value = unsafe { &mut *packet };
    if value.current <= 1 {
        let severity = Severity::Bugcheck {
            code: NO_MORE_LOCATIONS,
            parameters: [packet as u64, 0, 0, 0],
        };
        let text = "the IRP has no stack location left";
        machine.verifier.report(Rule::V0, severity, call, text);
        return STATUS_INVALID_PARAMETER;
    }
    value.current -= 1;
    value.location = value.location.wrapping_sub(1);
    // SAFETY: the location is one of the packet's, as was just checked.
    let location = unsafe { &mut *value.location };
    location.device = target;
    let major = location.major;
    if let Some(record) = machine.irps.records.lock().get_mut(&(packet as usize)) {
        record.completed = false;
    }
    let Some(found) = device(target as usize) else {
        let text = format!("{target:p} is not a device of a driver; others get no IRPs here");
        machine.verifier.violation(Rule::V0, call, text);
        value.status = STATUS_INVALID_DEVICE_REQUEST;
        complete(machine, packet, call);
        return STATUS_INVALID_DEVICE_REQUEST;
    };
    let routine = found.body.routine(major);
    if routine == 0 {
        value.status = STATUS_INVALID_DEVICE_REQUEST;
        complete(machine, packet, call);
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    // SAFETY: what a driver stores as its routine for a major function has this type.
    let routine = unsafe { std::mem::transmute::<usize, Dispatch>(routine) };
    let scope = Scope::enter(machine, Callback::Dispatch, irql::current());
    // SAFETY: the driver's own routine, with its device and a packet.
    let status = unsafe { routine(target, packet) };
    drop(scope);
    status
}

/// Completes a packet (`IofCompleteRequest`).
pub(crate) fn complete(machine: &Arc<Inner>, packet: *mut Packet, call: &'static str) {
    if !machine.irps.is_live(packet) {
        let text = format!("{packet:p} is not an IRP");
        machine.verifier.violation(Rule::V0, call, text);
        return;
    }
    // SAFETY: a packet that exists.
    let value = unsafe { &mut *packet };
    if machine.irps.is_completed(packet) || value.current > value.stack_count {
        let severity = Severity::Bugcheck {
            code: COMPLETED_TWICE,
            parameters: [packet as u64, 0, 0, 0],
        };
        let text = "the IRP was completed twice";
        machine.verifier.report(Rule::V0, severity, call, text);
        return;
    }
    if value.status == STATUS_PENDING {
        let text = "the IRP was completed with STATUS_PENDING";
        machine.verifier.violation(Rule::V0, call, text);
    }
    while value.current <= value.stack_count {
        // SAFETY: the location of a packet that has one.
        let left = unsafe { *value.location };
        value.pending_returned = left.control & SL_PENDING_RETURNED;
        value.current += 1;
        value.location = value.location.wrapping_add(1);
        let wanted = if value.cancel != 0 && left.control & SL_INVOKE_ON_CANCEL != 0 {
            SL_INVOKE_ON_CANCEL
        } else if nt_success(value.status) {
            SL_INVOKE_ON_SUCCESS
        } else {
            SL_INVOKE_ON_ERROR
        };
        if left.control & wanted == 0 || left.routine == 0 {
            continue;
        }
        let device = if value.current > value.stack_count {
            null_mut()
        } else {
            // SAFETY: the next location, which is one of the packet's.
            unsafe { (*value.location).device }
        };
        // SAFETY: a driver's completion routine has this type.
        let routine = unsafe { std::mem::transmute::<usize, Completion>(left.routine) };
        let scope = Scope::enter(machine, Callback::Completion, irql::current());
        // SAFETY: the driver's own routine, with what it has set for it.
        let answer = unsafe { routine(device, packet, left.context) };
        drop(scope);
        if answer == STATUS_MORE_PROCESSING_REQUIRED {
            return;
        }
    }
    if let Some(record) = machine.irps.records.lock().get_mut(&(packet as usize)) {
        record.completed = true;
    }
    machine.irps.changed.notify_all();
}

/// What a request of the test's becomes.
pub(crate) struct Request<'a> {
    pub(crate) location: Location,
    pub(crate) prepare: &'a dyn Fn(&mut Packet),
}

impl Location {
    /// A location for a major function.
    pub(crate) fn new(major: UCHAR, file: PFILE_OBJECT, parameters: [u64; 4]) -> Self {
        Self {
            major,
            minor: 0,
            flags: 0,
            control: 0,
            parameters,
            device: null_mut(),
            file,
            routine: 0,
            context: null_mut(),
        }
    }
}

/// Sends a request to a device and waits for its end: status and information.
pub(crate) fn send(
    machine: &Arc<Inner>,
    target: &Arc<Device>,
    request: &Request<'_>,
) -> (NTSTATUS, u64) {
    const CALL: &str = "IofCallDriver";
    let packet = make(machine, 1, false);
    if packet.is_null() {
        return (STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    // SAFETY: a packet that was just made.
    let value = unsafe { &mut *packet };
    value.requestor = 1;
    value.thread = thread();
    (request.prepare)(value);
    let location = value.location.wrapping_sub(1);
    // SAFETY: the one location of the packet.
    unsafe { location.write(request.location) };
    let status = {
        let _scope = Scope::enter(machine, Callback::Other, PASSIVE_LEVEL);
        call(machine, target.body.pointer(), packet, CALL)
    };
    // SAFETY: as above.
    let marked = unsafe { (*location).control } & SL_PENDING_RETURNED != 0;
    let pended = status == STATUS_PENDING;
    if pended != marked {
        let text = "a dispatch routine must return STATUS_PENDING if, and only if, it marks the IRP pending";
        machine.verifier.violation(Rule::V12, CALL, text);
    }
    let mut records = machine.irps.records.lock();
    let patience = if pended {
        machine.config.unload_wait
    } else {
        Duration::ZERO
    };
    let done = |records: &BTreeMap<usize, Record>| {
        records
            .get(&(packet as usize))
            .is_none_or(|record| record.completed)
    };
    while !done(&records) {
        if machine
            .irps
            .changed
            .wait_for(&mut records, patience)
            .timed_out()
        {
            break;
        }
    }
    if !done(&records) {
        drop(records);
        let text = format!(
            "the IRP {packet:p} was not completed; the dispatch routine returned {status:#010x}"
        );
        machine.verifier.violation(Rule::V12, CALL, text);
        // Its driver may still have it, so it stays.
        return (STATUS_IO_TIMEOUT, 0);
    }
    let record = records.remove(&(packet as usize));
    drop(records);
    // SAFETY: nobody else has the packet any more.
    let value = unsafe { *packet };
    if !value.mdl.is_null() {
        mdl::discard(machine, value.mdl);
    }
    drop(record);
    (value.status, value.information)
}

/// Whether a packet has one of some flags, or is of a file object that is opened for waiting.
///
/// # Safety
/// The packet is one, with a current location.
pub(crate) unsafe fn is_synchronous(packet: *const Packet, flags: ULONG) -> bool {
    // SAFETY: by this function's contract.
    let value = unsafe { &*packet };
    // SAFETY: by this function's contract.
    let file = unsafe { (*value.location).file };
    // SAFETY: null or a file object, by this function's contract.
    let file = unsafe { file.as_ref() };
    value.flags & flags != 0 || file.is_some_and(|file| file.Flags & FO_SYNCHRONOUS_IO != 0)
}

/// `STATUS_IO_TIMEOUT`.
const STATUS_IO_TIMEOUT: NTSTATUS = 0xC000_00B5_u32.cast_signed();

fn thread() -> PVOID {
    crate::image::current_thread() as PVOID
}
