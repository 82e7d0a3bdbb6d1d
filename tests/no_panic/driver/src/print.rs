//! Everything that has a text form, printed.

use fltctx::{context::InsertError, name::NameFormat, operation::FlushBuffers, prelude::*};

use crate::{
    Probe,
    contexts::{Name, OnHandle, OnInstance, OnVolume},
};

/// Integers and strings of every kind, and the types of the library that are `Debug` or `Display`.
pub(crate) fn everything(flush: &Pre<'_, Probe, FlushBuffers>) {
    debug_print!("no arguments");
    debug_print!("{} {:>8} {:<8} {:08}", 1_u8, 2_i16, 3_u32, -4_i64);
    debug_print!("{:x} {:#X} {:#010b} {:o}", 5_u64, 6_usize, 7_u8, 8_i32);
    debug_print!("{} {:>10} {:.3} {:^3}", "text", "right", "cut off", 'c');
    #[cfg(feature = "quote")]
    debug_print!("{:?} {:?}", "quoted\n", '\n');
    debug_print!("{} {:?} {:p}", true, Some(9_u32), flush);
    debug_print!("{:?} {}", flush.flags(), Status::from_raw(-1));
    if let Ok(Some(volume)) = flush.slot::<OnVolume>().get()
        && let Some(name) = &volume.name
    {
        debug_print!("{name} {name:?} {}", volume.sector_size);
        debug_print!("{:?}", flush.volume().properties());
    }
    match flush.file_name(NameFormat::Opened) {
        Ok(name) => debug_print!(
            "{} {} {}",
            name.full(flush.irql()),
            name.final_component(flush.irql()),
            name.stream(flush.irql())
        ),
        Err(status) => debug_print!("{status} {status:?}"),
    }
    match flush
        .slot::<OnHandle>()
        .get_or_insert_with(OnHandle::default)
    {
        Ok(handle) => debug_print!("{handle:?}"),
        Err(error @ InsertError::NoMemory(_)) => debug_print!("{error:?}"),
        Err(error) => debug_print!("{error}"),
    }
    match flush.slot::<Name>().remove() {
        Ok(Some(name)) => debug_print!("{name:?} {}", fltctx::name::Utf16::from(name.slice())),
        Ok(None) => {}
        Err(error) => debug_print!("{error}, {error:?}"),
    }
}

/// What an instance saw.
pub(crate) fn instance(books: &Shared<OnInstance>, teardown: &InstanceTeardown<'_, Probe>) {
    let sum = *books.push.read(teardown.irql());
    debug_print!("{books:?} {sum} {:?}", teardown.reason());
}
