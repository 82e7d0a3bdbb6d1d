//! One function for every export of the simulated kernel.
//!
//! Every function begins by naming itself to [`enter`], which counts the call and checks the IRQL,
//! and by looking its object arguments up: no pointer of a driver is followed before it is known
//! what it points at.

#![allow(
    non_snake_case,
    clippy::too_many_arguments,
    clippy::similar_names,
    reason = "names and parameters are those of the C headers"
)]

mod activity;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod attributes;
#[cfg(target_arch = "x86_64")]
mod avl_table;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod backtrace;
mod bitmap;
mod buffer;
mod bypass_io;
#[cfg(target_arch = "x86_64")]
mod c_library;
#[cfg(target_arch = "x86_64")]
mod c_print;
mod cache;
mod callback_data;
mod cancel;
#[cfg(target_arch = "x86_64")]
mod cancellable_wait;
mod context;
mod create;
#[cfg(target_arch = "x86_64")]
mod critical_region;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod data;
mod data_scan;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod device;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod dos_name;
#[cfg(target_arch = "x86_64")]
mod dpc;
mod ecp;
mod error_log;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod event;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod exception;
mod extended_attributes;
mod file;
mod file_lock;
mod fsrtl_file_lock;
mod fsrtl_name;
#[cfg(target_arch = "x86_64")]
mod generic_table;
mod handle_io;
mod hash_table;
mod information;
mod instance;
mod interlocked;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod io_priority;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod io_work_item;
#[cfg(target_arch = "x86_64")]
mod ke_event;
#[cfg(target_arch = "x86_64")]
mod ke_mutex;
#[cfg(target_arch = "x86_64")]
mod ke_timer;
mod kernel;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod ktm;
mod lock;
#[cfg(target_arch = "x86_64")]
mod lookaside;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod mdl;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod memory;
#[cfg(target_arch = "x86_64")]
mod mutex;
mod name;
mod narrow_string;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod notify;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod ob;
mod object;
mod operation;
mod port;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod process;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod process_handle;
mod queue;
mod redirection;
mod registration;
mod registry;
#[cfg(target_arch = "x86_64")]
mod resource;
mod rtl;
#[cfg(target_arch = "x86_64")]
mod run_once;
mod rundown;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod section;
mod security;
mod security_rtl;
#[cfg(target_arch = "x86_64")]
mod semaphore;
mod spin_lock;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod symbolic_link;
mod system;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod thread;
mod time;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod timer;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod token;
mod tracing;
mod transaction;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod virtual_memory;
mod volume;
#[cfg(target_arch = "x86_64")]
mod wait;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod well_known;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod wmi;
mod work_item;

use crate::io::FileObject;
use crate::kernel::irql;
use crate::kernel::scope;
use crate::machine::Inner;
use crate::manager::port::{ClientPort, ServerPort};
use crate::manager::{Filter, Instance, Object, Transaction, Volume, find};
use crate::verifier::{Rule, irql_table};
use fltmgr_sys::*;
use std::sync::Arc;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use data::resolve as resolve_data;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use exception::acts_for_caller;

/// Defines exports, and `resolve`, which finds them by name for a loaded image.
macro_rules! exports {
    ($(
        $(#[$meta:meta])*
        unsafe fn $name:ident($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    )*) => {
        fltmgr_sys::fltapi! {
            $(
                $(#[$meta])*
                #[unsafe(no_mangle)]
                pub(crate) unsafe fn $name($($arg: $ty),*) $(-> $ret)? $body
            )*
        }

        /// The address of one of these functions by its name.
        pub(crate) fn resolve(name: &str) -> Option<usize> {
            match name {
                $(stringify!($name) => Some($name as *const () as usize),)*
                _ => None,
            }
        }
    };
}
pub(crate) use exports;

/// As [`exports!`], for functions that name no object: each has its name as `CALL`, and tells it to
/// the machine of its thread first.
macro_rules! routines {
    ($(
        $(#[$meta:meta])*
        unsafe fn $name:ident($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    )*) => {
        $crate::exports::exports! {
            $(
                $(#[$meta])*
                unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
                    const CALL: &str = stringify!($name);
                    $crate::exports::here(CALL);
                    $body
                }
            )*
        }
    };
}
pub(crate) use routines;

/// What finds an export by its name, room by room.
const ROOMS: &[fn(&str) -> Option<usize>] = &[
    activity::resolve,
    #[cfg(target_arch = "x86_64")]
    avl_table::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    backtrace::resolve,
    bitmap::resolve,
    buffer::resolve,
    bypass_io::resolve,
    #[cfg(target_arch = "x86_64")]
    c_library::resolve,
    #[cfg(target_arch = "x86_64")]
    c_print::resolve,
    cache::resolve,
    callback_data::resolve,
    cancel::resolve,
    #[cfg(target_arch = "x86_64")]
    cancellable_wait::resolve,
    context::resolve,
    create::resolve,
    data_scan::resolve,
    ecp::resolve,
    error_log::resolve,
    ecp::callback_data::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    device::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    event::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    exception::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    dos_name::resolve,
    extended_attributes::resolve,
    extended_attributes::list::resolve,
    file::resolve,
    file_lock::resolve,
    fsrtl_file_lock::resolve,
    fsrtl_name::resolve,
    #[cfg(target_arch = "x86_64")]
    generic_table::resolve,
    handle_io::resolve,
    hash_table::resolve,
    information::resolve,
    instance::resolve,
    interlocked::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    io_priority::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    io_work_item::resolve,
    kernel::resolve,
    #[cfg(target_arch = "x86_64")]
    kernel::resolve_variadic,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    ktm::resolve,
    lock::resolve,
    #[cfg(target_arch = "x86_64")]
    lookaside::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    memory::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    memory::resolve_raising,
    #[cfg(target_arch = "x86_64")]
    mutex::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    mdl::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    mdl::resolve_raising,
    name::resolve,
    narrow_string::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    notify::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    ob::resolve,
    object::resolve,
    operation::resolve,
    port::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    process::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    process_handle::resolve,
    queue::resolve,
    redirection::resolve,
    registration::resolve,
    registry::resolve,
    #[cfg(target_arch = "x86_64")]
    resource::resolve,
    rundown::cache_aware::resolve,
    rtl::resolve,
    rtl::resolve_library,
    #[cfg(target_arch = "x86_64")]
    resource::state::resolve,
    #[cfg(target_arch = "x86_64")]
    run_once::resolve,
    rundown::resolve,
    security::resolve,
    security_rtl::resolve,
    spin_lock::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    symbolic_link::resolve,
    system::resolve,
    time::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    section::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    thread::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    timer::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    token::resolve,
    tracing::resolve,
    transaction::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    virtual_memory::resolve,
    volume::resolve,
    #[cfg(target_arch = "x86_64")]
    critical_region::resolve,
    #[cfg(target_arch = "x86_64")]
    dpc::resolve,
    #[cfg(target_arch = "x86_64")]
    ke_event::resolve,
    #[cfg(target_arch = "x86_64")]
    ke_mutex::resolve,
    #[cfg(target_arch = "x86_64")]
    ke_timer::resolve,
    #[cfg(target_arch = "x86_64")]
    semaphore::resolve,
    #[cfg(target_arch = "x86_64")]
    wait::resolve,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    wmi::resolve,
    work_item::resolve,
];

/// The address of an export, for binding the imports of a loaded image.
#[must_use]
pub fn resolve(name: &str) -> Option<usize> {
    ROOMS.iter().find_map(|room| room(name))
}

/// Whether there is something of this name for an image to import: a function, or a variable.
#[must_use]
pub fn implements(name: &str) -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if resolve_data(name).is_some() {
        return true;
    }
    resolve(name).is_some()
}

/// Counts a call and checks the IRQL (V6) against the one table.
pub(crate) fn enter(machine: &Inner, call: &'static str) {
    enter_below(machine, call, None);
}

/// As [`enter`], for a function that names no object: the machine is that of this thread.
pub(crate) fn here(call: &'static str) -> Option<Arc<Inner>> {
    here_at_most(call, None)
}

/// As [`here`], where the arguments may forbid more than the table does: the lower limit holds.
pub(crate) fn here_at_most(call: &'static str, limit: Option<KIRQL>) -> Option<Arc<Inner>> {
    let machine = scope::machine();
    if let Some(machine) = &machine {
        let limit = limit.map(|limit| limit.min(irql_table::limit(call)));
        enter_below(machine, call, limit);
    }
    machine
}

/// Says that a driver broke a rule in a call that names no object.
pub(crate) fn misuse(rule: Rule, call: &'static str, text: String) {
    match scope::machine() {
        Some(machine) => machine.verifier.violation(rule, call, text),
        // Nobody to report to; silence would be worse.
        None => eprintln!("fltsim: {call}: {text}"),
    }
}

/// As [`enter`], with another limit than the table's if a policy says so.
pub(crate) fn enter_below(machine: &Inner, call: &'static str, limit: Option<KIRQL>) {
    let Some(index) = irql_table::position(call) else {
        return;
    };
    machine.counters.call(index);
    let limit = limit.unwrap_or(irql_table::EXPORTS[index].1);
    let level = irql::current();
    if level > limit {
        let text = format!("{call} was called at IRQL {level}; its maximum is {limit}");
        let dispatch_post = level >= DISPATCH_LEVEL
            && matches!(scope::callback(), Some(scope::Callback::Post(_)))
            && is_context_access(call);
        let rule = if dispatch_post { Rule::V12 } else { Rule::V6 };
        machine.verifier.violation(rule, call, text);
    }
}

/// Get, set or delete of a context.
fn is_context_access(call: &str) -> bool {
    let verb = ["FltGet", "FltSet", "FltDelete"]
        .iter()
        .any(|verb| call.starts_with(verb));
    verb && call.contains("Context")
}

/// Says that an argument is not what it should be.
fn bad_pointer(call: &'static str, argument: &str, address: usize, wanted: &str) {
    let found = find(address);
    let machine = found
        .as_ref()
        .and_then(Object::machine)
        .or_else(scope::machine);
    let what = found.map_or("nothing known", |object| object.name());
    let text = format!("{argument} is {address:#x}: {what}, not a {wanted}");
    match machine {
        Some(machine) => machine.verifier.violation(Rule::V0, call, text),
        // Nobody to report to; silence would be worse.
        None => eprintln!("fltsim: {call}: {text}"),
    }
}

macro_rules! lookup {
    ($($(#[$meta:meta])* $name:ident: $pointer:ty => $variant:ident($ty:ty), $wanted:literal;)*) => {$(
        $(#[$meta])*
        pub(crate) fn $name(
            call: &'static str,
            argument: &str,
            pointer: $pointer,
        ) -> Option<(Arc<Inner>, Arc<$ty>)> {
            let address = pointer as usize;
            if let Some(Object::$variant(object)) = find(address) {
                let machine = Object::$variant(Arc::clone(&object)).machine()?;
                return Some((machine, object));
            }
            bad_pointer(call, argument, address, $wanted);
            None
        }
    )*};
}

lookup! {
    /// A filter that a driver names, and its machine.
    filter: PFLT_FILTER => Filter(Filter), "filter";
    /// A volume that a driver names, and its machine.
    volume: PFLT_VOLUME => Volume(Volume), "volume";
    /// An instance that a driver names, and its machine.
    instance: PFLT_INSTANCE => Instance(Instance), "instance";
    /// A file object that a driver names, and its machine.
    file_object: PFILE_OBJECT => File(FileObject), "file object";
    /// A transaction that a driver names, and its machine.
    transaction: PKTRANSACTION => Transaction(Transaction), "transaction";
    /// A server port that a driver names, and its machine.
    server_port: PFLT_PORT => ServerPort(ServerPort), "server port";
    /// A client port that a driver names, and its machine.
    client_port: PFLT_PORT => ClientPort(ClientPort), "client port";
    /// A driver object, and its machine.
    driver: PDRIVER_OBJECT => Driver(crate::kernel::registry::DriverRecord), "driver object";
}

/// An instance and a transaction, for the exports that take the pair. Both are looked up before
/// either is judged, so that each wrong pointer is reported.
pub(crate) fn instance_and_transaction(
    call: &'static str,
    owner: PFLT_INSTANCE,
    on: PKTRANSACTION,
) -> Option<(Arc<Inner>, Arc<Instance>, Arc<Transaction>)> {
    let owner = instance(call, "Instance", owner);
    let on = transaction(call, "Transaction", on);
    let ((machine, owner), (_, on)) = owner.zip(on)?;
    Some((machine, owner, on))
}

/// Writes an out-parameter that may be null.
///
/// # Safety
/// `target` is null or may be written to.
pub(crate) unsafe fn write<T>(target: *mut T, value: T) {
    if !target.is_null() {
        // SAFETY: not null, so it may be written to by this function's contract.
        unsafe { target.write(value) };
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::Machine;
    use crate::verifier::Rule;
    use fltmgr_sys::KIRQL;

    /// Runs code on a machine of its own at an IRQL: which rules were broken there, and by what.
    pub(crate) fn broken_at(level: KIRQL, run: impl FnOnce()) -> Vec<(Rule, &'static str)> {
        let machine = Machine::default();
        machine.at_irql(level, run);
        let reports = machine.verifier().take_reports();
        reports.iter().map(|one| (one.rule, one.call)).collect()
    }
}
