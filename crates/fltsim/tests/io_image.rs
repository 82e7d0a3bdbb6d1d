//! I/O of a driver's own from a real image: `images/io.sys`, which was made from `images/io.c` by
//! `images/build.sh`.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use fltmgr_sys::*;
use fltsim::filesystem::Personality;
use fltsim::image::{Image, Installed};
use fltsim::verifier::Rule;
use fltsim::{
    Completion, Config, DriverConfig, IoOptions, Machine, OpenOptions, Policies, Unload,
    VolumeConfig,
};

const IO: &[u8] = include_bytes!("images/io.sys");

fn install() -> &'static Installed {
    let image = Image::from_bytes("images/io.sys", IO).unwrap();
    let installed = image.install().unwrap();
    assert_eq!(installed.missing(), &[] as &[String]);
    installed
}

/// What the driver makes of what it reads.
fn inverted(data: &[u8]) -> Vec<u8> {
    data.iter().map(|byte| !byte).collect()
}

// One test: the driver's queue is a variable of its image, of which there is one.
#[test]
fn buffers_files_and_queues() {
    let installed = install();
    // The driver counts its reads over all the machines, and retains every second MDL.
    for (completion, retained) in [
        (Completion::Synchronous, 2),
        (Completion::Worker, 3),
        (Completion::Dispatch, 2),
    ] {
        let policies = Policies {
            asynchronous_io: Some(completion),
            ..Policies::default()
        };
        let machine = Machine::new(Config::default().policies(policies));
        let volume = machine.add_volume(VolumeConfig::memory(
            "\\Device\\HarddiskVolume1",
            Personality::ntfs(),
        ));
        let handle = volume.open("\\watched", OpenOptions::create()).unwrap();
        handle.write(0, b"content").unwrap();
        drop(handle);
        let driver = machine.create_driver(DriverConfig::new("io").altitude("100"));
        driver.start(installed.entry()).unwrap();

        let handle = volume.open("\\watched", OpenOptions::read_write()).unwrap();
        let printed = [
            "io: opened 1, read 7: 00000000 content",
            "io: later 7: 00000000 content",
        ];
        assert_eq!(machine.debug_output(), printed, "{completion:?}");

        // The driver reads below itself; everybody else gets what it makes of it.
        let mut buffer = [0; 7];
        for options in [
            IoOptions::default(),
            IoOptions::worker(),
            IoOptions::dispatch(),
        ] {
            assert_eq!(handle.read_with(0, &mut buffer, options), Ok(7));
            assert_eq!(buffer.to_vec(), inverted(b"content"), "{options:?}");
        }
        assert_eq!(handle.read(7, &mut buffer), Err(STATUS_END_OF_FILE));
        let mut through = [0; 8];
        let address = installed.export("read_through").unwrap();
        // SAFETY: that is the type of this function of the image.
        let read_through = unsafe {
            std::mem::transmute::<usize, unsafe extern "win64" fn(*mut u8) -> u64>(address)
        };
        // SAFETY: the buffer has room for the seven bytes that it reads.
        let status = machine.at_irql(0, || unsafe { read_through(through.as_mut_ptr()) });
        assert_eq!(status, 0);
        assert_eq!(through[..7].to_vec(), inverted(b"content"));

        // Every read had an MDL. The driver freed those of every second read itself, the Filter
        // Manager the others: nothing is left in the end.
        let mdls = [
            machine.calls("IoAllocateMdl"),
            machine.calls("IoFreeMdl"),
            machine.calls("FltRetainSwappedBufferMdlAddress"),
        ];
        assert_eq!(mdls, [5, retained, retained], "{completion:?}");

        // Writes wait for a worker; those of one byte wait for ever.
        assert_eq!(handle.write(0, b"CON"), Ok(3));
        assert_eq!(
            handle.begin_write(3, b"TENT", IoOptions::default()).wait(),
            Ok(4)
        );
        let mut first = handle.begin_write(0, b"x", IoOptions::default());
        let mut second = handle.begin_write(0, b"y", IoOptions::default());
        assert!(first.cancel());
        assert_eq!(first.wait(), Err(STATUS_CANCELLED));
        assert!(!second.is_complete());
        // Each of the four writes asked twice, and each create that succeeded once, in vain.
        let creates = machine.calls("FltCreateFileEx2");
        assert_eq!(machine.calls("FltLockUserBuffer"), 8 + creates);
        assert_eq!(machine.calls("MmMapLockedPagesSpecifyCache"), 4);
        let address = installed.export("last_written").unwrap();
        // SAFETY: that is the type of this function of the image.
        let last_written =
            unsafe { std::mem::transmute::<usize, unsafe extern "win64" fn() -> u64>(address) };
        // SAFETY: it only reads a variable of the image.
        assert_eq!(unsafe { last_written() }, u64::from(b'y'));
        // The driver saw nothing that it did not expect.
        assert!(
            machine
                .debug_output()
                .iter()
                .all(|line| { line == printed[0] || line == printed[1] })
        );
        driver.unload(Unload::Normal).unwrap();
        assert_eq!(second.wait(), Err(STATUS_CANCELLED));
        assert_eq!(handle.read(0, &mut buffer), Ok(7));
        assert_eq!(&buffer, b"CONTENT");
        drop(handle);
        let outcome = machine.finish();
        // It postpones the completion of reads, as drivers that swap buffers do, and as its page
        // forbids.
        let broken: Vec<_> = outcome
            .violations
            .iter()
            .map(|report| (report.rule, report.call))
            .collect();
        let postponed = (Rule::V12, "FltDoCompletionProcessingWhenSafe");
        assert_eq!(broken, [postponed], "{completion:?}");
        assert_eq!((outcome.leaks.len(), outcome.bugchecks.len()), (0, 0));
    }
}
