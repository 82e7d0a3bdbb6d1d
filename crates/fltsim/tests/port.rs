//! Communication ports: connections, messages both ways, and what goes wrong with them.

#![allow(
    clippy::cast_possible_truncation,
    reason = "sizes of buffers fit their size members"
)]

mod core_support;

use core_support::{Bench, all_kinds, config, registration};
use fltmgr_sys::*;
use fltsim::verifier::Rule;
use fltsim::{Machine, Port, Unload};
use std::cell::Cell;
use std::ptr::{from_mut, null, null_mut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const KERNEL: ULONG = OBJ_KERNEL_HANDLE;
const SECOND: Duration = Duration::from_secs(1);

thread_local! {
    /// The filter and the server port that the unload callback closes.
    static OPEN: Cell<(PFLT_FILTER, PFLT_PORT)> = const { Cell::new((null_mut(), null_mut())) };
}

/// A server of this test: its address is the cookie of the server port and of its connections.
struct Server {
    filter: PFLT_FILTER,
    /// The variable that holds the newest client port.
    client: AtomicUsize,
    connects: AtomicU64,
    disconnects: AtomicU64,
    messages: AtomicU64,
    /// The bytes of the contexts of all connections, added up.
    contexts: AtomicU64,
    keeps_clients: bool,
}

// SAFETY: the pointer is a name that is only handed to exports.
unsafe impl Sync for Server {}

impl Server {
    fn count(&self) -> [u64; 3] {
        [&self.connects, &self.disconnects, &self.messages]
            .map(|count| count.load(Ordering::SeqCst))
    }

    fn variable(&self) -> *mut PFLT_PORT {
        self.client.as_ptr().cast()
    }

    fn close_client(&self) {
        // SAFETY: the variable lives as long as the process.
        unsafe { FltCloseClientPort(self.filter, self.variable()) };
    }

    /// Sends with a timeout in milliseconds.
    fn send(&self, data: &[u8], reply: Option<&mut [u8]>, timeout: i64) -> (NTSTATUS, ULONG) {
        let mut timeout = LARGE_INTEGER {
            QuadPart: timeout * -10_000,
        };
        let mut length = reply.as_ref().map_or(0, |reply| reply.len() as ULONG);
        let reply = reply.map_or(null_mut(), |reply| reply.as_mut_ptr().cast());
        // SAFETY: all buffers are ours, and as long as is said.
        let status = unsafe {
            FltSendMessage(
                self.filter,
                self.variable(),
                data.as_ptr().cast_mut().cast(),
                data.len() as ULONG,
                reply,
                &raw mut length,
                &raw mut timeout,
            )
        };
        (status, length)
    }
}

fn server(cookie: PVOID) -> &'static Server {
    // SAFETY: the cookies of these tests are servers that live as long as the process.
    unsafe { &*cookie.cast::<Server>() }
}

fltapi! {
    /// Refuses who says "no".
    unsafe fn connect(
        client: PFLT_PORT,
        cookie: PVOID,
        context: PVOID,
        size: ULONG,
        connection: *mut PVOID,
    ) -> NTSTATUS {
        let server = server(cookie);
        let context: &[u8] = if context.is_null() {
            assert_eq!(size, 0);
            &[]
        } else {
            // SAFETY: the machine passes so many bytes.
            unsafe { std::slice::from_raw_parts(context.cast(), size as usize) }
        };
        if context == b"no" {
            return STATUS_ACCESS_DENIED;
        }
        server.connects.fetch_add(1, Ordering::SeqCst);
        let sum = context.iter().map(|byte| u64::from(*byte)).sum();
        server.contexts.fetch_add(sum, Ordering::SeqCst);
        server.client.store(client as usize, Ordering::SeqCst);
        // SAFETY: the machine passes a place for the cookie.
        unsafe { *connection = cookie };
        STATUS_SUCCESS
    }

    unsafe fn disconnect(cookie: PVOID) {
        let server = server(cookie);
        server.disconnects.fetch_add(1, Ordering::SeqCst);
        if !server.keeps_clients {
            server.close_client();
        }
    }

    /// Answers with the bytes in reverse; "bad" fails, "long" says too much, "ask" asks back.
    unsafe fn message(
        cookie: PVOID,
        input: PVOID,
        input_length: ULONG,
        output: PVOID,
        output_length: ULONG,
        returned: *mut ULONG,
    ) -> NTSTATUS {
        let server = server(cookie);
        server.messages.fetch_add(1, Ordering::SeqCst);
        let input: &[u8] = if input.is_null() {
            &[]
        } else {
            // SAFETY: the client passes so many bytes.
            unsafe { std::slice::from_raw_parts(input.cast(), input_length as usize) }
        };
        let mut answer: Vec<u8> = input.iter().rev().copied().collect();
        match input {
            b"bad" => return STATUS_NOT_SUPPORTED,
            b"long" => {
                // SAFETY: the machine passes a place for the length.
                unsafe { *returned = output_length + 1 };
                return STATUS_SUCCESS;
            }
            b"ask" => {
                answer.resize(4, 0);
                assert_eq!(server.send(b"?", Some(&mut answer), 5000), (STATUS_SUCCESS, 4));
            }
            _ => {}
        }
        let length = answer.len().min(output_length as usize);
        // SAFETY: the client's buffer has this room.
        unsafe { output.cast::<u8>().copy_from_nonoverlapping(answer.as_ptr(), length) };
        // SAFETY: as above.
        unsafe { *returned = length as ULONG };
        STATUS_SUCCESS
    }

    /// Closes the server port, as a driver must, and unregisters.
    unsafe fn unload(_flags: FLT_FILTER_UNLOAD_FLAGS) -> NTSTATUS {
        let (filter, port) = OPEN.get();
        if !port.is_null() {
            // SAFETY: an export checks its arguments itself.
            unsafe { FltCloseCommunicationPort(port) };
        }
        // SAFETY: the filter is registered while this callback can be called.
        unsafe { FltUnregisterFilter(filter) };
        STATUS_SUCCESS
    }
}

fn bench() -> Bench {
    let mut registration = registration();
    registration.FilterUnloadCallback = Some(unload);
    let bench = Bench::with(config(), registration, all_kinds());
    OPEN.set((bench.filter, null_mut()));
    bench
}

fn new_server(bench: &Bench, keeps_clients: bool) -> &'static Server {
    Box::leak(Box::new(Server {
        filter: bench.filter,
        client: AtomicUsize::new(0),
        connects: AtomicU64::new(0),
        disconnects: AtomicU64::new(0),
        messages: AtomicU64::new(0),
        contexts: AtomicU64::new(0),
        keeps_clients,
    }))
}

/// What a port is created with.
struct How {
    name: &'static str,
    attributes: ULONG,
    descriptor: PVOID,
    most: LONG,
    connect: PFLT_CONNECT_NOTIFY,
    disconnect: PFLT_DISCONNECT_NOTIFY,
    message: PFLT_MESSAGE_NOTIFY,
}

fn how(name: &'static str) -> How {
    How {
        name,
        attributes: KERNEL,
        descriptor: null_mut(),
        most: 8,
        connect: Some(connect),
        disconnect: Some(disconnect),
        message: Some(message),
    }
}

fn create(server: &Server, how: &How) -> (NTSTATUS, PFLT_PORT) {
    let mut units: Vec<u16> = how.name.encode_utf16().collect();
    let bytes = (units.len() * 2) as u16;
    let mut name = UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: units.as_mut_ptr(),
    };
    let mut attributes = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as ULONG,
        RootDirectory: null_mut(),
        ObjectName: from_mut(&mut name),
        Attributes: how.attributes,
        SecurityDescriptor: how.descriptor,
        SecurityQualityOfService: null_mut(),
    };
    let mut port = std::ptr::dangling_mut::<FLT_PORT>();
    // SAFETY: everything that is passed is ours and lives long enough.
    let status = unsafe {
        FltCreateCommunicationPort(
            server.filter,
            &raw mut port,
            &raw mut attributes,
            std::ptr::from_ref(server).cast_mut().cast(),
            how.connect,
            how.disconnect,
            how.message,
            how.most,
        )
    };
    (status, port)
}

/// A port `\Test` that the unload callback closes.
fn open(bench: &Bench) -> &'static Server {
    let server = new_server(bench, false);
    let (status, port) = create(server, &how(r"\Test"));
    assert_eq!(status, STATUS_SUCCESS);
    OPEN.set((bench.filter, port));
    server
}

fn close(port: PFLT_PORT) {
    // SAFETY: an export checks its arguments itself.
    unsafe { FltCloseCommunicationPort(port) };
}

fn refused(machine: &Machine, name: &str) -> NTSTATUS {
    machine.connect_port(name, &[]).unwrap_err()
}

fn rules(bench: &Bench) -> Vec<Rule> {
    let reports = bench.machine.verifier().take_reports();
    reports.iter().map(|report| report.rule).collect()
}

fn unload_clean(bench: &Bench) {
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    bench.assert_clean();
}

#[test]
fn messages_go_both_ways() {
    let bench = bench();
    let server = open(&bench);
    let port = bench.machine.connect_port(r"\Test", &[1, 2, 3]).unwrap();
    assert_eq!(server.contexts.load(Ordering::SeqCst), 6);
    assert_eq!(port.send(b"abc", 10), Ok(b"cba".to_vec()));
    assert_eq!(port.send(b"abc", 2), Ok(b"cb".to_vec()));
    assert_eq!(port.send(b"", 2), Ok(vec![]));
    assert_eq!(port.send(b"bad", 2), Err(STATUS_NOT_SUPPORTED));

    // A message that a callback sends while user mode waits for that callback's answer.
    thread::scope(|scope| {
        scope.spawn(|| {
            let message = port.get_message(Some(5 * SECOND)).unwrap();
            assert_eq!((message.reply_length, &*message.data), (16 + 4, &b"?"[..]));
            port.reply(message.id, STATUS_SUCCESS, b"reply"[..4].as_ref())
                .unwrap();
        });
        assert_eq!(port.send(b"ask", 4), Ok(b"repl".to_vec()));
    });
    assert_eq!(server.count(), [1, 0, 5]);
    port.close();
    assert_eq!(server.count(), [1, 1, 5]);
    assert_eq!(bench.machine.calls("FltCloseClientPort"), 1);
    assert_eq!(bench.machine.calls("FltSendMessage"), 1);
    unload_clean(&bench);
    assert_eq!(server.count(), [1, 1, 5]);
}

#[test]
fn a_sender_waits_for_the_reader_and_for_the_reply() {
    let bench = bench();
    let server = open(&bench);
    let port = bench.machine.connect_port(r"\Test", &[]).unwrap();
    // Nobody reads.
    let before = Instant::now();
    assert_eq!(server.send(b"1", None, 30).0, STATUS_TIMEOUT);
    assert!(before.elapsed() >= Duration::from_millis(30));
    assert_eq!(server.send(b"2", None, 0).0, STATUS_TIMEOUT);
    // What timed out is not delivered later.
    let short = Some(Duration::from_millis(5));
    assert_eq!(port.get_message(short), Err(STATUS_TIMEOUT));

    thread::scope(|scope| {
        let sender = scope.spawn(|| server.send(b"3", None, 5000));
        let message = port.get_message(Some(5 * SECOND)).unwrap();
        assert_eq!((message.reply_length, &*message.data), (0, &b"3"[..]));
        assert_eq!(sender.join().unwrap().0, STATUS_SUCCESS);
        let late = port.reply(message.id, STATUS_SUCCESS, &[]);
        assert_eq!(late, Err(STATUS_FLT_NO_WAITER_FOR_REPLY));
    });

    // A reader that waits gets a message whose sender does not.
    thread::scope(|scope| {
        let reader = scope.spawn(|| port.get_message(Some(5 * SECOND)).unwrap().data);
        let mut status = STATUS_TIMEOUT;
        while status == STATUS_TIMEOUT {
            thread::sleep(Duration::from_millis(1));
            status = server.send(b"4", None, 0).0;
        }
        assert_eq!(status, STATUS_SUCCESS);
        assert_eq!(reader.join().unwrap(), b"4");
    });

    // Replies: one that fits, one that does not, one with a status, none in time.
    let mut ids = Vec::new();
    for (reply, status, expected) in [
        (Some(&b"ab"[..]), STATUS_SUCCESS, (STATUS_SUCCESS, 2)),
        (Some(b"abcdef"), STATUS_SUCCESS, (STATUS_BUFFER_OVERFLOW, 4)),
        (Some(b""), STATUS_ACCESS_DENIED, (STATUS_ACCESS_DENIED, 0)),
        (None, 0, (STATUS_TIMEOUT, 4)),
    ] {
        thread::scope(|scope| {
            let wait = if reply.is_some() { 5000 } else { 30 };
            let mut buffer = [0; 4];
            let sender = scope.spawn(move || (server.send(b"5", Some(&mut buffer), wait), buffer));
            let message = port.get_message(Some(5 * SECOND)).unwrap();
            assert_eq!(message.reply_length, 20);
            ids.push(message.id);
            if let Some(reply) = reply {
                assert_eq!(port.reply(message.id, status, reply), Ok(()));
            }
            let (result, buffer) = sender.join().unwrap();
            assert_eq!(result, expected);
            let copied = reply.unwrap_or_default().iter().take(4);
            assert!(copied.zip(buffer).all(|(sent, got)| *sent == got));
        });
    }
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let last = port.reply(ids[3], STATUS_SUCCESS, b"late");
    assert_eq!(last, Err(STATUS_FLT_NO_WAITER_FOR_REPLY));
    port.close();
    unload_clean(&bench);
}

#[test]
fn many_threads_use_one_port() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 200;
    let bench = bench();
    let server = open(&bench);
    let port = bench.machine.connect_port(r"\Test", &[]).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let port = &port;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let message = port.get_message(Some(5 * SECOND)).unwrap();
                    port.reply(message.id, STATUS_SUCCESS, &message.data)
                        .unwrap();
                }
            });
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let data = (thread << 32 | round).to_le_bytes();
                    let mut reply = [0; 8];
                    let result = server.send(&data, Some(&mut reply), 5000);
                    assert_eq!((result, reply), ((STATUS_SUCCESS, 8), data));
                }
            });
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    assert_eq!(port.send(b"xy", 2), Ok(b"yx".to_vec()));
                }
            });
        }
    });
    assert_eq!(server.count(), [1, 0, THREADS * ROUNDS]);
    port.close();
    unload_clean(&bench);
}

#[test]
fn names_are_found_or_not() {
    let bench = bench();
    let server = new_server(&bench, false);
    let machine = &bench.machine;
    assert_eq!(refused(machine, r"\Port"), STATUS_OBJECT_NAME_NOT_FOUND);
    let (status, port) = create(server, &how(r"\Port"));
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(
        create(server, &how(r"\Port")),
        (STATUS_OBJECT_NAME_COLLISION, null_mut())
    );
    let mut any_case = how(r"\pORT");
    any_case.attributes |= OBJ_CASE_INSENSITIVE;
    assert_eq!(create(server, &any_case).0, STATUS_OBJECT_NAME_COLLISION);
    let (status, other) = create(server, &how(r"\pORT"));
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(refused(machine, r"\PORT"), STATUS_OBJECT_NAME_NOT_FOUND);
    close(port);
    close(other);
    let (status, port) = create(server, &any_case);
    assert_eq!(status, STATUS_SUCCESS);
    machine.connect_port(r"\PORT", &[]).unwrap().close();
    // Closing the port leaves connections alone, and frees the name.
    let connection = machine.connect_port(r"\port", &[]).unwrap();
    close(port);
    assert_eq!(connection.send(b"ab", 2), Ok(b"ba".to_vec()));
    assert_eq!(refused(machine, r"\port"), STATUS_OBJECT_NAME_NOT_FOUND);
    let (status, port) = create(server, &any_case);
    assert_eq!(status, STATUS_SUCCESS);
    close(port);
    connection.close();
    assert_eq!(server.count(), [2, 2, 1]);
    assert_eq!(create(server, &how("")).0, STATUS_OBJECT_NAME_INVALID);
    assert_eq!(
        create(server, &how("Port")).0,
        STATUS_OBJECT_PATH_SYNTAX_BAD
    );
    unload_clean(&bench);
}

#[test]
fn connections_are_limited_and_refused() {
    let bench = bench();
    let server = new_server(&bench, true);
    let machine = &bench.machine;
    let mut two = how(r"\Two");
    two.most = 2;
    let (status, port) = create(server, &two);
    assert_eq!(status, STATUS_SUCCESS);
    let refusal = machine.connect_port(r"\Two", b"no").unwrap_err();
    assert_eq!(refusal, STATUS_ACCESS_DENIED);
    let first = machine.connect_port(r"\Two", &[]).unwrap();
    server.close_client();
    // The filter has ended the first connection, which no longer counts.
    let second = machine.connect_port(r"\Two", &[]).unwrap();
    let third = machine.connect_port(r"\Two", &[]).unwrap();
    assert_eq!(refused(machine, r"\Two"), STATUS_CONNECTION_COUNT_LIMIT);
    assert_eq!(first.send(b"a", 1), Err(STATUS_PORT_DISCONNECTED));
    assert_eq!(first.get_message(None), Err(STATUS_PORT_DISCONNECTED));
    let reply = first.reply(1, STATUS_SUCCESS, &[]);
    assert_eq!(reply, Err(STATUS_PORT_DISCONNECTED));
    third.close();
    server.close_client();
    let fourth = machine.connect_port(r"\Two", &[]).unwrap();
    server.close_client();
    drop((first, fourth));
    assert_eq!(server.count(), [4, 3, 0]);
    close(port);
    // The second client port was overwritten in the variable: nobody can close it any more.
    drop(second);
    assert_eq!(server.count(), [4, 4, 0]);
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let leaks = machine.finish().leaks;
    assert_eq!(leaks.len(), 1, "{leaks:?}");
    assert_eq!(leaks[0].object, "client port");
}

#[test]
fn a_port_wants_attributes_and_callbacks() {
    let bench = bench();
    let server = new_server(&bench, false);
    let mut bad = [how(r"\A"), how(r"\A"), how(r"\A"), how(r"\A"), how(r"\A")];
    bad[0].attributes = OBJ_CASE_INSENSITIVE;
    bad[1].connect = None;
    bad[2].disconnect = None;
    bad[3].most = 0;
    bad[4].most = -1;
    for how in &bad {
        assert_eq!(create(server, how), (STATUS_INVALID_PARAMETER, null_mut()));
        assert_eq!(rules(&bench), [Rule::V24]);
    }
    let mut mute = how(r"\A");
    mute.message = None;
    let (status, port) = create(server, &mute);
    assert_eq!(status, STATUS_SUCCESS);
    let client = bench.machine.connect_port(r"\A", &[]).unwrap();
    assert_eq!(client.send(b"a", 1), Err(STATUS_INVALID_DEVICE_REQUEST));
    client.close();
    bench.machine.at_irql(APC_LEVEL, || close(port));
    assert_eq!(rules(&bench), [Rule::V6]);
    unload_clean(&bench);
}

#[test]
fn security_descriptors_keep_out_and_let_in() {
    let bench = bench();
    let server = new_server(&bench, false);
    let machine = &bench.machine;
    for (access, expected) in [
        (FLT_PORT_ALL_ACCESS, Ok(())),
        (FLT_PORT_CONNECT, Ok(())),
        (
            FLT_PORT_ALL_ACCESS & !FLT_PORT_CONNECT,
            Err(STATUS_ACCESS_DENIED),
        ),
    ] {
        let mut secured = how(r"\Secured");
        machine.at_irql(PASSIVE_LEVEL, || {
            // SAFETY: the place for the result is ours.
            let status =
                unsafe { FltBuildDefaultSecurityDescriptor(&raw mut secured.descriptor, access) };
            assert_eq!(status, STATUS_SUCCESS);
        });
        let (status, port) = create(server, &secured);
        assert_eq!(status, STATUS_SUCCESS);
        // It is not needed any longer than for the call.
        // SAFETY: it was allocated just now.
        machine.at_irql(0, || unsafe {
            FltFreeSecurityDescriptor(secured.descriptor);
        });
        assert_eq!(machine.connect_port(r"\Secured", &[]).map(drop), expected);
        close(port);
    }
    let mut bad = how(r"\Secured");
    let mut memory = [7_u64; 8];
    bad.descriptor = memory.as_mut_ptr().cast();
    assert_eq!(create(server, &bad).0, STATUS_INVALID_SECURITY_DESCR);
    unload_clean(&bench);
}

#[test]
fn security_descriptors_are_freed_once() {
    let bench = bench();
    let mut descriptors = [null_mut(); 2];
    bench.machine.at_irql(PASSIVE_LEVEL, || {
        for descriptor in &mut descriptors {
            // SAFETY: the place for the result is ours.
            let status =
                unsafe { FltBuildDefaultSecurityDescriptor(descriptor, FLT_PORT_ALL_ACCESS) };
            assert_eq!(status, STATUS_SUCCESS);
        }
        for _ in 0..2 {
            // SAFETY: an export checks its arguments itself.
            unsafe { FltFreeSecurityDescriptor(descriptors[0]) };
        }
    });
    let bugchecks = bench.machine.verifier().bugchecks();
    assert_eq!(bugchecks.len(), 1);
    assert_eq!(bugchecks[0].call, "FltFreeSecurityDescriptor");
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let leaks = bench.machine.finish().leaks;
    assert_eq!(leaks.len(), 1, "{leaks:?}");
    let acquired = [("FltBuildDefaultSecurityDescriptor", 1)];
    assert_eq!((leaks[0].size, &*leaks[0].acquired), (92, &acquired[..]));
}

#[test]
fn unloading_disconnects() {
    let bench = bench();
    let server = open(&bench);
    let clients: Vec<Port> = (0..1)
        .map(|_| bench.machine.connect_port(r"\Test", &[]).unwrap())
        .collect();
    thread::scope(|scope| {
        let reader = scope.spawn(|| clients[0].get_message(None));
        thread::sleep(Duration::from_millis(20));
        assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
        assert_eq!(reader.join().unwrap(), Err(STATUS_PORT_DISCONNECTED));
    });
    assert_eq!(server.count(), [1, 1, 0]);
    assert_eq!(clients[0].send(b"a", 1), Err(STATUS_PORT_DISCONNECTED));
    drop(clients);
    assert_eq!(server.count(), [1, 1, 0]);
    bench.assert_clean();
}

#[test]
fn a_sender_hears_that_the_client_has_gone() {
    let bench = bench();
    let server = open(&bench);
    let port = bench.machine.connect_port(r"\Test", &[]).unwrap();
    thread::scope(|scope| {
        let mut buffer = [0; 4];
        let waiting = scope.spawn(move || server.send(b"1", Some(&mut buffer), 5000));
        port.get_message(Some(5 * SECOND)).unwrap();
        port.close();
        assert_eq!(waiting.join().unwrap().0, STATUS_PORT_DISCONNECTED);
    });
    // The disconnect callback has set the variable to NULL, and closing it again is no mistake.
    assert_eq!(server.send(b"2", None, 10).0, STATUS_PORT_DISCONNECTED);
    server.close_client();
    unload_clean(&bench);
}

#[test]
fn a_server_port_that_stays_open_hangs_the_unload() {
    let bench = bench();
    let server = open(&bench);
    OPEN.set((bench.filter, null_mut()));
    assert_eq!(bench.driver.unload(Unload::Normal), Ok(()));
    let leaks = bench.machine.finish().leaks;
    assert_eq!(leaks.len(), 1, "{leaks:?}");
    assert_eq!(leaks[0].object, "server port");
    assert_eq!(leaks[0].acquired, [("FltCreateCommunicationPort", 1)]);
    assert!(leaks[0].note.starts_with(r"\Test is still open"));
    assert_eq!(
        refused(&bench.machine, r"\Test"),
        STATUS_OBJECT_NAME_NOT_FOUND
    );
    assert_eq!(server.count(), [0; 3]);
}

#[test]
fn ports_are_not_used_after_their_end() {
    let bench = bench();
    let server = new_server(&bench, false);
    let (_, port) = create(server, &how(r"\Test"));
    let client = bench.machine.connect_port(r"\Test", &[]).unwrap();
    let stale = server.client.load(Ordering::SeqCst);
    assert_eq!(client.send(b"long", 2), Ok(vec![0; 2]));
    assert_eq!(rules(&bench), [Rule::V24]);
    client.close();
    server.client.store(stale, Ordering::SeqCst);
    assert_eq!(server.send(b"1", None, 10).0, STATUS_PORT_DISCONNECTED);
    assert_eq!(rules(&bench), [Rule::V24]);
    server.close_client();
    assert_eq!(rules(&bench), [Rule::V20]);
    // A server port is no client port.
    server.client.store(port as usize, Ordering::SeqCst);
    assert_eq!(server.send(b"1", None, 10).0, STATUS_INVALID_PARAMETER);
    assert_eq!(rules(&bench), [Rule::V0]);
    close(port);
    close(port);
    assert_eq!(rules(&bench), [Rule::V20]);
    bench.machine.at_irql(PASSIVE_LEVEL, || close(null_mut()));
    assert_eq!(rules(&bench), [Rule::V0]);
    let send = |variable: *mut PFLT_PORT, data: *const u8, length: *mut ULONG| {
        let mut reply = [0_u8; 4];
        let reply = reply.as_mut_ptr().cast();
        let data = data.cast_mut().cast();
        // SAFETY: an export checks its arguments itself.
        unsafe { FltSendMessage(bench.filter, variable, data, 1, reply, length, null_mut()) }
    };
    let (byte, mut length) = (7, 4);
    let variable = server.variable();
    assert_eq!(
        send(null_mut(), &raw const byte, &raw mut length),
        STATUS_INVALID_PARAMETER
    );
    assert_eq!(
        send(variable, null(), &raw mut length),
        STATUS_INVALID_PARAMETER
    );
    assert_eq!(
        send(variable, &raw const byte, null_mut()),
        STATUS_INVALID_PARAMETER
    );
    assert_eq!(rules(&bench), [Rule::V24; 3]);
    unload_clean(&bench);
}
