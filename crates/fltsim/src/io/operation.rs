//! One operation on its way through the instances of a volume: the callback data that every
//! minifilter sees, and where each of them stands with it.

use super::cancel::Control;
use super::driver_memory::DriverMemory;
use super::file_object::FileObject;
use super::operation_mdl::{self, Described, Swap};
use super::status_request::StatusRequest;
use crate::filesystem::Authority;
use crate::machine::Inner;
use crate::manager::instance::compare_altitudes;
use crate::manager::{Instance, Volume, ecp};
use dashmap::DashMap;
use fltmgr_sys::*;
use parking_lot::{Condvar, Mutex};
use std::ptr::null_mut;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, LazyLock, Weak};

const KERNEL_MODE: KPROCESSOR_MODE = 0;

/// The operations that are on their way, by the address of their callback data.
static OPERATIONS: LazyLock<DashMap<usize, Weak<Operation>>> = LazyLock::new(DashMap::new);

/// The operation that a driver's callback data pointer stands for.
pub(crate) fn find(data: PFLT_CALLBACK_DATA) -> Option<Arc<Operation>> {
    OPERATIONS.get(&(data as usize))?.upgrade()
}

/// The operations on a file object that are on their way.
pub(super) fn on(file: &FileObject) -> Vec<Arc<Operation>> {
    OPERATIONS
        .iter()
        .filter_map(|entry| entry.value().upgrade())
        // Other machines have file objects with the same number.
        .filter(|operation| std::ptr::eq(&raw const *operation.file, file))
        .collect()
}

/// Where and when an operation completes once the file system has done its part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Completion {
    /// On the thread that asked, before the request returns to the instance above.
    #[default]
    Synchronous,
    /// On another thread, at `PASSIVE_LEVEL` or `APC_LEVEL`.
    Worker,
    /// On another thread, at `DISPATCH_LEVEL`, as disk drivers complete.
    Dispatch,
}

/// The way by which an operation comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// An I/O request packet.
    Irp,
    /// A direct call; it may be refused, and then comes again as an IRP.
    FastIo,
}

impl Door {
    pub(crate) const fn flags(self) -> FLT_CALLBACK_DATA_FLAGS {
        match self {
            Self::Irp => FLTFL_CALLBACK_DATA_IRP_OPERATION,
            Self::FastIo => FLTFL_CALLBACK_DATA_FAST_IO_OPERATION,
        }
    }
}

/// What an operation asks for.
pub(crate) struct Request {
    pub(crate) major: UCHAR,
    pub(crate) minor: UCHAR,
    pub(crate) door: Door,
    pub(crate) completion: Completion,
    pub(crate) irp_flags: ULONG,
    pub(crate) operation_flags: UCHAR,
    /// Further `FLTFL_CALLBACK_DATA_*` flags.
    pub(crate) data_flags: FLT_CALLBACK_DATA_FLAGS,
    pub(crate) parameters: FLT_PARAMETERS,
    /// Only instances strictly below this altitude see the operation.
    pub(crate) below: Option<Arc<Instance>>,
    /// Whether the issuer waits for the operation itself.
    pub(crate) synchronous: bool,
    /// Whether a driver asks, and not an application.
    pub(crate) kernel: bool,
    /// The list of extra create parameters that a create is issued with, or 0.
    pub(crate) ecp_list: usize,
    /// Whether it comes through a handle, which has its rights, or by a file object.
    pub(crate) authority: Authority,
    /// Whether the position of a file object for synchronous I/O stays where it is.
    pub(crate) keep_position: bool,
    /// The security context of a create.
    pub(crate) desired_access: Option<ACCESS_MASK>,
    /// How long the range of a lock operation is.
    pub(crate) range_length: Option<u64>,
}

impl Request {
    pub(crate) fn new(major: UCHAR) -> Self {
        Self {
            major,
            minor: 0,
            door: Door::Irp,
            completion: Completion::Synchronous,
            irp_flags: 0,
            operation_flags: 0,
            data_flags: 0,
            parameters: no_parameters(),
            below: None,
            synchronous: true,
            kernel: false,
            ecp_list: 0,
            authority: Authority::Handle,
            keep_position: false,
            desired_access: None,
            range_length: None,
        }
    }

    /// A read or a write: the two differ in nothing but the direction of the data.
    pub(crate) fn transfer(major: UCHAR, offset: i64, buffer: PVOID, length: ULONG) -> Self {
        let mut request = Self::new(major);
        let offset = LARGE_INTEGER { QuadPart: offset };
        let parameters = &mut request.parameters;
        if major == IRP_MJ_READ {
            request.irp_flags = IRP_READ_OPERATION;
            parameters.Read.Length = length;
            parameters.Read.ByteOffset = offset;
            parameters.Read.ReadBuffer = buffer;
        } else {
            request.irp_flags = IRP_WRITE_OPERATION;
            parameters.Write.Length = length;
            parameters.Write.ByteOffset = offset;
            parameters.Write.WriteBuffer = buffer;
        }
        request
    }
}

/// Parameters in which every byte is zero.
pub(crate) const fn no_parameters() -> FLT_PARAMETERS {
    FLT_PARAMETERS {
        Others: FLT_PARAMETERS_OTHERS {
            Argument1: null_mut(),
            Argument2: null_mut(),
            Argument3: null_mut(),
            Argument4: null_mut(),
            Argument5: null_mut(),
            Argument6: LARGE_INTEGER { QuadPart: 0 },
        },
    }
}

/// `IO_SECURITY_CONTEXT`, as far as a file system driver is concerned with it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SecurityContext {
    pub(crate) security_qos: PVOID,
    pub(crate) access_state: PVOID,
    pub(crate) desired_access: ULONG,
    pub(crate) full_create_options: ULONG,
}

/// One instance's part in an operation.
pub(crate) struct Layer {
    pub(crate) instance: Arc<Instance>,
    /// What its callbacks get as `FltObjects`; stays until the operation is over.
    pub(crate) objects: DriverMemory<FLT_RELATED_OBJECTS>,
    /// The parameters as its pre-operation callback got them.
    pub(crate) saved: DriverMemory<FLT_IO_PARAMETER_BLOCK>,
}

/// How far one instance has come with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is not concerned (yet, or any more).
    Idle,
    /// Its pre-operation callback runs.
    InPre,
    /// Its pre-operation callback still runs, but `FltCompletePendedPreOperation` was called.
    Resumed {
        status: FLT_PREOP_CALLBACK_STATUS,
        context: usize,
    },
    /// Its pre-operation callback returned `FLT_PREOP_PENDING`.
    Pended,
    /// It waits for completion.
    Awaiting,
    /// It was torn down while it waited, and has had its draining call.
    Drained,
    /// Its post-operation callback runs.
    InPost,
    /// Its post-operation callback still runs, but the operation was completed for it already.
    PostResumed,
    /// Its post-operation callback returned `FLT_POSTOP_MORE_PROCESSING_REQUIRED`.
    PostPended,
}

/// The part of a layer that several threads may look at.
#[derive(Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// The completion context of its pre-operation callback.
    pub(crate) context: usize,
    /// A thread waits to run the post-operation callback itself.
    pub(crate) synchronized: bool,
    /// Everything below has completed, as far as a synchronised layer is concerned.
    pub(crate) arrived: bool,
    /// The buffer of its own that its pre-operation callback has put into the parameters.
    pub(crate) swap: Swap,
}

pub(crate) struct State {
    pub(crate) layers: Vec<Progress>,
    pub(crate) finished: bool,
    /// What it ended with, once it is finished: by then its callback data may be used again.
    pub(crate) result: (NTSTATUS, usize),
    /// The file system has seen the operation.
    pub(crate) performed: bool,
}

/// What an IRP carries beside its parameters.
#[derive(Clone, Copy, Default)]
pub(crate) struct Carried {
    /// Its `IO_PRIORITY_HINT`, if it has one of its own.
    pub(crate) priority: Option<i32>,
    /// The activity that it belongs to, a GUID.
    pub(crate) activity: Option<[u8; 16]>,
}

/// What a driver sees of one operation.
///
/// Finished ones are kept for a while, so that a pointer that a driver kept is found to be stale
/// and is not taken for the next operation.
pub(crate) struct CallMemory {
    data: DriverMemory<FLT_CALLBACK_DATA>,
    iopb: DriverMemory<FLT_IO_PARAMETER_BLOCK>,
    security: DriverMemory<SecurityContext>,
    range_length: DriverMemory<LARGE_INTEGER>,
    carried: Mutex<Carried>,
}

impl CallMemory {
    fn new(
        data: FLT_CALLBACK_DATA,
        iopb: FLT_IO_PARAMETER_BLOCK,
        security: SecurityContext,
    ) -> Arc<Self> {
        let memory = Arc::new(Self {
            data: DriverMemory::new(data),
            iopb: DriverMemory::new(iopb),
            security: DriverMemory::new(security),
            range_length: DriverMemory::new(LARGE_INTEGER { QuadPart: 0 }),
            carried: Mutex::default(),
        });
        let iopb = memory.iopb.pointer();
        memory.data.modify(|data| data.Iopb = iopb);
        memory
    }
}

/// What happens when an operation has come back to the top; the operation is over then.
pub(crate) type Afterwards = Box<dyn FnOnce(&Arc<Operation>) + Send>;

/// One operation. It is found by the address of its callback data.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
pub(crate) struct Operation {
    memory: Arc<CallMemory>,
    /// The operation that the callback data belongs to otherwise: one that is reissued, or callback
    /// data that a driver allocated; and its flags.
    outer: Option<(Weak<Operation>, FLT_CALLBACK_DATA_FLAGS)>,
    /// The parameters before anybody changed them.
    original: DriverMemory<FLT_IO_PARAMETER_BLOCK>,
    /// What the flags of the callback data are before anybody changes them.
    flags: FLT_CALLBACK_DATA_FLAGS,
    pub(crate) machine: Arc<Inner>,
    pub(crate) volume: Arc<Volume>,
    pub(crate) file: Arc<FileObject>,
    pub(crate) major: UCHAR,
    pub(crate) minor: UCHAR,
    pub(crate) door: Door,
    pub(crate) completion: Completion,
    pub(crate) synchronous: bool,
    pub(crate) kernel: bool,
    pub(crate) authority: Authority,
    pub(crate) keep_position: bool,
    pub(crate) irp_flags: ULONG,
    /// The list of extra create parameters that a create carries, or 0.
    pub(crate) ecp_list: AtomicUsize,
    /// This is the copy that a drained layer gets.
    pub(crate) draining: bool,
    /// The instances concerned, highest first.
    pub(crate) layers: Vec<Layer>,
    /// Cancelled or not, and what happens then.
    pub(crate) control: Mutex<Control>,
    /// The lists that were made for buffers of the operation.
    pub(crate) locked: Mutex<Vec<Described>>,
    /// Who wants to know what the layers below return.
    pub(crate) status_requests: Mutex<Vec<StatusRequest>>,
    /// Whom to tell at the end; nobody if a thread waits for it.
    pub(crate) afterwards: Mutex<Option<Afterwards>>,
    pub(crate) state: Mutex<State>,
    pub(crate) changed: Condvar,
}

impl Operation {
    /// Prepares an operation; nobody has seen it yet.
    pub(crate) fn new(
        machine: &Arc<Inner>,
        file: &Arc<FileObject>,
        request: &Request,
    ) -> Arc<Self> {
        let flags = request.door.flags() | request.data_flags;
        // SAFETY: every bit pattern of the member is a number; it only counts for creates.
        let options = unsafe { request.parameters.Create.Options };
        let mut iopb = Self::parameter_block(request);
        iopb.TargetFileObject = file.pointer();
        let security = SecurityContext {
            security_qos: null_mut(),
            access_state: null_mut(),
            desired_access: request.desired_access.unwrap_or(0),
            full_create_options: options,
        };
        let memory = CallMemory::new(callback_data(flags, file.requestor()), iopb, security);
        if request.desired_access.is_some() {
            let security: PIO_SECURITY_CONTEXT = memory.security.pointer().cast();
            memory
                .iopb
                .modify(|iopb| iopb.Parameters.Create.SecurityContext = security);
        }
        if let Some(length) = request.range_length {
            let length = LARGE_INTEGER {
                QuadPart: length.cast_signed(),
            };
            memory.range_length.store(length);
            let length = memory.range_length.pointer();
            memory
                .iopb
                .modify(|iopb| iopb.Parameters.LockControl.Length = length);
        }
        Self::over(machine, file, request, memory, None)
    }

    /// Callback data that no operation uses yet.
    pub(crate) fn idle(
        machine: &Arc<Inner>,
        file: &Arc<FileObject>,
        instance: &Arc<Instance>,
        target: PFILE_OBJECT,
    ) -> Arc<Self> {
        let mut request = Request::new(0);
        request.data_flags = FLTFL_CALLBACK_DATA_GENERATED_IO;
        let mut iopb = Self::parameter_block(&request);
        iopb.TargetFileObject = target;
        iopb.TargetInstance = instance.pointer();
        let flags = request.door.flags() | request.data_flags;
        let security = SecurityContext {
            security_qos: null_mut(),
            access_state: null_mut(),
            desired_access: 0,
            full_create_options: 0,
        };
        let memory = CallMemory::new(callback_data(flags, KERNEL_MODE), iopb, security);
        let idle = Self::over(machine, file, &request, memory, None);
        idle.state.lock().finished = true;
        idle
    }

    /// Makes callback data ready for the next operation, which goes to the same target.
    pub(crate) fn reset(&self) {
        operation_mdl::release_locked(self);
        let mut iopb = Self::parameter_block(&Request::new(0));
        let target = self.iopb().load();
        iopb.TargetFileObject = target.TargetFileObject;
        iopb.TargetInstance = target.TargetInstance;
        self.iopb().store(iopb);
        let mut data = callback_data(self.flags, KERNEL_MODE);
        data.Iopb = self.iopb().pointer();
        self.data().store(data);
        *self.control.lock() = Control::default();
        *self.carried().lock() = Carried::default();
    }

    /// One more operation over the callback data of this one, which it gets back in the end.
    pub(crate) fn again(self: &Arc<Self>, file: &Arc<FileObject>, request: &Request) -> Arc<Self> {
        let memory = Arc::clone(&self.memory);
        let flags = self.data().load().Flags & !FLTFL_CALLBACK_DATA_DIRTY;
        let outer = Some((Arc::downgrade(self), flags));
        self.data()
            .modify(|data| data.Flags = request.door.flags() | request.data_flags);
        Self::over(&self.machine, file, request, memory, outer)
    }

    fn parameter_block(request: &Request) -> FLT_IO_PARAMETER_BLOCK {
        FLT_IO_PARAMETER_BLOCK {
            IrpFlags: request.irp_flags,
            MajorFunction: request.major,
            MinorFunction: request.minor,
            OperationFlags: request.operation_flags,
            Reserved: 0,
            TargetFileObject: null_mut(),
            TargetInstance: null_mut(),
            Parameters: request.parameters,
        }
    }

    fn over(
        machine: &Arc<Inner>,
        file: &Arc<FileObject>,
        request: &Request,
        memory: Arc<CallMemory>,
        outer: Option<(Weak<Self>, FLT_CALLBACK_DATA_FLAGS)>,
    ) -> Arc<Self> {
        let volume = file.volume().clone();
        let iopb = memory.iopb.load();
        let travels = request.ecp_list != 0 && machine.ecps.attach(request.ecp_list, true);
        let ecp_list = if travels { request.ecp_list } else { 0 };
        let mut stack = volume.stack();
        // A file that was opened below an instance is used below it too.
        for above in [request.below.as_ref(), file.below()].into_iter().flatten() {
            stack.retain(|instance| compare_altitudes(&instance.altitude, &above.altitude).is_lt());
        }
        let transaction = file.transaction_pointer();
        let layers: Vec<Layer> = stack
            .into_iter()
            .filter(|instance| {
                instance
                    .filter
                    .registration
                    .operation(request.major)
                    .is_some()
            })
            .map(|instance| Layer {
                objects: DriverMemory::new(instance.related_to(file.pointer(), transaction)),
                saved: DriverMemory::new(iopb),
                instance,
            })
            .collect();
        let idle = Progress {
            phase: Phase::Idle,
            context: 0,
            synchronized: false,
            arrived: false,
            swap: Swap::default(),
        };
        let state = State {
            layers: vec![idle; layers.len()],
            finished: false,
            result: (STATUS_PENDING, 0),
            performed: false,
        };
        Self::publish(Self {
            memory,
            outer,
            original: DriverMemory::new(iopb),
            flags: request.door.flags() | request.data_flags,
            machine: machine.clone(),
            volume,
            file: file.clone(),
            major: request.major,
            minor: request.minor,
            door: request.door,
            completion: request.completion,
            synchronous: request.synchronous,
            kernel: request.kernel,
            authority: request.authority,
            keep_position: request.keep_position,
            irp_flags: request.irp_flags,
            ecp_list: AtomicUsize::new(ecp_list),
            draining: false,
            layers,
            control: Mutex::default(),
            locked: Mutex::default(),
            status_requests: Mutex::default(),
            afterwards: Mutex::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    /// The copy of the callback data that a drained layer gets.
    pub(crate) fn drained_copy(&self, layer: usize) -> Arc<Self> {
        let flags =
            self.flags | FLTFL_CALLBACK_DATA_DRAINING_IO | FLTFL_CALLBACK_DATA_POST_OPERATION;
        let mut data = callback_data(flags, self.file.requestor());
        data.IoStatus = io_status(STATUS_FLT_POST_OPERATION_CLEANUP, 0);
        let iopb = self.layers[layer].saved.load();
        Self::publish(Self {
            memory: CallMemory::new(data, iopb, self.memory.security.load()),
            outer: None,
            original: DriverMemory::new(iopb),
            flags,
            machine: self.machine.clone(),
            volume: self.volume.clone(),
            file: self.file.clone(),
            major: self.major,
            minor: self.minor,
            door: self.door,
            completion: self.completion,
            synchronous: self.synchronous,
            kernel: self.kernel,
            authority: self.authority,
            keep_position: self.keep_position,
            irp_flags: self.irp_flags,
            ecp_list: AtomicUsize::new(0),
            draining: true,
            layers: Vec::new(),
            control: Mutex::default(),
            locked: Mutex::default(),
            status_requests: Mutex::default(),
            afterwards: Mutex::default(),
            state: Mutex::new(State {
                layers: Vec::new(),
                finished: true,
                result: (STATUS_FLT_POST_OPERATION_CLEANUP, 0),
                performed: true,
            }),
            changed: Condvar::new(),
        })
    }

    /// Makes the callback data known by its address.
    fn publish(operation: Self) -> Arc<Self> {
        let operation = Arc::new(operation);
        let address = operation.pointer() as usize;
        OPERATIONS.insert(address, Arc::downgrade(&operation));
        operation
    }

    /// The operation is over: its callback data is nothing any more, or what it was before.
    pub(crate) fn retire(&self) {
        ecp::create_completed(self);
        operation_mdl::release_locked(self);
        let address = self.pointer() as usize;
        if let Some((outer, flags)) = &self.outer {
            self.iopb().store(self.original.load());
            self.data().modify(|data| data.Flags = *flags);
            OPERATIONS.insert(address, Weak::clone(outer));
        } else {
            OPERATIONS.remove(&address);
            self.volume.io.retire_call(self.memory.clone());
        }
    }

    pub(crate) fn pointer(&self) -> PFLT_CALLBACK_DATA {
        self.memory.data.pointer()
    }

    pub(crate) fn data(&self) -> &DriverMemory<FLT_CALLBACK_DATA> {
        &self.memory.data
    }

    pub(crate) fn iopb(&self) -> &DriverMemory<FLT_IO_PARAMETER_BLOCK> {
        &self.memory.iopb
    }

    /// What its IRP carries; a direct call has no IRP.
    pub(crate) fn carried(&self) -> &Mutex<Carried> {
        &self.memory.carried
    }

    pub(crate) fn desired_access(&self) -> ACCESS_MASK {
        self.memory.security.load().desired_access
    }

    pub(crate) fn io_status(&self) -> (NTSTATUS, usize) {
        let status = self.data().load().IoStatus;
        // SAFETY: every bit pattern of the union is a status.
        let code = unsafe { status.__bindgen_anon_1.Status };
        (code, usize::try_from(status.Information).unwrap_or(0))
    }

    pub(crate) fn set_io_status(&self, status: NTSTATUS, information: usize) {
        let status = io_status(status, information);
        self.data().modify(|data| data.IoStatus = status);
    }

    /// Whether this is paging I/O.
    pub(crate) fn is_paging(&self) -> bool {
        matches!(self.major, IRP_MJ_READ | IRP_MJ_WRITE) && self.irp_flags & IRP_PAGING_IO != 0
    }

    /// The layer that one of its callbacks runs for, or has pended.
    pub(crate) fn current_layer(&self) -> Option<usize> {
        let state = self.state.lock();
        state.layers.iter().rposition(|layer| {
            matches!(
                layer.phase,
                Phase::InPre
                    | Phase::Resumed { .. }
                    | Phase::Pended
                    | Phase::InPost
                    | Phase::PostResumed
                    | Phase::PostPended
            )
        })
    }
}

/// A status block without stray bytes.
pub(crate) fn io_status(status: NTSTATUS, information: usize) -> IO_STATUS_BLOCK {
    IO_STATUS_BLOCK {
        __bindgen_anon_1: IO_STATUS_BLOCK_UNION {
            Pointer: status.cast_unsigned() as usize as PVOID,
        },
        Information: information as ULONG_PTR,
    }
}

thread_local! {
    static THREAD: u64 = const { 0 };
}

/// What stands for this thread in callback data; never followed.
pub(crate) fn current_thread() -> PETHREAD {
    THREAD.with(|thread| (&raw const *thread).cast_mut().cast())
}

fn callback_data(flags: FLT_CALLBACK_DATA_FLAGS, mode: KPROCESSOR_MODE) -> FLT_CALLBACK_DATA {
    FLT_CALLBACK_DATA {
        Flags: flags,
        Thread: current_thread(),
        Iopb: null_mut(),
        IoStatus: io_status(0, 0),
        TagData: null_mut(),
        Queue: FLT_CALLBACK_DATA_QUEUE_LINKS {
            FilterContext: [null_mut(); 4],
        },
        RequestorMode: mode,
    }
}
