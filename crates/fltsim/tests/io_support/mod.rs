//! A scripted minifilter: its callbacks are closures, and it writes down what it is called for.

#![allow(dead_code, reason = "every test file uses its own part")]
#![allow(missing_docs, reason = "a test helper")]

use fltmgr_sys::*;
use fltsim::filesystem::{Personality, TeardownPolicy};
use fltsim::{
    Completion, Config, Driver, DriverConfig, Machine, Policies, Unload, Volume, VolumeConfig,
};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr::{null, null_mut};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub(crate) type Pre =
    dyn Fn(PFLT_CALLBACK_DATA, &FLT_RELATED_OBJECTS, &mut PVOID) -> i32 + Send + Sync;
pub(crate) type Post =
    dyn Fn(PFLT_CALLBACK_DATA, &FLT_RELATED_OBJECTS, PVOID, u32) -> i32 + Send + Sync;
pub(crate) type Setup = dyn Fn(&FLT_RELATED_OBJECTS, u32) -> NTSTATUS + Send + Sync;
pub(crate) type Teardown = dyn Fn(&FLT_RELATED_OBJECTS, u32) + Send + Sync;

pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// What a filter does.
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) log: Log,
    pre: HashMap<u8, Box<Pre>>,
    post: HashMap<u8, Option<Box<Post>>>,
    flags: HashMap<u8, u32>,
    setup: Option<Box<Setup>>,
    query: Option<NTSTATUS>,
    start: Option<Box<Teardown>>,
    complete: Option<Box<Teardown>>,
}

static BY_DRIVER: LazyLock<Mutex<HashMap<usize, Arc<Script>>>> = LazyLock::new(Mutex::default);
static BY_FILTER: LazyLock<Mutex<HashMap<usize, Arc<Script>>>> = LazyLock::new(Mutex::default);

thread_local! {
    static UNLOADING: RefCell<usize> = const { RefCell::new(0) };
}

impl Script {
    pub(crate) fn new(name: &str, log: &Log) -> Self {
        Self {
            name: name.to_owned(),
            log: log.clone(),
            pre: HashMap::new(),
            post: HashMap::new(),
            flags: HashMap::new(),
            setup: None,
            query: Some(STATUS_SUCCESS),
            start: None,
            complete: None,
        }
    }

    /// Sees an operation before and after.
    pub(crate) fn watch(self, major: u8) -> Self {
        self.pre(major, |_, _, _| FLT_PREOP_SUCCESS_WITH_CALLBACK)
            .post(major, |_, _, _, _| FLT_POSTOP_FINISHED_PROCESSING)
    }

    pub(crate) fn watch_all(mut self, majors: &[u8]) -> Self {
        for &major in majors {
            self = self.watch(major);
        }
        self
    }

    pub(crate) fn pre(
        mut self,
        major: u8,
        callback: impl Fn(PFLT_CALLBACK_DATA, &FLT_RELATED_OBJECTS, &mut PVOID) -> i32
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.pre.insert(major, Box::new(callback));
        self
    }

    pub(crate) fn post(
        mut self,
        major: u8,
        callback: impl Fn(PFLT_CALLBACK_DATA, &FLT_RELATED_OBJECTS, PVOID, u32) -> i32
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.post.insert(major, Some(Box::new(callback)));
        self
    }

    pub(crate) fn flags(mut self, major: u8, flags: u32) -> Self {
        self.flags.insert(major, flags);
        self
    }

    pub(crate) fn setup(
        mut self,
        callback: impl Fn(&FLT_RELATED_OBJECTS, u32) -> NTSTATUS + Send + Sync + 'static,
    ) -> Self {
        self.setup = Some(Box::new(callback));
        self
    }

    pub(crate) fn query(mut self, status: Option<NTSTATUS>) -> Self {
        self.query = status;
        self
    }

    pub(crate) fn start(
        mut self,
        callback: impl Fn(&FLT_RELATED_OBJECTS, u32) + Send + Sync + 'static,
    ) -> Self {
        self.start = Some(Box::new(callback));
        self
    }

    pub(crate) fn complete(
        mut self,
        callback: impl Fn(&FLT_RELATED_OBJECTS, u32) + Send + Sync + 'static,
    ) -> Self {
        self.complete = Some(Box::new(callback));
        self
    }

    fn note(&self, text: &str) {
        self.log.lock().push(format!("{} {text}", self.name));
    }

    /// Installs and starts the filter.
    pub(crate) fn load(self, machine: &Machine, altitude: &str) -> Loaded {
        let driver = machine.create_driver(DriverConfig::new(&*self.name).altitude(altitude));
        let key = driver.driver_object() as usize;
        let script = Arc::new(self);
        BY_DRIVER.lock().insert(key, script.clone());
        driver.start(entry).expect("the driver starts");
        let filter = driver.filter().expect("the filter is registered");
        Loaded {
            driver,
            filter,
            script,
        }
    }
}

pub(crate) struct Loaded {
    pub(crate) driver: Driver,
    pub(crate) filter: PFLT_FILTER,
    pub(crate) script: Arc<Script>,
}

impl Loaded {
    pub(crate) fn unload(&self) -> Result<(), NTSTATUS> {
        UNLOADING.set(self.filter as usize);
        self.driver.unload(Unload::Normal)
    }
}

pub(crate) fn log() -> Log {
    Log::default()
}

pub(crate) fn take(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock())
}

pub(crate) fn machine() -> (Machine, Volume) {
    machine_with(Personality::ntfs())
}

pub(crate) fn machine_with(personality: Personality) -> (Machine, Volume) {
    machine_completing(personality, None)
}

/// A machine that completes what drivers ask for asynchronously in one way.
pub(crate) fn machine_completing(
    personality: Personality,
    asynchronous_io: Option<Completion>,
) -> (Machine, Volume) {
    let policies = Policies {
        stream_teardown: Some(TeardownPolicy::Immediate),
        asynchronous_io,
        ..Policies::default()
    };
    let config = Config::default()
        .unload_wait(Duration::from_millis(300))
        .policies(policies);
    let machine = Machine::new(config);
    let volume = machine.add_volume(VolumeConfig::memory(
        "\\Device\\HarddiskVolume1",
        personality,
    ));
    (machine, volume)
}

pub(crate) fn major(data: PFLT_CALLBACK_DATA) -> u8 {
    iopb(data).MajorFunction
}

pub(crate) fn data(data: PFLT_CALLBACK_DATA) -> FLT_CALLBACK_DATA {
    // SAFETY: tests only ask for callback data of the callback they are in.
    unsafe { *data }
}

pub(crate) fn iopb(callback_data: PFLT_CALLBACK_DATA) -> FLT_IO_PARAMETER_BLOCK {
    // SAFETY: the parameter block lives as long as the callback data.
    unsafe { *data(callback_data).Iopb }
}

pub(crate) fn change_iopb(
    callback_data: PFLT_CALLBACK_DATA,
    change: impl FnOnce(&mut FLT_IO_PARAMETER_BLOCK),
) {
    let mut block = iopb(callback_data);
    change(&mut block);
    let target = data(callback_data).Iopb;
    // SAFETY: the parameter block lives as long as the callback data.
    unsafe { target.write(block) };
}

pub(crate) fn status(callback_data: PFLT_CALLBACK_DATA) -> NTSTATUS {
    // SAFETY: every bit pattern is a status.
    unsafe { data(callback_data).IoStatus.__bindgen_anon_1.Status }
}

pub(crate) fn set_status(data: PFLT_CALLBACK_DATA, status: NTSTATUS, information: u64) {
    let block = IO_STATUS_BLOCK {
        __bindgen_anon_1: IO_STATUS_BLOCK_UNION { Status: status },
        Information: information,
    };
    // SAFETY: tests only change callback data of the callback they are in.
    unsafe { (*data).IoStatus = block };
}

pub(crate) fn short(major: u8) -> &'static str {
    match major {
        IRP_MJ_CREATE => "create",
        IRP_MJ_READ => "read",
        IRP_MJ_WRITE => "write",
        IRP_MJ_CLEANUP => "cleanup",
        IRP_MJ_CLOSE => "close",
        IRP_MJ_QUERY_INFORMATION => "query",
        IRP_MJ_SET_INFORMATION => "set",
        IRP_MJ_DIRECTORY_CONTROL => "directory",
        IRP_MJ_QUERY_VOLUME_INFORMATION => "volume",
        IRP_MJ_FLUSH_BUFFERS => "flush",
        IRP_MJ_NETWORK_QUERY_OPEN => "query-open",
        IRP_MJ_QUERY_SECURITY => "query-security",
        IRP_MJ_SET_SECURITY => "set-security",
        _ => "other",
    }
}

fn script_of(objects: PCFLT_RELATED_OBJECTS) -> (Arc<Script>, FLT_RELATED_OBJECTS) {
    // SAFETY: the machine passes the related objects of the call.
    let objects = unsafe { *objects };
    let script = BY_FILTER.lock()[&(objects.Filter as usize)].clone();
    (script, objects)
}

fltapi! {
    unsafe fn entry(driver: PDRIVER_OBJECT, _path: PCUNICODE_STRING) -> NTSTATUS {
        let script = BY_DRIVER.lock()[&(driver as usize)].clone();
        let mut majors: Vec<u8> = script.pre.keys().chain(script.post.keys()).copied().collect();
        majors.sort_unstable();
        majors.dedup();
        let mut operations: Vec<FLT_OPERATION_REGISTRATION> = majors
            .iter()
            .map(|major| FLT_OPERATION_REGISTRATION {
                MajorFunction: *major,
                Flags: script.flags.get(major).copied().unwrap_or(0),
                PreOperation: script.pre.contains_key(major).then_some(pre as _),
                PostOperation: script.post.contains_key(major).then_some(post as _),
                Reserved1: null_mut(),
            })
            .collect();
        operations.push(FLT_OPERATION_REGISTRATION {
            MajorFunction: IRP_MJ_OPERATION_END,
            Flags: 0,
            PreOperation: None,
            PostOperation: None,
            Reserved1: null_mut(),
        });
        let registration = FLT_REGISTRATION {
            Size: u16::try_from(size_of::<FLT_REGISTRATION>()).unwrap(),
            Version: FLT_REGISTRATION_VERSION,
            Flags: 0,
            ContextRegistration: null(),
            OperationRegistration: operations.as_ptr(),
            FilterUnloadCallback: Some(unload),
            InstanceSetupCallback: Some(setup),
            InstanceQueryTeardownCallback: script.query.is_some().then_some(query as _),
            InstanceTeardownStartCallback: Some(start),
            InstanceTeardownCompleteCallback: Some(complete),
            GenerateFileNameCallback: None,
            NormalizeNameComponentCallback: None,
            NormalizeContextCleanupCallback: None,
            TransactionNotificationCallback: None,
            NormalizeNameComponentExCallback: None,
            SectionNotificationCallback: None,
        };
        let mut filter = null_mut();
        // SAFETY: the driver object is the one that was passed in, the registration is complete.
        let status = unsafe { FltRegisterFilter(driver, &raw const registration, &raw mut filter) };
        if status != STATUS_SUCCESS {
            return status;
        }
        BY_FILTER.lock().insert(filter as usize, script);
        // SAFETY: the filter was just registered.
        unsafe { FltStartFiltering(filter) }
    }

    unsafe fn unload(_flags: FLT_FILTER_UNLOAD_FLAGS) -> NTSTATUS {
        let filter = UNLOADING.take();
        // SAFETY: the filter whose driver the test unloads.
        unsafe { FltUnregisterFilter(filter as PFLT_FILTER) };
        STATUS_SUCCESS
    }

    unsafe fn setup(
        objects: PCFLT_RELATED_OBJECTS,
        flags: FLT_INSTANCE_SETUP_FLAGS,
        device: DEVICE_TYPE,
        kind: FLT_FILESYSTEM_TYPE,
    ) -> NTSTATUS {
        let (script, objects) = script_of(objects);
        script.note(&format!("setup flags={flags} device={device} type={kind}"));
        script.setup.as_ref().map_or(STATUS_SUCCESS, |setup| setup(&objects, flags))
    }

    unsafe fn query(
        objects: PCFLT_RELATED_OBJECTS,
        _flags: FLT_INSTANCE_QUERY_TEARDOWN_FLAGS,
    ) -> NTSTATUS {
        let (script, _) = script_of(objects);
        script.note("query-teardown");
        script.query.unwrap_or(STATUS_SUCCESS)
    }

    unsafe fn start(objects: PCFLT_RELATED_OBJECTS, reason: FLT_INSTANCE_TEARDOWN_FLAGS) {
        let (script, objects) = script_of(objects);
        script.note(&format!("teardown-start {reason}"));
        if let Some(start) = &script.start {
            start(&objects, reason);
        }
    }

    unsafe fn complete(objects: PCFLT_RELATED_OBJECTS, reason: FLT_INSTANCE_TEARDOWN_FLAGS) {
        let (script, objects) = script_of(objects);
        script.note(&format!("teardown-complete {reason}"));
        if let Some(complete) = &script.complete {
            complete(&objects, reason);
        }
    }

    unsafe fn pre(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        context: *mut PVOID,
    ) -> FLT_PREOP_CALLBACK_STATUS {
        let (script, objects) = script_of(objects);
        let major = major(data);
        script.note(&format!("pre {}", short(major)));
        let mut value = null_mut();
        let status = script.pre[&major](data, &objects, &mut value);
        // SAFETY: the machine passes a place for the completion context.
        unsafe { *context = value };
        status
    }

    unsafe fn post(
        data: PFLT_CALLBACK_DATA,
        objects: PCFLT_RELATED_OBJECTS,
        context: PVOID,
        flags: FLT_POST_OPERATION_FLAGS,
    ) -> FLT_POSTOP_CALLBACK_STATUS {
        let (script, objects) = script_of(objects);
        let major = major(data);
        let draining = if flags & FLTFL_POST_OPERATION_DRAINING != 0 { " draining" } else { "" };
        script.note(&format!("post {}{draining}", short(major)));
        match script.post.get(&major) {
            Some(Some(callback)) => callback(data, &objects, context, flags),
            _ => FLT_POSTOP_FINISHED_PROCESSING,
        }
    }
}

/// A string that a driver passes, with its units.
pub(crate) struct Name {
    units: Vec<u16>,
    header: Box<UNICODE_STRING>,
}

/// Object attributes with a name; they point into the name.
pub(crate) fn name(text: &str) -> Name {
    let mut units: Vec<u16> = text.encode_utf16().collect();
    let bytes = u16::try_from(units.len() * 2).unwrap();
    let header = Box::new(UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: units.as_mut_ptr(),
    });
    Name { units, header }
}

impl Name {
    pub(crate) fn attributes(&self, root: HANDLE, attributes: u32) -> OBJECT_ATTRIBUTES {
        assert_eq!(self.units.len() * 2, usize::from(self.header.Length));
        OBJECT_ATTRIBUTES {
            Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).unwrap(),
            RootDirectory: root,
            ObjectName: (&raw const *self.header).cast_mut(),
            Attributes: attributes,
            SecurityDescriptor: null_mut(),
            SecurityQualityOfService: null_mut(),
        }
    }
}
