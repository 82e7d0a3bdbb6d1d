//! The callbacks of operations: between them, every verb.

use core::sync::atomic::{AtomicU32, Ordering};

use fltctx::{
    PoolBox,
    context::{Fixed, MemberRef, OneOf, SetFailure},
    lock::{PushLock, SpinLock},
    name::NameFormat,
    object::FileObject,
    operation::{FileSystemControl, FlushBuffers, QueryVolumeInformation, parameters},
    prelude::*,
};

use crate::{
    Probe,
    contexts::{
        Large, Medium, Name, OnFile, OnHandle, OnInstance, OnSection, OnTransaction, OnVolume,
        Sizes, Small, TAG, Tail,
    },
};

/// Bytes read, under a lock of the image.
static BYTES: SpinLock<u64> = SpinLock::new(0);

impl PreOperation<Create> for Probe {
    type Completion = Option<Unique<OnHandle>>;

    fn pre(&self, create: &mut Pre<'_, Self, Create>) -> PreResult<Self::Completion> {
        let parameters = create.create_parameters();
        if parameters.paging_file || create.is_paging_io() {
            return PreResult::no_callback();
        }
        if parameters
            .options
            .contains(parameters::CreateOptions::DELETE_ON_CLOSE)
            && parameters.disposition == parameters::Disposition::Supersede
        {
            return PreResult::complete(Status::ACCESS_DENIED, 0);
        }
        let mut handle = match create.filter().allocate(OnHandle::default()) {
            Ok(handle) => handle,
            Err(error) => return PreResult::complete(error.into(), 0),
        };
        handle.lock = PoolBox::try_new_in_place(TAG, PushLock::new(0), create.irql()).ok();
        PreResult::callback(Some(handle))
    }
}

impl PostOperation<Create> for Probe {
    fn post(&self, create: &mut Post<'_, Self, Create>, handle: Option<Unique<OnHandle>>) {
        let (Some(file), Some(mut handle)) = (create.opened(), handle) else {
            return;
        };
        if file.is_directory() == Ok(true) || !file.slot::<OnHandle>().supported() {
            return;
        }
        handle.name = named(create, file);
        handle.sized = sized(create, file);
        match file.slot::<OnHandle>().set(handle) {
            Ok(set) => drop(set.clone()),
            Err(error) => match error.failure {
                SetFailure::AlreadyDefined(existing) => {
                    existing.reads.fetch_add(1, Ordering::Relaxed);
                }
                _ => drop(error.context),
            },
        }
        scan(create, file);
    }
}

/// The context of the file, with its name.
fn named(create: &Post<'_, Probe, Create>, file: FileObject<'_, Probe>) -> Option<Shared<Name>> {
    let slot = file.slot::<Name>();
    if !slot.supported() {
        return None;
    }
    slot.get_or_allocate_with(|filter| {
        let name = create.file_name(NameFormat::Normalized)?;
        let units = if name.stream(create.irql()).units().is_empty() {
            name.full(create.irql()).units()
        } else {
            name.final_component(create.irql()).units()
        };
        Ok::<_, Status>(filter.allocate_with_slice(OnFile::default(), units)?)
    })
    .ok()
}

/// The context of the stream, of whichever size comes next.
fn sized(
    create: &Post<'_, Probe, Create>,
    file: FileObject<'_, Probe>,
) -> Option<Shared<OneOf<Sizes>>> {
    let filter = create.filter();
    let slot = file.slot::<OneOf<Sizes>>();
    if !slot.supported() {
        return None;
    }
    let present = slot.get().ok().flatten();
    let next = match present
        .as_ref()
        .map(|context| context.member_at(create.irql()))
    {
        None => Fixed::Small(Small(AtomicU32::new(1))),
        Some(MemberRef::Small(small)) => {
            Fixed::Medium(Medium([u64::from(small.0.load(Ordering::Relaxed)); 4]))
        }
        Some(MemberRef::Medium(medium)) => Fixed::Large(Large([medium.0[0]; 40])),
        Some(MemberRef::Large(large)) => {
            let elements = large.0.map(|number| u32::try_from(number).unwrap_or(0));
            let tail = filter
                .allocate_variable_member::<Sizes>(Tail(1), &elements)
                .ok()?;
            return Some(slot.replace(tail).ok()?.new);
        }
        Some(MemberRef::Variable(tail, elements)) => {
            if elements.contains(&tail.0) {
                let _ = slot.delete();
            }
            return slot.remove().ok().flatten();
        }
    };
    let replaced = slot.replace(filter.allocate_member(next).ok()?).ok()?;
    let same = replaced
        .old
        .as_ref()
        .is_some_and(|old| old.ptr_eq(&replaced.new));
    (!same).then_some(replaced.new)
}

/// Adds up the bytes of a file.
fn scan(create: &Post<'_, Probe, Create>, file: FileObject<'_, Probe>) {
    if let Ok(Some(open)) = file.section_context::<OnSection>() {
        open.conflicts.store(0, Ordering::Relaxed);
        return;
    }
    let context = OnSection {
        conflicts: AtomicU32::new(0),
    };
    let Ok(context) = create.filter().allocate(context) else {
        return;
    };
    let section = match file.create_section(create.irql(), context) {
        Ok(section) => section,
        Err(error) => {
            crate::READS.fetch_add(
                u64::from(error.failure.status().is_success()),
                Ordering::Relaxed,
            );
            return;
        }
    };
    let Ok(view) = section.map() else { return };
    let mut buffer = [0; 64];
    let mut offset = 0;
    let mut sum = 0_u64;
    while section.context().conflicts.load(Ordering::Relaxed) == 0 {
        let count = view.read(offset, &mut buffer);
        if count == 0 {
            break;
        }
        for byte in buffer.iter().take(count) {
            sum = sum.wrapping_add(u64::from(*byte));
        }
        offset = offset.wrapping_add(count);
    }
    crate::READS.fetch_add(sum, Ordering::Relaxed);
}

impl PreOperation<Read> for Probe {
    type Completion = PoolBox<(Shared<OnHandle>, u64)>;

    fn pre(&self, read: &mut Pre<'_, Self, Read>) -> PreResult<Self::Completion> {
        if read.is_fast_io() {
            return PreResult::disallow_fast_io();
        }
        let Ok(Some(handle)) = read.slot::<OnHandle>().get() else {
            return PreResult::no_callback();
        };
        let parameters = read.parameters();
        let length = u64::from(parameters.length);
        match PoolBox::try_new(TAG, (handle, length)) {
            Ok(payload) if parameters.byte_offset == 0 => read.synchronize(payload),
            Ok(payload) => PreResult::callback(payload),
            Err(error) => {
                let (handle, _) = error.value;
                handle.reads.fetch_add(1, Ordering::Relaxed);
                PreResult::no_callback()
            }
        }
    }
}

impl PostOperation<Read> for Probe {
    fn post(&self, read: &mut Post<'_, Self, Read>, payload: Self::Completion) {
        let information = read.information() as u64;
        let success = read.status().is_success();
        let (handle, length) = PoolBox::into_inner(payload);
        if success && information == length {
            handle.reads.fetch_add(1, Ordering::Relaxed);
        }
        BYTES.with(read.irql_mut(), |bytes, _| {
            *bytes = bytes.wrapping_add(information);
        });
    }
}

impl PreOperation<Write> for Probe {
    type Completion = Option<Shared<OnHandle>>;

    fn pre(&self, write: &mut Pre<'_, Self, Write>) -> PreResult<Self::Completion> {
        let (volume, instance, handle, sized) =
            write.contexts::<(OnVolume, OnInstance, OnHandle, OneOf<Sizes>)>();
        if let Some(transaction) = write.transaction() {
            let ends = Notifications::COMMIT | Notifications::ROLLBACK;
            if let Ok(context) = transaction.get_or_enlist_with(ends, OnTransaction::default) {
                let writes = &context.at(write.irql()).writes;
                writes.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let (Some(volume), Some(instance), Some(handle)) = (volume, instance, &handle) {
            let units = volume.name.as_ref().map_or(0, |name| name.as_utf16().len());
            let mut sum = (*instance.push.read(write.irql())).wrapping_add(units as u64);
            if let Some(lock) = &handle.lock {
                let mut count = lock.write(write.irql());
                *count = count.wrapping_add(1);
                sum = sum.wrapping_add(u64::from(*count));
            }
            if let Ok(last) = instance.resource.read(write.irql()) {
                let units = last.as_ref().map_or(0, |name| name.slice().len());
                sum = sum.wrapping_add(units as u64);
            }
            instance.mutex.with(write.irql_mut(), |numbers, irql| {
                numbers[0] = sum;
                instance.spin.with(irql, |spin, _| *spin = sum);
            });
        }
        drop(sized);
        PreResult::callback(handle)
    }
}

impl SafePostOperation<Write> for Probe {
    fn safe_post(&self, write: &mut SafePost<'_, Self, Write>, handle: Self::Completion) {
        let (name,) = write.contexts::<(Name,)>();
        if let Some(name) = &name {
            name.header().changes.fetch_add(1, Ordering::Relaxed);
        }
        if let Ok(Some(instance)) = write.slot::<OnInstance>().get() {
            let mut numbers = instance.mutex.lock(write.irql_mut());
            let (numbers, irql) = numbers.parts();
            numbers[1] = numbers[1].wrapping_add(1);
            let mut spin = instance.spin.lock(irql);
            *spin = spin.wrapping_add(numbers[1]);
        }
        drop(handle);
    }

    fn refused(&self, write: &mut Post<'_, Self, Write>, handle: Self::Completion) {
        BYTES.with(write.irql_mut(), |bytes, _| *bytes = 0);
        drop(handle);
    }
}

impl PreOperation<QueryInformation> for Probe {
    type Completion = usize;

    fn pre(&self, query: &mut Pre<'_, Self, QueryInformation>) -> PreResult<usize> {
        let parameters = query.parameters();
        let standard = parameters.class == parameters::FileInformationClass::STANDARD;
        PreResult::callback(usize::from(standard).wrapping_add(parameters.length as usize))
    }
}

impl PostOperation<QueryInformation> for Probe {
    fn post(&self, query: &mut Post<'_, Self, QueryInformation>, length: usize) {
        if query.information() == length {
            crate::READS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl PreOperation<SetInformation> for Probe {
    type Completion = ();

    fn pre(&self, _set: &mut Pre<'_, Self, SetInformation>) -> PreResult<()> {
        PreResult::callback(())
    }
}

impl SafePostOperation<SetInformation> for Probe {
    fn safe_post(&self, set: &mut SafePost<'_, Self, SetInformation>, (): ()) {
        let class = set.parameters().class;
        if set.status().is_success() && (class.is_rename() || class.is_disposition()) {
            note(set);
        }
    }
}

/// Writes down which file was changed last.
fn note(set: &SafePost<'_, Probe, SetInformation>) {
    let (Ok(Some(instance)), Ok(name)) = (set.slot::<OnInstance>().get(), set.slot::<Name>().get())
    else {
        return;
    };
    if let Ok(mut last) = instance.resource.write(set.irql()) {
        *last = name;
    }
    *instance.push.write(set.irql()) = 1;
}

impl PreOperation<DirectoryControl> for Probe {
    type Completion = NoPostOperation;

    fn pre(&self, control: &mut Pre<'_, Self, DirectoryControl>) -> PreResult<NoPostOperation> {
        if let parameters::DirectoryControl::Query {
            pattern: Some(pattern),
            ..
        } = control.parameters()
        {
            let units = pattern.text(control.irql()).units().len() as u64;
            crate::READS.fetch_add(units, Ordering::Relaxed);
        }
        PreResult::no_callback()
    }
}

impl PreOperation<FileSystemControl> for Probe {
    type Completion = NoPostOperation;

    fn pre(&self, control: &mut Pre<'_, Self, FileSystemControl>) -> PreResult<NoPostOperation> {
        if let parameters::FileSystemControl::User { code, .. } = control.parameters() {
            crate::READS.fetch_add(u64::from(code), Ordering::Relaxed);
        }
        PreResult::no_callback()
    }
}

impl PreOperation<QueryVolumeInformation> for Probe {
    type Completion = NoPostOperation;

    fn pre(&self, query: &mut Pre<'_, Self, QueryVolumeInformation>) -> PreResult<NoPostOperation> {
        if query.parameters().class < 0 {
            return PreResult::complete(Status::INVALID_PARAMETER, 0);
        }
        PreResult::no_callback()
    }
}

impl PreOperation<FlushBuffers> for Probe {
    type Completion = NoPostOperation;

    fn pre(&self, flush: &mut Pre<'_, Self, FlushBuffers>) -> PreResult<NoPostOperation> {
        #[cfg(feature = "print")]
        crate::print::everything(flush);
        let _ = flush.slot::<OnHandle>().delete();
        PreResult::no_callback()
    }
}

impl PreOperation<Cleanup> for Probe {
    type Completion = Shared<OnHandle>;

    fn pre(&self, cleanup: &mut Pre<'_, Self, Cleanup>) -> PreResult<Shared<OnHandle>> {
        match cleanup
            .file_object()
            .slot::<OnHandle>()
            .get_or_insert_with(OnHandle::default)
        {
            Ok(handle) => PreResult::callback(handle),
            Err(error) => PreResult::complete(error.status(), 0),
        }
    }
}

impl PostOperation<Cleanup> for Probe {
    fn post(&self, _cleanup: &mut Post<'_, Self, Cleanup>, handle: Shared<OnHandle>) {
        handle.reads.fetch_add(1, Ordering::Relaxed);
    }
}

impl PreOperation<Close> for Probe {
    type Completion = NoPostOperation;

    fn pre(&self, close: &mut Pre<'_, Self, Close>) -> PreResult<NoPostOperation> {
        let slot = close.slot::<OneOf<Sizes>>();
        if let Ok(Some(sized)) = slot.remove() {
            sized.delete(close.irql());
        }
        PreResult::no_callback()
    }
}
