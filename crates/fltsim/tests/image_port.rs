//! A driver in C and an application: they talk through the driver's communication port.
//!
//! `images/minifilter.sys` was made from `images/minifilter.c` by `images/build.sh`.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::image::{Image, Installed};
use fltsim::{
    Config, Driver, DriverConfig, Handle, Machine, OpenOptions, Port, Unload, VolumeConfig,
};
use parking_lot::{Mutex, MutexGuard};
use std::ptr::{null, null_mut};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

const MINIFILTER: &[u8] = include_bytes!("images/minifilter.sys");
const NAME: &str = r"\MinifilterPort";
const HELLO: &[u8] = b"INIM";
const COUNT: [u8; 4] = 1_u32.to_le_bytes();

static INSTALLED: LazyLock<&'static Installed> = LazyLock::new(|| {
    let image = Image::from_bytes("images/minifilter.sys", MINIFILTER).unwrap();
    image.install().unwrap()
});
/// The image has one set of variables, so its tests run one at a time.
static ONE: Mutex<()> = Mutex::new(());

struct Bench {
    machine: Machine,
    driver: Driver,
    file: Handle,
    _one: MutexGuard<'static, ()>,
}

impl Bench {
    fn new(service: &str) -> Self {
        let one = ONE.lock();
        let machine = Machine::new(Config::default().unload_wait(Duration::from_millis(100)));
        let disk = VolumeConfig::memory(r"\Device\HarddiskVolume1", Personality::ntfs());
        let volume = machine.add_volume(disk);
        let driver = machine.create_driver(DriverConfig::new(service).altitude("370030"));
        driver.start(INSTALLED.entry()).unwrap();
        let file = volume.open(r"\file", OpenOptions::create()).unwrap();
        file.write(0, b"data").unwrap();
        Self {
            machine,
            driver,
            file,
            _one: one,
        }
    }

    fn read(&self, times: usize) {
        for _ in 0..times {
            assert_eq!(self.file.read(0, &mut [0; 4]), Ok(4));
        }
    }

    fn connect(&self) -> Port {
        self.machine.connect_port(NAME, HELLO).unwrap()
    }

    /// Unloads, and gives the leaks and whether anything else was reported.
    fn end(self) -> Vec<String> {
        self.file.close();
        assert_eq!(self.driver.unload(Unload::Normal), Ok(()));
        let outcome = self.machine.finish();
        assert!(outcome.violations.is_empty(), "{outcome:?}");
        assert!(outcome.bugchecks.is_empty(), "{outcome:?}");
        let leaks = outcome.leaks.iter();
        leaks.map(|leak| leak.object.to_owned()).collect()
    }
}

/// Reads, exceptions handled, and the sum of the answers.
fn counts(port: &Port) -> [i32; 3] {
    let bytes = port.send(&COUNT, 12).unwrap();
    assert_eq!(bytes.len(), 12);
    let number = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    [number(0), number(4), number(8)]
}

#[test]
fn an_application_asks_and_answers() {
    let bench = Bench::new("well");
    let refusal = bench.machine.connect_port(NAME, b"who?").unwrap_err();
    assert_eq!(refusal, STATUS_INVALID_PARAMETER);
    let port = bench
        .machine
        .connect_port(r"\minifilterPORT", HELLO)
        .unwrap();
    let refusal = bench.machine.connect_port(NAME, HELLO).unwrap_err();
    assert_eq!(refusal, STATUS_CONNECTION_COUNT_LIMIT);
    bench.read(3);
    assert_eq!(counts(&port), [3, 6, 0]);
    assert_eq!(port.send(&COUNT, 11), Err(STATUS_BUFFER_TOO_SMALL));
    assert_eq!(port.send(&COUNT[..3], 12), Err(STATUS_INVALID_PARAMETER));
    assert_eq!(port.send(&[9; 4], 12), Err(STATUS_INVALID_PARAMETER));

    // Every tenth read is told, and waits for the answer.
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in [10_u32, 20, 30] {
                let message = port.get_message(Some(Duration::from_secs(5))).unwrap();
                assert_eq!(message.data, number.to_le_bytes());
                assert_eq!(message.reply_length, 16 + 4);
                let answer = (number / 10).to_le_bytes();
                port.reply(message.id, STATUS_SUCCESS, &answer).unwrap();
            }
        });
        bench.read(29);
    });
    assert_eq!(counts(&port), [32, 64, 6]);
    assert_eq!(bench.machine.calls("FltSendMessage"), 3);
    port.close();
    bench.read(10);
    assert_eq!(bench.machine.calls("FltSendMessage"), 4);
    assert_eq!(bench.end(), [""; 0]);
}

#[test]
fn bad_buffers_are_exceptions_that_the_driver_handles() {
    let bench = Bench::new("well");
    let port = bench.connect();
    let (wild, kernel) = (0x1234_5678_usize, 0xFFFF_8000_0000_0000_usize);
    let mut output = [0; 12];
    for (input, output, expected) in [
        (
            wild as *const u8,
            output.as_mut_ptr(),
            STATUS_ACCESS_VIOLATION,
        ),
        (COUNT.as_ptr(), wild as *mut u8, STATUS_ACCESS_VIOLATION),
        (
            kernel as *const u8,
            output.as_mut_ptr(),
            STATUS_ACCESS_VIOLATION,
        ),
        (COUNT.as_ptr(), kernel as *mut u8, STATUS_ACCESS_VIOLATION),
        (null(), output.as_mut_ptr(), STATUS_INVALID_PARAMETER),
        (COUNT.as_ptr(), null_mut(), STATUS_BUFFER_TOO_SMALL),
    ] {
        // SAFETY: the driver was loaded from its image, and handles exceptions.
        let result = unsafe { port.send_raw(input, 4, output, 12) };
        assert_eq!(result, Err(expected), "{input:?} {output:?}");
    }
    // SAFETY: both buffers are ours.
    let result = unsafe { port.send_raw(COUNT.as_ptr(), 4, output.as_mut_ptr(), 12) };
    assert_eq!(result, Ok(12));
    drop(port);
    assert_eq!(bench.end(), [""; 0]);
}

#[test]
fn unloading_ends_the_connection() {
    let bench = Bench::new("well");
    let port = bench.connect();
    bench.read(1);
    let machine = bench.machine.clone();
    assert_eq!(bench.end(), [""; 0]);
    assert_eq!(machine.calls("FltCloseClientPort"), 1);
    assert_eq!(port.send(&COUNT, 12), Err(STATUS_PORT_DISCONNECTED));
}

#[test]
fn ports_that_are_left_open_are_told() {
    let bench = Bench::new("leak-port");
    drop(bench.connect());
    assert_eq!(bench.end(), ["server port"]);
    let bench = Bench::new("keep-client");
    drop(bench.connect());
    drop(bench.connect());
    assert_eq!(bench.end(), ["client port"; 2]);
}
