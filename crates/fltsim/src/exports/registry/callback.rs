//! Registering routines that are told of what is done with the registry (`Cm…`).

use crate::exports::{bad_pointer, driver, misuse, routines, write};
use crate::kernel::handle::{KernelObject, downcast};
use crate::kernel::registry::Key;
use crate::kernel::registry::filter::{self, Routine};
use crate::kernel::string::{self, Owned};
use crate::kernel::{pool, scope};
use crate::machine::Inner;
use crate::manager::{Object, find};
use crate::verifier::Rule;
use fltmgr_sys::*;
use std::sync::Arc;

const TAG: ULONG = u32::from_le_bytes(*b"CMcb");

/// Registers a routine.
///
/// # Safety
/// The place may be written to, or is null.
unsafe fn register(
    call: &'static str,
    machine: &Inner,
    altitude: Option<String>,
    routine: Option<Routine>,
    context: PVOID,
    cookie: *mut i64,
) -> NTSTATUS {
    if filter::is_inside() {
        let text = "a routine that registers another one waits for itself".to_owned();
        misuse(Rule::V23, call, text);
    }
    let Some(routine) = routine.filter(|_| !cookie.is_null()) else {
        return STATUS_INVALID_PARAMETER;
    };
    match filter::register(machine, altitude, routine, context as usize, call) {
        Ok(found) => {
            // SAFETY: by this function's contract.
            unsafe { cookie.write_unaligned(found) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// The open key at an address, for a routine that is registered, and its cookie.
///
/// # Safety
/// The cookie can be read, or is null.
unsafe fn key_of(
    call: &'static str,
    object: PVOID,
    cookie: *const i64,
) -> Result<(Arc<Inner>, Arc<Key>, i64), NTSTATUS> {
    let machine = scope::machine().ok_or(STATUS_INVALID_PARAMETER)?;
    if cookie.is_null() {
        return Err(STATUS_INVALID_PARAMETER);
    }
    // SAFETY: by this function's contract.
    let cookie = unsafe { cookie.read_unaligned() };
    let found = find(object as usize).and_then(Object::kernel);
    let Some(key) = found.and_then(downcast) else {
        bad_pointer(call, "Object", object as usize, "registry key");
        return Err(STATUS_INVALID_PARAMETER);
    };
    if !machine.registry_filters.knows(cookie) {
        return Err(STATUS_INVALID_PARAMETER);
    }
    Ok((machine, key, cookie))
}

/// A number that is the same for every open of a key.
fn identifier(key: &Key) -> usize {
    let number = usize::try_from(key.id).unwrap_or(0);
    0x7900_0000_0000 + number * 16
}

routines! {
    /// Registers a routine above all that have an altitude.
    unsafe fn CmRegisterCallback(
        routine: Option<Routine>,
        context: PVOID,
        cookie: *mut i64,
    ) -> NTSTATUS {
        let Some(machine) = scope::machine() else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a place.
        unsafe { register(CALL, &machine, None, routine, context, cookie) }
    }

    /// Registers a routine at an altitude, which nobody else may have.
    unsafe fn CmRegisterCallbackEx(
        routine: Option<Routine>,
        altitude: PCUNICODE_STRING,
        owner: PVOID,
        context: PVOID,
        cookie: *mut i64,
        _reserved: PVOID,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a string.
        let altitude = unsafe { string::read(altitude) };
        let altitude = altitude.filter(|altitude| !altitude.is_empty());
        let owner = driver(CALL, "Driver", owner.cast());
        let (Some((machine, _)), Some(altitude)) = (owner, altitude) else {
            return STATUS_INVALID_PARAMETER;
        };
        // SAFETY: the caller passes a place.
        unsafe { register(CALL, &machine, Some(altitude), routine, context, cookie) }
    }

    /// Takes a routine out.
    unsafe fn CmUnRegisterCallback(cookie: i64) -> NTSTATUS {
        let machine = scope::machine();
        if machine.is_some_and(|machine| filter::unregister(&machine, cookie)) {
            STATUS_SUCCESS
        } else {
            STATUS_INVALID_PARAMETER
        }
    }

    /// The version of all this.
    unsafe fn CmGetCallbackVersion(major: *mut ULONG, minor: *mut ULONG) {
        // SAFETY: the caller passes null or places.
        unsafe { write(major, 1) };
        // SAFETY: as above.
        unsafe { write(minor, 1) };
    }

    /// Attaches something to an open key.
    unsafe fn CmSetCallbackObjectContext(
        object: PVOID,
        cookie: *const i64,
        context: PVOID,
        before: *mut PVOID,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a cookie.
        let (machine, key, cookie) = match unsafe { key_of(CALL, object, cookie) } {
            Ok(found) => found,
            Err(status) => return status,
        };
        let filters = &machine.registry_filters;
        let old = filters.attach(key.address(), cookie, context as usize);
        // SAFETY: the caller passes null or a place.
        unsafe { write(before, old as PVOID) };
        STATUS_SUCCESS
    }

    /// Which key an open key is, and its path, which stays while it is open.
    unsafe fn CmCallbackGetKeyObjectID(
        cookie: *const i64,
        object: PVOID,
        id: *mut usize,
        name: *mut PCUNICODE_STRING,
    ) -> NTSTATUS {
        // SAFETY: the caller passes a cookie.
        let (_, key, _) = match unsafe { key_of(CALL, object, cookie) } {
            Ok(found) => found,
            Err(status) => return status,
        };
        // SAFETY: the caller passes null or a place.
        unsafe { write(id, identifier(&key)) };
        if !name.is_null() {
            // SAFETY: not null, so the caller's place.
            unsafe { name.write(key.name()) };
        }
        STATUS_SUCCESS
    }

    /// The same, with a path that the driver has to release.
    unsafe fn CmCallbackGetKeyObjectIDEx(
        cookie: *const i64,
        object: PVOID,
        id: *mut usize,
        name: *mut PCUNICODE_STRING,
        flags: ULONG,
    ) -> NTSTATUS {
        if flags != 0 {
            return STATUS_INVALID_PARAMETER;
        }
        // SAFETY: the caller passes a cookie.
        let (machine, key, _) = match unsafe { key_of(CALL, object, cookie) } {
            Ok(found) => found,
            Err(status) => return status,
        };
        if !name.is_null() {
            let Some(made) = string_in_pool(&machine, CALL, &key.path().unwrap_or_default()) else {
                return STATUS_INSUFFICIENT_RESOURCES;
            };
            // SAFETY: not null, so the caller's place.
            unsafe { name.write(made) };
        }
        // SAFETY: the caller passes null or a place.
        unsafe { write(id, identifier(&key)) };
        STATUS_SUCCESS
    }

    /// Releases such a path.
    unsafe fn CmCallbackReleaseKeyObjectIDEx(name: PCUNICODE_STRING) {
        pool::free(scope::machine().as_deref(), CALL, name as usize, TAG);
    }

    /// The transaction that an open key is in: none is in any.
    unsafe fn CmGetBoundTransaction(cookie: *const i64, object: PVOID) -> PVOID {
        // SAFETY: the caller passes a cookie.
        let _ = unsafe { key_of(CALL, object, cookie) };
        std::ptr::null_mut()
    }
}

/// A string with its characters behind it, in pool.
fn string_in_pool(machine: &Inner, call: &'static str, text: &str) -> Option<PCUNICODE_STRING> {
    let own = Owned::new(text);
    let mut header = own.header();
    let size = size_of::<UNICODE_STRING>() + usize::from(header.Length);
    let address = machine
        .pool
        .allocate(machine, call, PagedPool, size as SIZE_T, TAG, false);
    if address == 0 {
        return None;
    }
    let string = address as PUNICODE_STRING;
    let buffer = string.wrapping_add(1).cast::<u8>();
    // SAFETY: the allocation has room for the characters behind the header, and is new.
    unsafe { buffer.copy_from_nonoverlapping(header.Buffer.cast(), header.Length.into()) };
    header.Buffer = buffer.cast();
    // SAFETY: and for the header.
    unsafe { string.write(header) };
    Some(string)
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use super::*;
    use crate::exports::kernel::ZwClose;
    use crate::exports::registry::by_handle::{
        ZwCreateKey, ZwDeleteKey, ZwDeleteValueKey, ZwEnumerateKey, ZwEnumerateValueKey,
        ZwFlushKey, ZwOpenKey, ZwQueryKey, ZwQueryValueKey, ZwSetValueKey,
    };
    use crate::exports::registry::by_path::{
        RtlCheckRegistryKey, RtlCreateRegistryKey, RtlDeleteRegistryValue, RtlWriteRegistryValue,
    };
    use crate::{DriverConfig, Machine, RegistryValue};
    use std::cell::RefCell;
    use std::ptr::{null, null_mut};

    const SOFTWARE: &str = r"\Registry\Machine\Software";
    const KEY: &str = r"\Registry\Machine\Software\Key";
    const DENIED: NTSTATUS = STATUS_ACCESS_DENIED;
    const BYPASS: NTSTATUS = 0xC000_0503_u32.cast_signed();
    const PRE_OPEN: usize = 28;
    const POST_OPEN: usize = 29;

    type Answer<'a> = &'a dyn Fn(usize, PVOID) -> NTSTATUS;

    /// A routine with its log: who was told of which class.
    struct Watcher<'a> {
        name: &'static str,
        log: &'a RefCell<Vec<(&'static str, usize)>>,
        answer: Answer<'a>,
    }

    fltapi! {
        /// Writes down what it is told of, and answers.
        ///
        /// # Safety
        /// The context is a watcher.
        unsafe fn watch(context: PVOID, class: PVOID, what: PVOID) -> NTSTATUS {
            // SAFETY: by this function's contract.
            let watcher = unsafe { &*context.cast::<Watcher<'_>>() };
            let class = class as usize;
            watcher.log.borrow_mut().push((watcher.name, class));
            (watcher.answer)(class, what)
        }
    }

    const LET_PASS: Answer<'static> = &|_, _| STATUS_SUCCESS;

    fn register(machine: &Machine, watcher: &Watcher<'_>, altitude: &str) -> Result<i64, NTSTATUS> {
        let driver = machine.create_driver(DriverConfig::new(watcher.name));
        let altitude = Owned::new(altitude);
        let (owner, context) = (driver.driver_object().cast(), std::ptr::from_ref(watcher));
        let mut cookie = 0;
        // SAFETY: a routine with its context, a string, a driver and a place.
        let status = unsafe {
            CmRegisterCallbackEx(
                Some(watch),
                altitude.pointer(),
                owner,
                context.cast_mut().cast(),
                &raw mut cookie,
                null_mut(),
            )
        };
        if nt_success(status) {
            Ok(cookie)
        } else {
            Err(status)
        }
    }

    fn unregister(cookie: i64) -> NTSTATUS {
        // SAFETY: any number may be passed.
        unsafe { CmUnRegisterCallback(cookie) }
    }

    /// Opens or makes a key.
    fn open(path: &str, create: bool) -> Result<HANDLE, NTSTATUS> {
        let name = Owned::new(path);
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: 48,
            RootDirectory: null_mut(),
            ObjectName: name.pointer().cast_mut(),
            Attributes: 0x240,
            SecurityDescriptor: null_mut(),
            SecurityQualityOfService: null_mut(),
        };
        let (mut handle, at) = (null_mut(), &raw mut attributes);
        let place = &raw mut handle;
        let status = if create {
            // SAFETY: attributes and a place.
            unsafe { ZwCreateKey(place, 0xF003F, at, 0, null(), 0, null_mut()) }
        } else {
            // SAFETY: as above.
            unsafe { ZwOpenKey(place, 0xF003F, at) }
        };
        if nt_success(status) {
            Ok(handle)
        } else {
            Err(status)
        }
    }

    fn close(handle: HANDLE) {
        // SAFETY: any handle may be passed.
        assert_eq!(unsafe { ZwClose(handle) }, STATUS_SUCCESS);
    }

    fn set(handle: HANDLE, name: &str, data: u32) -> NTSTATUS {
        let (name, mut data) = (Owned::new(name), data);
        // SAFETY: a string and four bytes.
        unsafe { ZwSetValueKey(handle, name.pointer(), 0, 4, (&raw mut data).cast(), 4) }
    }

    /// The partial information of a value, in numbers.
    fn query(handle: HANDLE, name: &str) -> Result<[u32; 4], NTSTATUS> {
        let name = Owned::new(name);
        let (mut buffer, mut needed) = ([0_u32; 4], 0);
        let at = buffer.as_mut_ptr().cast();
        // SAFETY: a string, a buffer and a place.
        let status = unsafe { ZwQueryValueKey(handle, name.pointer(), 2, at, 16, &raw mut needed) };
        if nt_success(status) {
            Ok(buffer)
        } else {
            Err(status)
        }
    }

    /// A member of a structure that a routine is told with, by its place among words.
    fn member(what: PVOID, index: usize) -> usize {
        // SAFETY: the structures of the tests have so many words.
        unsafe { what.cast::<usize>().wrapping_add(index).read() }
    }

    /// How an operation has ended.
    fn status_of(what: PVOID) -> NTSTATUS {
        // SAFETY: the structure of the end of an operation has its status there.
        unsafe { what.cast::<NTSTATUS>().wrapping_add(2).read() }
    }

    fn change(what: PVOID, index: usize, value: usize) {
        // SAFETY: as above.
        unsafe { what.cast::<usize>().wrapping_add(index).write(value) };
    }

    /// The machine with a key.
    fn machine() -> Machine {
        let machine = Machine::default();
        machine.registry().create_key(KEY).unwrap();
        machine
    }

    fn in_kernel(machine: &Machine, run: impl FnOnce()) {
        machine.at_irql(PASSIVE_LEVEL, run);
    }

    #[test]
    fn routines_are_told_by_their_altitude() {
        let (machine, log) = (machine(), RefCell::default());
        let watcher = |name| Watcher {
            name,
            log: &log,
            answer: LET_PASS,
        };
        let [low, high, old] = ["low", "high", "old"].map(watcher);
        in_kernel(&machine, || {
            let cookies = [
                register(&machine, &low, "200000").unwrap(),
                register(&machine, &high, "300000.5").unwrap(),
            ];
            let mut cookie = 0;
            let context = (&raw const old).cast_mut().cast();
            // SAFETY: a routine with its context, and a place.
            let status = unsafe { CmRegisterCallback(Some(watch), context, &raw mut cookie) };
            assert_eq!(status, STATUS_SUCCESS);
            let taken = Err(STATUS_FLT_INSTANCE_ALTITUDE_COLLISION);
            assert_eq!(register(&machine, &old, "300000.50"), taken);
            assert_eq!(register(&machine, &old, ""), Err(STATUS_INVALID_PARAMETER));
            let key = open(KEY, false).unwrap();
            let all = ["old", "high", "low"];
            let down = |class| all.map(|name| (name, class));
            let up = |class| ["low", "high", "old"].map(|name| (name, class));
            assert_eq!(log.take(), [down(PRE_OPEN), up(POST_OPEN)].concat());
            close(key);
            assert_eq!(log.take(), [down(14), up(25)].concat());
            for cookie in cookies.into_iter().chain([cookie]) {
                assert_eq!(unregister(cookie), STATUS_SUCCESS);
                assert_eq!(unregister(cookie), STATUS_INVALID_PARAMETER);
            }
            close(open(KEY, false).unwrap());
            assert_eq!(log.take(), []);
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn every_operation_is_told_of() {
        let (machine, log) = (machine(), RefCell::default());
        let watcher = Watcher {
            name: "",
            log: &log,
            answer: LET_PASS,
        };
        let told = || -> Vec<usize> { log.take().into_iter().map(|(_, class)| class).collect() };
        in_kernel(&machine, || {
            let cookie = register(&machine, &watcher, "1").unwrap();
            let key = open(KEY, true).unwrap();
            assert_eq!(told(), [26, 27]);
            assert_eq!(set(key, "a", 7), STATUS_SUCCESS);
            assert_eq!(told(), [1, 16]);
            assert_eq!(query(key, "a"), Ok([0, 4, 4, 7]));
            assert_eq!(told(), [8, 23]);
            let (mut buffer, mut needed) = ([0_u64; 64], 0);
            let (at, needed) = (buffer.as_mut_ptr().cast(), &raw mut needed);
            // SAFETY: a buffer and a place.
            let status = unsafe { ZwEnumerateValueKey(key, 0, 1, at, 512, needed) };
            assert_eq!((status, told()), (STATUS_SUCCESS, vec![6, 21]));
            // SAFETY: as above.
            let status = unsafe { ZwEnumerateKey(key, 0, 0, at, 512, needed) };
            assert_eq!((status, told()), (STATUS_NO_MORE_ENTRIES, vec![5, 20]));
            // SAFETY: as above.
            let status = unsafe { ZwQueryKey(key, 3, at, 512, needed) };
            assert_eq!((status, told()), (STATUS_SUCCESS, vec![7, 22]));
            // SAFETY: any handle may be passed.
            let status = unsafe { ZwFlushKey(key) };
            assert_eq!((status, told()), (STATUS_SUCCESS, vec![30, 31]));
            let name = Owned::new("a");
            // SAFETY: a string.
            let status = unsafe { ZwDeleteValueKey(key, name.pointer()) };
            assert_eq!((status, told()), (STATUS_SUCCESS, vec![2, 17]));
            // SAFETY: any handle may be passed.
            let status = unsafe { ZwDeleteKey(key) };
            assert_eq!((status, told()), (STATUS_SUCCESS, vec![0, 15]));
            close(key);
            assert_eq!(told(), [14, 25]);
            let terminated = |text: &str| -> Vec<u16> { text.encode_utf16().chain([0]).collect() };
            let (path, name) = (terminated(KEY), terminated("b"));
            let (path, name) = (path.as_ptr(), name.as_ptr());
            // SAFETY: a terminated string.
            let status = unsafe { RtlCreateRegistryKey(0, path) };
            assert_eq!((status, told()), (STATUS_SUCCESS, vec![26, 27, 14, 25]));
            // SAFETY: terminated strings.
            let status = unsafe { RtlWriteRegistryValue(0, path, name, 3, null_mut(), 0) };
            assert_eq!(
                (status, told()),
                (STATUS_SUCCESS, vec![26, 27, 1, 16, 14, 25])
            );
            // SAFETY: as above.
            let status = unsafe { RtlDeleteRegistryValue(0, path, name) };
            assert_eq!(
                (status, told()),
                (STATUS_SUCCESS, vec![28, 29, 2, 17, 14, 25])
            );
            machine
                .registry()
                .set_value(KEY, "c", RegistryValue::dword(1))
                .unwrap();
            assert_eq!(told(), [26, 27, 1, 16, 14, 25]);
            machine.registry().delete_key(KEY).unwrap();
            assert_eq!(told(), [28, 29, 0, 15, 14, 25]);
            assert_eq!(open(KEY, false), Err(STATUS_OBJECT_NAME_NOT_FOUND));
            assert_eq!(told(), [28, 29]);
            assert_eq!(unregister(cookie), STATUS_SUCCESS);
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn who_refuses_is_not_told_again_and_nobody_below_is_told() {
        let (machine, log) = (machine(), RefCell::default());
        let new = format!(r"{SOFTWARE}\New");
        let high = Watcher {
            name: "high",
            log: &log,
            answer: &|class, what| {
                if class == 27 {
                    // No object, and why.
                    assert_eq!((member(what, 0), status_of(what)), (0, DENIED));
                }
                STATUS_SUCCESS
            },
        };
        let middle = Watcher {
            name: "middle",
            log: &log,
            answer: &|class, _| if class == 26 { DENIED } else { STATUS_SUCCESS },
        };
        let low = Watcher {
            name: "low",
            log: &log,
            answer: LET_PASS,
        };
        in_kernel(&machine, || {
            let cookies = [(&low, "1"), (&middle, "2"), (&high, "3")]
                .map(|(watcher, altitude)| register(&machine, watcher, altitude).unwrap());
            assert_eq!(open(&new, true), Err(DENIED));
            assert_eq!(log.take(), [("high", 26), ("middle", 26), ("high", 27)]);
            assert!(
                cookies
                    .map(unregister)
                    .iter()
                    .all(|status| *status == STATUS_SUCCESS)
            );
            assert_eq!(open(&new, false), Err(STATUS_OBJECT_NAME_NOT_FOUND));
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn operations_are_done_by_routines_and_their_end_is_changed() {
        let (machine, log) = (machine(), RefCell::default());
        let watcher = Watcher {
            name: "",
            log: &log,
            answer: &|class, what| match class {
                // Setting: done, as far as anybody knows.
                1 => BYPASS,
                // A query answers with another number, or is not allowed after all.
                23 if status_of(what) == STATUS_SUCCESS => {
                    let buffer = member(member(what, 2) as PVOID, 3) as *mut u32;
                    // SAFETY: the buffer of the query.
                    unsafe { buffer.wrapping_add(3).write(8) };
                    STATUS_SUCCESS
                }
                23 => {
                    change(what, 3, DENIED.cast_unsigned() as usize);
                    BYPASS
                }
                // What is neither passed on nor bypassed after an operation changes nothing.
                17 => STATUS_UNSUCCESSFUL,
                // Closing cannot be refused.
                14 => DENIED,
                _ => STATUS_SUCCESS,
            },
        };
        in_kernel(&machine, || {
            let key = open(KEY, false).unwrap();
            assert_eq!(set(key, "old", 7), STATUS_SUCCESS);
            let cookie = register(&machine, &watcher, "1").unwrap();
            assert_eq!(set(key, "new", 7), STATUS_SUCCESS);
            assert_eq!(query(key, "old"), Ok([0, 4, 4, 8]));
            assert_eq!(query(key, "new"), Err(DENIED));
            let name = Owned::new("old");
            // SAFETY: a string.
            let status = unsafe { ZwDeleteValueKey(key, name.pointer()) };
            assert_eq!(status, STATUS_SUCCESS);
            close(key);
            let classes = [1, 8, 23, 8, 23, 2, 17, 14].map(|class| ("", class));
            assert_eq!(log.take(), classes);
            assert_eq!(unregister(cookie), STATUS_SUCCESS);
        });
        assert_eq!(machine.registry().values(KEY), Some(Vec::new()));
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn what_a_routine_does_itself_is_told_to_those_below() {
        let (machine, log) = (machine(), RefCell::default());
        let path: Vec<u16> = KEY.encode_utf16().chain([0]).collect();
        let watcher = |name, answer| Watcher {
            name,
            log: &log,
            answer,
        };
        let high = watcher("high", LET_PASS);
        let asks = |class: usize, _| {
            if class == 1 {
                // SAFETY: a terminated string.
                unsafe { RtlCheckRegistryKey(0, path.as_ptr()) }
            } else {
                STATUS_SUCCESS
            }
        };
        let middle = watcher("middle", &asks);
        let low = watcher("low", LET_PASS);
        in_kernel(&machine, || {
            let key = open(KEY, false).unwrap();
            let cookies = [(&low, "1"), (&middle, "2"), (&high, "3")]
                .map(|(watcher, altitude)| register(&machine, watcher, altitude).unwrap());
            assert_eq!(set(key, "a", 7), STATUS_SUCCESS);
            let nested = [28, 29, 14, 25].map(|class| ("low", class));
            let before = [("high", 1), ("middle", 1)];
            let after = [("low", 1), ("low", 16), ("middle", 16), ("high", 16)];
            assert_eq!(log.take(), [&before[..], &nested, &after].concat());
            assert!(
                cookies
                    .map(unregister)
                    .iter()
                    .all(|status| *status == STATUS_SUCCESS)
            );
            close(key);
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn keys_and_operations_have_contexts_of_each_routine() {
        let (machine, log) = (machine(), RefCell::default());
        let cookie = std::cell::Cell::new(0_i64);
        let seen = RefCell::new(Vec::new());
        let attach = |object: usize, context: usize| {
            let (cookie, mut before) = (cookie.get(), null_mut());
            // SAFETY: a cookie and a place; the object is looked up.
            let status = unsafe {
                CmSetCallbackObjectContext(
                    object as PVOID,
                    &raw const cookie,
                    context as PVOID,
                    &raw mut before,
                )
            };
            assert_eq!(status, STATUS_SUCCESS);
            before as usize
        };
        let answer = |class, what| {
            match class {
                POST_OPEN => {
                    assert_eq!(attach(member(what, 0), 0x10), 0);
                    assert_eq!(attach(member(what, 0), 0x20), 0x10);
                }
                // What is kept for the end, and what the key has.
                1 => {
                    seen.borrow_mut().push((class, 0, member(what, 6)));
                    change(what, 5, 0x30);
                }
                16 => seen
                    .borrow_mut()
                    .push((class, member(what, 4), member(what, 5))),
                40 => seen.borrow_mut().push((class, 0, member(what, 1))),
                _ => {}
            }
            STATUS_SUCCESS
        };
        let watcher = Watcher {
            name: "",
            log: &log,
            answer: &answer,
        };
        in_kernel(&machine, || {
            let plain = open(KEY, false).unwrap();
            cookie.set(register(&machine, &watcher, "1").unwrap());
            let key = open(KEY, false).unwrap();
            let other = open(KEY, false).unwrap();
            assert_eq!(set(plain, "a", 7), STATUS_SUCCESS);
            assert_eq!(seen.take(), [(1, 0, 0), (16, 0x30, 0)]);
            assert_eq!(set(key, "a", 7), STATUS_SUCCESS);
            assert_eq!(seen.take(), [(1, 0, 0x20), (16, 0x30, 0x20)]);
            log.take();
            close(key);
            assert_eq!(log.take(), [14, 40, 25].map(|class| ("", class)));
            assert_eq!(seen.take(), [(40, 0, 0x20)]);
            assert_eq!(unregister(cookie.get()), STATUS_SUCCESS);
            assert_eq!(log.take(), [("", 40)]);
            close(other);
            close(plain);
        });
        let outcome = machine.finish();
        assert!(outcome.is_clean(), "{outcome:#?}");
    }

    #[test]
    fn keys_have_identifiers_and_names() {
        let (machine, log) = (machine(), RefCell::default());
        let watcher = Watcher {
            name: "",
            log: &log,
            answer: LET_PASS,
        };
        in_kernel(&machine, || {
            let cookie = register(&machine, &watcher, "1").unwrap();
            let keys = [KEY, KEY, SOFTWARE].map(|path| open(path, false).unwrap());
            let objects = keys.map(|key| {
                let (object, _) = machine.inner.handles.find(key).unwrap();
                assert_eq!(object.object_type(), "CmKeyObjectType");
                object.address() as PVOID
            });
            let expected = KEY.to_uppercase();
            let ask = |object, cookie: i64| {
                let (mut id, mut name) = (0, null());
                // SAFETY: a cookie and places; the object is looked up.
                let status = unsafe {
                    CmCallbackGetKeyObjectID(&raw const cookie, object, &raw mut id, &raw mut name)
                };
                // SAFETY: null or a string.
                let name = unsafe { string::read(name) };
                (status, id, name.map(|name| name.to_uppercase()))
            };
            let [one, same, other] = objects.map(|object| ask(object, cookie));
            assert_eq!(
                (one.0, one.2.as_deref()),
                (STATUS_SUCCESS, Some(&*expected))
            );
            assert_eq!(one, same);
            assert_ne!(one.1, other.1);
            assert_eq!(
                ask(objects[0], cookie + 1),
                (STATUS_INVALID_PARAMETER, 0, None)
            );
            let ask_ex = |object, flags| {
                let (mut id, mut name) = (0, null());
                // SAFETY: as above.
                let status = unsafe {
                    CmCallbackGetKeyObjectIDEx(
                        &raw const cookie,
                        object,
                        &raw mut id,
                        &raw mut name,
                        flags,
                    )
                };
                (status, id, name)
            };
            let (status, id, name) = ask_ex(objects[0], 0);
            assert_eq!((status, id), (STATUS_SUCCESS, one.1));
            // SAFETY: a string.
            let text = unsafe { string::read(name) }.unwrap();
            assert_eq!(text.to_uppercase(), expected);
            // SAFETY: what was made for the driver.
            unsafe { CmCallbackReleaseKeyObjectIDEx(name) };
            assert_eq!(ask_ex(objects[0], 1).0, STATUS_INVALID_PARAMETER);
            // SAFETY: a cookie; the object is looked up.
            assert!(unsafe { CmGetBoundTransaction(&raw const cookie, objects[0]) }.is_null());
            assert!(machine.verifier().reports().is_empty());
            keys.into_iter().for_each(close);
            assert_eq!(ask_ex(objects[0], 0).0, STATUS_INVALID_PARAMETER);
            let (mut major, mut minor) = (0, 0);
            // SAFETY: places.
            unsafe { CmGetCallbackVersion(&raw mut major, &raw mut minor) };
            assert_eq!((major, minor), (1, 1));
        });
        let outcome = machine.finish();
        let violations: Vec<_> = outcome
            .violations
            .iter()
            .map(|report| report.call)
            .collect();
        assert_eq!(violations, ["CmCallbackGetKeyObjectIDEx"]);
        let leaks: Vec<_> = outcome.leaks.iter().map(|leak| leak.object).collect();
        assert_eq!(leaks, ["registry callback"]);
        assert_eq!(outcome.bugchecks.len(), 0);
    }

    #[test]
    fn an_open_is_answered_with_an_object_or_none() {
        let (machine, log) = (machine(), RefCell::default());
        let given = std::cell::Cell::new(0);
        let answer = |class, what| {
            if class == PRE_OPEN {
                // SAFETY: the place for the object.
                unsafe { (member(what, 9) as *mut usize).write(given.get()) };
                return BYPASS;
            }
            STATUS_SUCCESS
        };
        let watcher = Watcher {
            name: "",
            log: &log,
            answer: &answer,
        };
        in_kernel(&machine, || {
            let real = open(KEY, false).unwrap();
            let cookie = register(&machine, &watcher, "1").unwrap();
            let (object, _) = machine.inner.handles.find(real).unwrap();
            object.reference("test");
            given.set(object.address());
            let opened = open(r"\Registry\Machine\Nowhere", false).unwrap();
            let (found, _) = machine.inner.handles.find(opened).unwrap();
            assert_eq!(found.address(), object.address());
            close(opened);
            assert_eq!(log.take(), [("", PRE_OPEN)]);
            assert!(machine.verifier().reports().is_empty());
            given.set(0);
            assert_eq!(open(KEY, false), Err(STATUS_UNSUCCESSFUL));
            close(real);
            assert_eq!(unregister(cookie), STATUS_SUCCESS);
        });
        let outcome = machine.finish();
        let texts: Vec<_> = outcome
            .violations
            .into_iter()
            .map(|report| report.message)
            .collect();
        let expected = "a registry callback made the operation succeed without a ResultObject";
        assert_eq!(texts, [expected]);
        assert_eq!((outcome.leaks.len(), outcome.bugchecks.len()), (0, 0));
    }
}
