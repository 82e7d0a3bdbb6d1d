/*
 * A driver that uses one family of the kernel's functions in each exported function. Each gives 0,
 * or the line here where something was not as documented. build.sh makes os.sys of it.
 */
#include "os.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)
#define TAG 0x7473654F

NTSTATUS DriverEntry(PVOID driver, UNICODE_STRING *path) { return STATUS_SUCCESS; }

/* Memory descriptor lists */

static char constant[PAGE_SIZE] = {1};

static NTSTATUS try_lock(MDL *mdl, KPROCESSOR_MODE mode, ULONG operation)
{
    __try {
        MmProbeAndLockPages(mdl, mode, operation);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return (NTSTATUS)GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

EXPORT ULONG64 mdl_of_pool(void)
{
    char *memory = ExAllocatePool2(POOL_FLAG_NON_PAGED, 3 * PAGE_SIZE, TAG);
    MDL *mdl = IoAllocateMdl(memory + 5, 2 * PAGE_SIZE, 0, 0, 0), *part;
    ULONG64 *numbers = (ULONG64 *)(mdl + 1);
    CHECK(MmSizeOfMdl(memory, 0) == sizeof(MDL) || ((ULONG64)memory & 0xFFF) != 0);
    CHECK(MmSizeOfMdl((PVOID)0x1FFF, 2) == sizeof(MDL) + 16);
    CHECK(mdl != 0 && mdl->Next == 0 && (mdl->MdlFlags & 0xFFF7) == 0);
    CHECK((char *)mdl->StartVa + mdl->ByteOffset == memory + 5 && mdl->ByteCount == 2 * PAGE_SIZE);
    MmBuildMdlForNonPagedPool(mdl);
    CHECK(mdl->MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) == memory + 5);
    CHECK(numbers[1] == numbers[0] + 1);
    part = IoAllocateMdl(memory + 5, PAGE_SIZE, 0, 0, 0);
    IoBuildPartialMdl(mdl, part, memory + 105, 50);
    CHECK(part->ByteCount == 50 && MmGetSystemAddressForMdlSafe(part, 0) == memory + 105);
    IoBuildPartialMdl(mdl, part, memory + 5 + PAGE_SIZE, 0);
    CHECK(part->ByteCount == PAGE_SIZE);
    IoFreeMdl(part);
    IoFreeMdl(mdl);
    ExFreePool(memory);
    return 0;
}

EXPORT ULONG64 mdl_locked(void)
{
    char *memory = ExAllocatePool2(POOL_FLAG_PAGED, 2 * PAGE_SIZE, TAG), *mapped;
    MDL *mdl = IoAllocateMdl(memory, 2 * PAGE_SIZE, 0, 0, 0), *part;
    CHECK(try_lock(mdl, KernelMode, IoWriteAccess) == STATUS_SUCCESS);
    CHECK((mdl->MdlFlags & 0xFFF7) == (MDL_PAGES_LOCKED | MDL_WRITE_OPERATION));
    mapped = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority | MdlMappingNoExecute);
    CHECK(mapped != 0 && (mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA));
    mapped[PAGE_SIZE] = 77;
    CHECK(memory[PAGE_SIZE] == 77);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, 0) == mapped);
    MmUnmapLockedPages(mapped, mdl);
    CHECK(!(mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) && (mdl->MdlFlags & MDL_PAGES_LOCKED));
    part = IoAllocateMdl(memory, PAGE_SIZE, 0, 0, 0);
    IoBuildPartialMdl(mdl, part, memory + 16, 100);
    CHECK((part->MdlFlags & 0xFFF7) == MDL_PARTIAL);
    CHECK(MmGetSystemAddressForMdlSafe(part, 0) == memory + 16);
    CHECK(part->MdlFlags & MDL_PARTIAL_HAS_BEEN_MAPPED);
    /* Freeing a part takes its mapping away, and unlocking that of the whole. */
    IoFreeMdl(part);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, 0) != 0);
    MmUnlockPages(mdl);
    CHECK((mdl->MdlFlags & 0xFFF7) == 0);
    IoFreeMdl(mdl);
    ExFreePool(memory);
    return 0;
}

EXPORT ULONG64 mdl_refused(void)
{
    MDL *mdl;
    NTSTATUS bad = (NTSTATUS)0xC0000005;
    mdl = IoAllocateMdl((PVOID)0x1000, 10, 0, 0, 0);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == bad);
    CHECK(!(mdl->MdlFlags & MDL_PAGES_LOCKED));
    IoFreeMdl(mdl);
    mdl = IoAllocateMdl((PVOID)0xFFFF800000001000, 10, 0, 0, 0);
    CHECK(try_lock(mdl, UserMode, IoReadAccess) == bad);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == bad);
    IoFreeMdl(mdl);
    /* Code can be read and not written to. */
    mdl = IoAllocateMdl((PVOID)mdl_refused, 10, 0, 0, 0);
    CHECK(try_lock(mdl, UserMode, IoWriteAccess) == bad);
    CHECK(try_lock(mdl, UserMode, IoReadAccess) == STATUS_SUCCESS);
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
    CHECK(IoAllocateMdl(constant, 0xFFFFFFFF, 0, 0, 0) == 0);
    return 0;
}

EXPORT ULONG64 mdl_in_own_memory(void)
{
    ULONG64 room[16];
    MDL *mdl = (MDL *)room;
    MmInitializeMdl(mdl, constant, sizeof constant);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == STATUS_SUCCESS);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, 0) == constant);
    MmUnlockPages(mdl);
    return 0;
}

EXPORT ULONG64 mdl_of_pages(void)
{
    MDL *mdl = MmAllocatePagesForMdlEx(0, -1, 0, PAGE_SIZE + 1, MmCached, 0);
    char *mapped;
    CHECK(mdl != 0 && mdl->ByteCount == 2 * PAGE_SIZE && mdl->ByteOffset == 0);
    mapped = MmGetSystemAddressForMdlSafe(mdl, 0);
    CHECK(mapped != 0 && ((ULONG64)mapped & (PAGE_SIZE - 1)) == 0);
    CHECK(mapped[0] == 0 && mapped[2 * PAGE_SIZE - 1] == 0);
    mapped[2 * PAGE_SIZE - 1] = 1;
    MmUnmapLockedPages(mapped, mdl);
    MmFreePagesFromMdl(mdl);
    ExFreePool(mdl);
    return 0;
}

EXPORT ULONG64 mdl_chained(void)
{
    /* MdlAddress is the second word of an IRP. */
    MDL *irp[4] = {0, 0, 0, 0};
    MDL *one = IoAllocateMdl(constant, 8, 0, 0, irp);
    MDL *two = IoAllocateMdl(constant, 8, 1, 0, irp);
    MDL *three = IoAllocateMdl(constant, 8, 1, 0, irp);
    CHECK(irp[0] == 0 && irp[1] == one && one->Next == two && two->Next == three);
    CHECK(three->Next == 0);
    IoFreeMdl(one);
    IoFreeMdl(two);
    IoFreeMdl(three);
    return 0;
}

/* Leaves an MDL locked and mapped. */
EXPORT ULONG64 mdl_left(void)
{
    MDL *mdl = IoAllocateMdl(constant, sizeof constant, 0, 0, 0);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == STATUS_SUCCESS);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, 0) == constant);
    return 0;
}

/* Five mistakes. */
EXPORT ULONG64 mdl_misused(void)
{
    MDL *mdl = IoAllocateMdl(constant, sizeof constant, 0, 0, 0);
    MmUnlockPages(mdl);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, 0) == 0);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == STATUS_SUCCESS);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == STATUS_SUCCESS);
    IoFreeMdl(mdl);
    IoFreeMdl(mdl);
    return 0;
}

/* Events, handles and names */

static const LONGLONG at_once = 0;

EXPORT ULONG64 events(void)
{
    UNICODE_STRING name = STRING(L"\\BaseNamedObjects\\Shared"), lower = STRING(L"\\basenamedobjects\\SHARED");
    UNICODE_STRING nowhere = STRING(L"\\NoSuchDirectory\\Shared");
    OBJECT_ATTRIBUTES attributes = ATTRIBUTES(&name, OBJ_KERNEL_HANDLE);
    OBJECT_ATTRIBUTES other = ATTRIBUTES(&lower, OBJ_OPENIF), bad = ATTRIBUTES(&nowhere, 0);
    HANDLE one, two, three;
    LONG before = 7;
    CHECK(ZwCreateEvent(&one, EVENT_ALL_ACCESS, &attributes, 1, 0) == STATUS_SUCCESS);
    CHECK((LONGLONG)one < 0);
    CHECK(ZwCreateEvent(&two, EVENT_ALL_ACCESS, &attributes, 1, 0) == STATUS_OBJECT_NAME_COLLISION);
    CHECK(ZwCreateEvent(&two, EVENT_ALL_ACCESS, &other, 1, 1) == STATUS_OBJECT_NAME_EXISTS);
    CHECK((LONGLONG)two > 0);
    CHECK(ZwOpenEvent(&three, EVENT_MODIFY_STATE, &other) == STATUS_SUCCESS);
    CHECK(ZwOpenEvent(&three + 1, 0, &bad) == STATUS_OBJECT_PATH_NOT_FOUND);
    CHECK(ZwWaitForSingleObject(one, 0, &at_once) == STATUS_TIMEOUT);
    CHECK(ZwSetEvent(three, &before) == STATUS_SUCCESS && before == 0);
    /* A synchronisation event lets one go. */
    CHECK(ZwWaitForSingleObject(two, 0, &at_once) == STATUS_SUCCESS);
    CHECK(ZwResetEvent(two, &before) == STATUS_SUCCESS && before == 0);
    CHECK(ZwClose(one) == STATUS_SUCCESS && ZwClose(two) == STATUS_SUCCESS);
    CHECK(ZwOpenEvent(&one, 0, &attributes) == STATUS_SUCCESS && ZwClose(one) == STATUS_SUCCESS);
    CHECK(ZwClose(three) == STATUS_SUCCESS && ZwClose(three) == STATUS_INVALID_HANDLE);
    CHECK(ZwOpenEvent(&one, 0, &attributes) == STATUS_OBJECT_NAME_NOT_FOUND);
    CHECK(ZwSetEvent(one, 0) == STATUS_INVALID_HANDLE);
    CHECK(ZwCreateEvent(&one, 0, 0, 2, 0) == STATUS_INVALID_PARAMETER);
    CHECK(ZwSetEvent(NtCurrentThread(), 0) == STATUS_OBJECT_TYPE_MISMATCH);
    return 0;
}

EXPORT ULONG64 shared_events(void)
{
    UNICODE_STRING name = STRING(L"\\KernelObjects\\Notify");
    HANDLE one = 0, two = 0;
    PVOID event = IoCreateNotificationEvent(&name, &one);
    CHECK(event != 0 && IoCreateNotificationEvent(&name, &two) == event && one != two);
    /* Such an event begins signalled. */
    CHECK(KeWaitForSingleObject(event, 0, KernelMode, 0, &at_once) == STATUS_SUCCESS);
    CHECK(ZwClose(one) == STATUS_SUCCESS && ZwClose(two) == STATUS_SUCCESS);
    return 0;
}

EXPORT ULONG64 references(void)
{
    UNICODE_STRING name = STRING(L"\\BaseNamedObjects\\Named");
    OBJECT_ATTRIBUTES attributes = ATTRIBUTES(&name, OBJ_KERNEL_HANDLE);
    OBJECT_HANDLE_INFORMATION information;
    struct {
        OBJECT_NAME_INFORMATION Header;
        WCHAR Text[32];
    } text;
    HANDLE kernel, user;
    PVOID object = (PVOID)1;
    ULONG needed = 0;
    CHECK(ZwCreateEvent(&kernel, EVENT_ALL_ACCESS, &attributes, 0, 0) == STATUS_SUCCESS);
    CHECK(ObReferenceObjectByHandle(kernel, 0, *PsThreadType, KernelMode, &object, 0) ==
          STATUS_OBJECT_TYPE_MISMATCH);
    CHECK(object == 0);
    CHECK(ObReferenceObjectByHandle(kernel, 0, 0, UserMode, &object, 0) == STATUS_INVALID_HANDLE);
    CHECK(ObReferenceObjectByHandle(kernel, 0, *ExEventObjectType, KernelMode, &object, &information) ==
          STATUS_SUCCESS);
    CHECK(information.HandleAttributes == OBJ_KERNEL_HANDLE);
    CHECK(information.GrantedAccess == EVENT_ALL_ACCESS);
    CHECK(ObGetObjectType(object) == *ExEventObjectType);
    CHECK(ObQueryNameString(object, 0, 0, &needed) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(needed == 16 + sizeof L"\\BaseNamedObjects\\Named");
    CHECK(ObQueryNameString(object, &text.Header, sizeof text, &needed) == STATUS_SUCCESS);
    CHECK(text.Header.Name.Length == name.Length && text.Header.Name.Buffer == text.Text);
    CHECK(text.Text[1] == 'B' && text.Text[name.Length / 2] == 0);
    CHECK(ObReferenceObjectByPointer(object, 0, *PsProcessType, KernelMode) ==
          STATUS_OBJECT_TYPE_MISMATCH);
    CHECK(ObReferenceObjectByPointer(object, 0, *ExEventObjectType, KernelMode) == STATUS_SUCCESS);
    ObfDereferenceObject(object);
    CHECK(ObOpenObjectByPointer(object, 0, 0, SYNCHRONIZE, *ExEventObjectType, KernelMode, &user) ==
          STATUS_SUCCESS);
    CHECK(ZwClose(kernel) == STATUS_SUCCESS);
    ObfDereferenceObject(object);
    CHECK(ObReferenceObjectByHandle(user, EVENT_MODIFY_STATE, 0, UserMode, &object, 0) ==
          STATUS_ACCESS_DENIED);
    CHECK(ObReferenceObjectByHandle(user, SYNCHRONIZE, 0, UserMode, &object, 0) == STATUS_SUCCESS);
    ObfDereferenceObject(object);
    CHECK(ZwDuplicateObject(NtCurrentProcess(), user, NtCurrentProcess(), &kernel, 0, OBJ_KERNEL_HANDLE,
                            DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE) == STATUS_SUCCESS);
    CHECK(ZwClose(user) == STATUS_INVALID_HANDLE && ZwClose(kernel) == STATUS_SUCCESS);
    CHECK(ObReferenceObjectByHandle(NtCurrentProcess(), 0, *PsProcessType, KernelMode, &object, 0) ==
          STATUS_SUCCESS);
    CHECK(object == PsGetCurrentProcess() && object == *PsInitialSystemProcess);
    ObfDereferenceObject(object);
    return 0;
}

/* Leaves a handle open, a reference on its event and one on the process; dereferences once too
 * often; uses an event that is gone. */
EXPORT ULONG64 references_left(void)
{
    HANDLE handle;
    PVOID object;
    CHECK(ZwCreateEvent(&handle, EVENT_ALL_ACCESS, 0, 0, 0) == STATUS_SUCCESS);
    CHECK(ObReferenceObjectByHandle(handle, 0, 0, KernelMode, &object, 0) == STATUS_SUCCESS);
    ObfReferenceObject(PsGetCurrentProcess());
    CHECK(ZwCreateEvent(&handle, EVENT_ALL_ACCESS, 0, 0, 0) == STATUS_SUCCESS);
    CHECK(ObReferenceObjectByHandle(handle, 0, 0, KernelMode, &object, 0) == STATUS_SUCCESS);
    ObfDereferenceObject(object);
    ObfDereferenceObject(object);
    CHECK(ZwClose(handle) == STATUS_SUCCESS);
    ObfReferenceObject(object);
    ZwCreateEvent(&handle, EVENT_ALL_ACCESS, 0, 0, 0);
    return 0;
}

/* Threads */

typedef struct {
    HANDLE Started, Go;
    HANDLE Id;
    PVOID Thread;
    UCHAR Irql;
    NTSTATUS Raised;
    ULONG64 Sum;
} WORK;

NOINLINE static ULONG64 end_deep_down(ULONG64 depth, ULONG64 a, ULONG64 b, ULONG64 c)
{
    if (depth == 0) {
        PsTerminateSystemThread(0x1234);
        return 0;
    }
    return end_deep_down(depth - 1, b, c, a) + a;
}

static void thread_routine(PVOID context)
{
    WORK *work = context;
    work->Id = PsGetCurrentThreadId();
    work->Thread = PsGetCurrentThread();
    work->Irql = KeGetCurrentIrql();
    __try {
        ExRaiseStatus((NTSTATUS)0xC0000123);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        work->Raised = (NTSTATUS)GetExceptionCode();
    }
    ZwSetEvent(work->Started, 0);
    ZwWaitForSingleObject(work->Go, 0, 0);
    work->Sum = 1;
    __try {
        work->Sum = end_deep_down(10, 1, 2, 3);
    } __finally {
        work->Sum += 100;
    }
}

static void short_routine(PVOID context) { *(ULONG64 *)context += 1; }

EXPORT ULONG64 threads(void)
{
    WORK work = {0, 0, 0, 0, 9, 0, 0};
    OBJECT_ATTRIBUTES attributes = ATTRIBUTES(0, OBJ_KERNEL_HANDLE);
    HANDLE handle;
    CLIENT_ID client;
    PVOID thread, found;
    ULONG64 count = 0, index;
    CHECK(ZwCreateEvent(&work.Started, EVENT_ALL_ACCESS, 0, 0, 0) == STATUS_SUCCESS);
    CHECK(ZwCreateEvent(&work.Go, EVENT_ALL_ACCESS, 0, 0, 0) == STATUS_SUCCESS);
    CHECK(PsCreateSystemThread(&handle, 0x1FFFFF, &attributes, 0, &client, thread_routine, &work) ==
          STATUS_SUCCESS);
    CHECK(ObReferenceObjectByHandle(handle, 0, *PsThreadType, KernelMode, &thread, 0) == STATUS_SUCCESS);
    CHECK(ZwWaitForSingleObject(work.Started, 0, 0) == STATUS_SUCCESS);
    CHECK(work.Thread == thread && work.Id == client.UniqueThread && work.Irql == 0);
    CHECK(work.Raised == (NTSTATUS)0xC0000123 && client.UniqueProcess == (HANDLE)4);
    CHECK(PsGetThreadId(thread) == work.Id && IoThreadToProcess(thread) == PsGetCurrentProcess());
    CHECK(PsLookupThreadByThreadId(work.Id, &found) == STATUS_SUCCESS && found == thread);
    ObfDereferenceObject(found);
    CHECK(KeWaitForSingleObject(thread, 0, KernelMode, 0, &at_once) == STATUS_TIMEOUT);
    CHECK(ZwWaitForSingleObject(handle, 0, &at_once) == STATUS_TIMEOUT);
    CHECK(KeSetPriorityThread(thread, 16) == 8 && KeQueryPriorityThread(thread) == 16);
    CHECK(ZwSetEvent(work.Go, 0) == STATUS_SUCCESS);
    CHECK(KeWaitForSingleObject(thread, 0, KernelMode, 0, 0) == STATUS_SUCCESS);
    CHECK(work.Sum == 1);
    CHECK(ZwWaitForSingleObject(handle, 0, &at_once) == STATUS_SUCCESS);
    CHECK(PsLookupThreadByThreadId(work.Id, &found) == STATUS_INVALID_CID && found == 0);
    ObfDereferenceObject(thread);
    CHECK(ZwClose(handle) == STATUS_SUCCESS);
    CHECK(ZwClose(work.Started) == STATUS_SUCCESS && ZwClose(work.Go) == STATUS_SUCCESS);
    /* A routine may also return. */
    for (index = 0; index < 50; index++) {
        CHECK(PsCreateSystemThread(&handle, 0, 0, 0, 0, short_routine, &count) == STATUS_SUCCESS);
        CHECK(ZwWaitForSingleObject(handle, 0, 0) == STATUS_SUCCESS && count == index + 1);
        CHECK(ZwClose(handle) == STATUS_SUCCESS);
    }
    return 0;
}

EXPORT ULONG64 processes(void)
{
    PVOID process, thread = PsGetCurrentThread();
    UNICODE_STRING *name;
    KAPC_STATE state;
    ULONG64 low, high, count = 0;
    CHECK(PsLookupProcessByProcessId((HANDLE)4, &process) == STATUS_SUCCESS);
    CHECK(process == PsGetCurrentProcess());
    CHECK(PsGetProcessImageFileName(process)[0] == 'S');
    CHECK(SeLocateProcessImageName(process, &name) == STATUS_SUCCESS && name->Length == 0);
    ExFreePool(name);
    KeStackAttachProcess(process, &state);
    KeUnstackDetachProcess(&state);
    ObfDereferenceObject(process);
    CHECK(PsLookupProcessByProcessId((HANDLE)8, &process) == STATUS_INVALID_CID);
    ObfReferenceObject(thread);
    ObfDereferenceObject(thread);
    IoGetStackLimits(&low, &high);
    CHECK(low < (ULONG64)&low && (ULONG64)&low < high);
    CHECK(IoGetRemainingStackSize() < (ULONG64)&low - low);
    CHECK(KeExpandKernelStackAndCallout(short_routine, &count, 0x6000) == STATUS_SUCCESS && count == 1);
    CHECK(KeExpandKernelStackAndCallout(short_routine, &count, 0x20000) == (NTSTATUS)0xC00000F1);
    return 0;
}

static volatile LONG stop_thread;

static void endless_routine(PVOID context)
{
    LONGLONG soon = -10000;
    while (!stop_thread)
        KeDelayExecutionThread(KernelMode, 0, &soon);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

EXPORT ULONG64 thread_left(void)
{
    HANDLE handle;
    CHECK(PsCreateSystemThread(&handle, 0, 0, 0, 0, endless_routine, 0) == STATUS_SUCCESS);
    CHECK(ZwClose(handle) == STATUS_SUCCESS);
    CHECK(PsTerminateSystemThread(STATUS_SUCCESS) == STATUS_INVALID_PARAMETER);
    return 0;
}

EXPORT ULONG64 thread_stopped(void)
{
    stop_thread = 1;
    return 0;
}

/* Callbacks */

static void routine(void) {}

EXPORT ULONG64 notify_routines(void)
{
    OB_OPERATION_REGISTRATION operation = {(PVOID *)PsProcessType, 3, (PVOID)routine, 0};
    OB_CALLBACK_REGISTRATION registration = {0x100, 1, STRING(L"321000"), 0, &operation};
    PVOID handle;
    CHECK(PsSetCreateProcessNotifyRoutine((PVOID)routine, 1) == STATUS_PROCEDURE_NOT_FOUND);
    CHECK(PsSetCreateProcessNotifyRoutine((PVOID)routine, 0) == STATUS_SUCCESS);
    CHECK(PsSetCreateProcessNotifyRoutine((PVOID)routine, 0) == STATUS_INVALID_PARAMETER);
    CHECK(PsSetCreateProcessNotifyRoutine((PVOID)routine, 1) == STATUS_SUCCESS);
    CHECK(PsSetCreateProcessNotifyRoutineEx((PVOID)routine, 0) == STATUS_SUCCESS);
    CHECK(PsSetCreateProcessNotifyRoutineEx((PVOID)routine, 1) == STATUS_SUCCESS);
    CHECK(PsSetCreateThreadNotifyRoutine((PVOID)routine) == STATUS_SUCCESS);
    CHECK(PsRemoveCreateThreadNotifyRoutine((PVOID)routine) == STATUS_SUCCESS);
    CHECK(ObRegisterCallbacks(&registration, &handle) == STATUS_SUCCESS);
    CHECK(ObRegisterCallbacks(&registration, &handle + 1) == STATUS_FLT_INSTANCE_ALTITUDE_COLLISION);
    ObUnRegisterCallbacks(handle);
    registration.Version = 0x200;
    CHECK(ObRegisterCallbacks(&registration, &handle) == STATUS_INVALID_PARAMETER);
    registration.Version = 0x100;
    operation.ObjectType = (PVOID *)ExEventObjectType;
    CHECK(ObRegisterCallbacks(&registration, &handle) == STATUS_INVALID_PARAMETER);
    return 0;
}

EXPORT ULONG64 notify_left(void)
{
    OB_OPERATION_REGISTRATION operation = {(PVOID *)PsThreadType, 1, (PVOID)routine, 0};
    OB_CALLBACK_REGISTRATION registration = {0x100, 1, STRING(L"321000"), 0, &operation};
    PVOID handle;
    CHECK(PsSetCreateThreadNotifyRoutine((PVOID)routine) == STATUS_SUCCESS);
    CHECK(ObRegisterCallbacks(&registration, &handle) == STATUS_SUCCESS);
    return 0;
}

/* Devices */

static DEVICE_OBJECT *control;
static WORK_QUEUE_ITEM pended;
static LONG opens, cleanups, closes;

static NTSTATUS complete(IRP *irp, NTSTATUS status, ULONG64 information)
{
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    IofCompleteRequest(irp, 0);
    return status;
}

static NTSTATUS open_or_close(DEVICE_OBJECT *device, IRP *irp)
{
    UCHAR major = IoGetCurrentIrpStackLocation(irp)->MajorFunction;
    *(major == IRP_MJ_CREATE ? &opens : major == IRP_MJ_CLEANUP ? &cleanups : &closes) += 1;
    return complete(irp, STATUS_SUCCESS, 0);
}

static void complete_later(PVOID parameter)
{
    IRP *irp = parameter;
    *(ULONG *)irp->SystemBuffer += 1;
    complete(irp, STATUS_SUCCESS, sizeof(ULONG));
}

static NTSTATUS device_control(DEVICE_OBJECT *device, IRP *irp)
{
    IO_STACK_LOCATION *location = IoGetCurrentIrpStackLocation(irp);
    ULONG in = location->Parameters.DeviceIoControl.InputBufferLength, index;
    ULONG out = location->Parameters.DeviceIoControl.OutputBufferLength;
    UCHAR *buffer = irp->SystemBuffer, *target;
    if (device != control || location->DeviceObject != control || irp->RequestorMode != UserMode)
        return complete(irp, (NTSTATUS)0xC0000001, 0);
    switch (location->Parameters.DeviceIoControl.IoControlCode) {
    case CTL_CODE(0x800, METHOD_BUFFERED): /* the input backwards */
        if (out < in)
            return complete(irp, (NTSTATUS)0xC0000023, 0);
        for (index = 0; index < in / 2; index++) {
            UCHAR other = buffer[in - 1 - index];
            buffer[in - 1 - index] = buffer[index];
            buffer[index] = other;
        }
        return complete(irp, STATUS_SUCCESS, in);
    case CTL_CODE(0x801, METHOD_OUT_DIRECT): /* the input, through an MDL */
        target = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
        for (index = 0; index < in && index < out; index++)
            target[index] = buffer[index];
        return complete(irp, STATUS_SUCCESS, index);
    case CTL_CODE(0x802, METHOD_NEITHER): /* the input, from and to memory of the user */
        target = irp->UserBuffer;
        buffer = location->Parameters.DeviceIoControl.Type3InputBuffer;
        for (index = 0; index < in && index < out; index++)
            target[index] = buffer[index];
        return complete(irp, STATUS_SUCCESS, index);
    case CTL_CODE(0x803, METHOD_BUFFERED): /* later */
        location->Control |= SL_PENDING_RETURNED;
        pended.List[0] = 0;
        pended.WorkerRoutine = complete_later;
        pended.Parameter = irp;
        ExQueueWorkItem(&pended, DelayedWorkQueue);
        return STATUS_PENDING;
    case CTL_CODE(0x804, METHOD_BUFFERED): /* twice */
        complete(irp, STATUS_SUCCESS, 0);
        return complete(irp, STATUS_SUCCESS, 0);
    case CTL_CODE(0x805, METHOD_BUFFERED): /* never */
        return STATUS_SUCCESS;
    }
    return complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}

static UNICODE_STRING device_name = STRING(L"\\Device\\OsControl");
static UNICODE_STRING link_name = STRING(L"\\DosDevices\\OsControl");

EXPORT ULONG64 device_created(DRIVER_OBJECT *driver)
{
    DEVICE_OBJECT *second;
    CHECK(IoCreateDevice(driver, 24, &device_name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, 0,
                         &control) == STATUS_SUCCESS);
    CHECK(control->Type == 3 && control->DriverObject == driver && driver->DeviceObject == control);
    CHECK(control->DeviceExtension != 0 && ((ULONG64 *)control->DeviceExtension)[2] == 0);
    CHECK(control->StackSize == 1 && (control->Flags & DO_DEVICE_INITIALIZING));
    CHECK(IoCreateDevice(driver, 0, &device_name, FILE_DEVICE_UNKNOWN, 0, 0, &second) ==
          STATUS_OBJECT_NAME_COLLISION);
    CHECK(second == 0 && driver->DeviceObject == control);
    CHECK(IoCreateDevice(driver, 0, 0, FILE_DEVICE_UNKNOWN, 0, 0, &second) == STATUS_SUCCESS);
    CHECK(driver->DeviceObject == second && second->NextDevice == control && second->DeviceExtension == 0);
    IoDeleteDevice(second);
    CHECK(driver->DeviceObject == control);
    CHECK(IoCreateSymbolicLink(&link_name, &device_name) == STATUS_SUCCESS);
    CHECK(IoCreateSymbolicLink(&link_name, &device_name) == STATUS_OBJECT_NAME_COLLISION);
    CHECK(IoRegisterShutdownNotification(control) == STATUS_SUCCESS);
    driver->MajorFunction[IRP_MJ_CREATE] = open_or_close;
    driver->MajorFunction[IRP_MJ_CLEANUP] = open_or_close;
    driver->MajorFunction[IRP_MJ_CLOSE] = open_or_close;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = device_control;
    control->Flags &= ~DO_DEVICE_INITIALIZING;
    opens = cleanups = closes = 0;
    return 0;
}

EXPORT ULONG64 device_deleted(void)
{
    CHECK(opens == cleanups && opens == closes);
    IoUnregisterShutdownNotification(control);
    CHECK(IoDeleteSymbolicLink(&link_name) == STATUS_SUCCESS);
    CHECK(IoDeleteSymbolicLink(&link_name) == STATUS_OBJECT_NAME_NOT_FOUND);
    IoDeleteDevice(control);
    return 0;
}

static NTSTATUS completion(DEVICE_OBJECT *device, PVOID irp, PVOID context)
{
    *(ULONG64 *)context = ((IRP *)irp)->IoStatus.Information + (device == 0);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* A request of the driver's own, to its own device. */
EXPORT ULONG64 device_called(void)
{
    IRP *irp = IoAllocateIrp(1, 0);
    IO_STACK_LOCATION *next = irp->CurrentStackLocation - 1;
    ULONG64 value = 0x0807060504030201, done = 0;
    CHECK(irp->Type == 6 && irp->StackCount == 1 && irp->CurrentLocation == 2);
    CHECK(irp->Size == sizeof(IRP) + 16 + sizeof *next);
    irp->RequestorMode = UserMode;
    irp->SystemBuffer = &value;
    next->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    next->Parameters.DeviceIoControl.IoControlCode = CTL_CODE(0x800, METHOD_BUFFERED);
    next->Parameters.DeviceIoControl.InputBufferLength = sizeof value;
    next->Parameters.DeviceIoControl.OutputBufferLength = sizeof value;
    next->CompletionRoutine = completion;
    next->Context = &done;
    next->Control = SL_INVOKE_ALWAYS;
    CHECK(IofCallDriver(control, irp) == STATUS_SUCCESS);
    CHECK(done == 9 && value == 0x0102030405060708);
    IoFreeIrp(irp);
    return 0;
}

/* Work items */

typedef struct {
    KEVENT Done;
    ULONG64 Runs;
    PVOID Object, Item;
    UCHAR Irql;
} JOB;

static void work_routine(PVOID object, PVOID context)
{
    JOB *job = context;
    job->Object = object;
    job->Irql = KeGetCurrentIrql();
    job->Runs++;
    KeSetEvent(&job->Done, 0, 0);
}

static void work_routine_ex(PVOID object, PVOID context, PVOID item)
{
    JOB *job = context;
    job->Item = item;
    IoFreeWorkItem(item);
    work_routine(object, context);
}

static NTSTATUS wait_for(JOB *job)
{
    return KeWaitForSingleObject(&job->Done, 0, KernelMode, 0, 0);
}

EXPORT ULONG64 work_items(DRIVER_OBJECT *driver)
{
    ULONG64 own[32];
    JOB job = {{{0}}, 0, 0, 0, 9};
    PVOID item = IoAllocateWorkItem(control);
    KeInitializeEvent(&job.Done, 1, 0);
    CHECK(item != 0 && IoSizeofWorkItem() <= sizeof own);
    IoQueueWorkItem(item, work_routine, DelayedWorkQueue, &job);
    CHECK(wait_for(&job) == STATUS_SUCCESS && job.Runs == 1 && job.Object == control && job.Irql == 0);
    IoQueueWorkItemEx(item, work_routine_ex, DelayedWorkQueue, &job);
    CHECK(wait_for(&job) == STATUS_SUCCESS && job.Runs == 2 && job.Item == item);
    IoInitializeWorkItem(driver, own);
    IoQueueWorkItem(own, work_routine, DelayedWorkQueue, &job);
    CHECK(wait_for(&job) == STATUS_SUCCESS && job.Runs == 3 && job.Object == driver);
    IoUninitializeWorkItem(own);
    return 0;
}

/* Leaves a device, its name and its work item. */
EXPORT ULONG64 devices_left(DRIVER_OBJECT *driver)
{
    CHECK(device_created(driver) == 0);
    CHECK(IoAllocateWorkItem(control) != 0);
    CHECK(IoAllocateWorkItem(driver + 1) == 0);
    CHECK(IoAllocateIrp(1, 0) != 0);
    return 0;
}

/* Timers */

static void timer_routine(PVOID timer, PVOID context)
{
    JOB *job = context;
    work_routine(timer, context);
    job->Item = timer;
}

EXPORT ULONG64 timers(void)
{
    JOB job = {{{0}}, 0, 0, 0, 9};
    PVOID timer = ExAllocateTimer(timer_routine, &job, 0);
    ULONG64 runs;
    KeInitializeEvent(&job.Done, 1, 0);
    CHECK(timer != 0 && ExSetTimer(timer, -10000, 0, 0) == 0);
    CHECK(wait_for(&job) == STATUS_SUCCESS && job.Object == timer && job.Irql == 2 && job.Runs == 1);
    CHECK(KeWaitForSingleObject(timer, 0, KernelMode, 0, 0) == STATUS_SUCCESS);
    CHECK(ExCancelTimer(timer, 0) == 0);
    CHECK(ExSetTimer(timer, -100000000, 0, 0) == 0);
    CHECK(ExSetTimer(timer, -10000, 10000, 0) == 1);
    CHECK(wait_for(&job) == STATUS_SUCCESS && wait_for(&job) == STATUS_SUCCESS);
    CHECK(ExDeleteTimer(timer, 1, 1, 0) == 1);
    runs = job.Runs;
    LONGLONG soon = -50000;
    KeDelayExecutionThread(KernelMode, 0, &soon);
    CHECK(runs >= 3 && runs == job.Runs);
    return 0;
}

/* Sections and processes by handle */

EXPORT ULONG64 sections(void)
{
    UNICODE_STRING name = STRING(L"\\BaseNamedObjects\\OsSection");
    OBJECT_ATTRIBUTES attributes = ATTRIBUTES(&name, OBJ_KERNEL_HANDLE);
    HANDLE section, again;
    LONGLONG size = 0x18000, offset = 0x10000;
    PVOID one = 0, two = 0, object, three;
    SIZE_T first = 0, second = 0, third = 0;
    CHECK(ZwCreateSection(&section, SECTION_ALL_ACCESS, 0, &size, 0x55, SEC_COMMIT, 0) ==
          STATUS_INVALID_PAGE_PROTECTION);
    CHECK(ZwCreateSection(&section, SECTION_ALL_ACCESS, 0, 0, PAGE_READWRITE, SEC_COMMIT, 0) ==
          (NTSTATUS)0xC00000F2);
    CHECK(ZwCreateSection(&section, SECTION_ALL_ACCESS, &attributes, &size, PAGE_READWRITE, SEC_COMMIT, 0) ==
          STATUS_SUCCESS);
    CHECK(ZwOpenSection(&again, SECTION_ALL_ACCESS, &attributes) == STATUS_SUCCESS);
    CHECK(ZwMapViewOfSection(section, NtCurrentProcess(), &one, 0, 0, 0, &first, ViewUnmap, 0,
                             PAGE_READWRITE) == STATUS_SUCCESS);
    CHECK(one != 0 && first == 0x18000 && ((char *)one)[first - 1] == 0);
    CHECK(ZwMapViewOfSection(again, NtCurrentProcess(), &two, 0, 0, &offset, &second, ViewUnmap, 0,
                             PAGE_READWRITE) == STATUS_SUCCESS);
    CHECK(second == 0x8000);
    ((char *)one)[0x10005] = 55;
    CHECK(((char *)two)[5] == 55);
    CHECK(ZwMapViewOfSection(again, NtCurrentProcess(), &two, 0, 0, 0, &second, ViewUnmap, 0,
                             PAGE_READWRITE) == STATUS_CONFLICTING_ADDRESSES);
    offset = 0x1000;
    object = 0;
    CHECK(ZwMapViewOfSection(again, NtCurrentProcess(), &object, 0, 0, &offset, &second, ViewUnmap, 0,
                             PAGE_READWRITE) == STATUS_MAPPED_ALIGNMENT);
    offset = 0x20000;
    CHECK(ZwMapViewOfSection(again, NtCurrentProcess(), &object, 0, 0, &offset, &second, ViewUnmap, 0,
                             PAGE_READWRITE) == STATUS_INVALID_VIEW_SIZE);
    CHECK(ObReferenceObjectByHandle(section, 0, *MmSectionObjectType, KernelMode, &object, 0) ==
          STATUS_SUCCESS);
    CHECK(MmMapViewInSystemSpace(object, &three, &third) == STATUS_SUCCESS && third == 0x18000);
    CHECK(((char *)three)[0x10005] == 55 && MmUnmapViewInSystemSpace(three) == STATUS_SUCCESS);
    ObfDereferenceObject(object);
    CHECK(ZwUnmapViewOfSection(NtCurrentProcess(), (char *)two + 77) == STATUS_SUCCESS);
    CHECK(ZwClose(section) == STATUS_SUCCESS && ZwClose(again) == STATUS_SUCCESS);
    /* A view keeps its section. */
    CHECK(((char *)one)[0x10005] == 55);
    CHECK(ZwUnmapViewOfSection(NtCurrentProcess(), one) == STATUS_SUCCESS);
    CHECK(ZwUnmapViewOfSection(NtCurrentProcess(), one) == STATUS_NOT_MAPPED_VIEW);
    return 0;
}

EXPORT ULONG64 process_handles(void)
{
    OBJECT_ATTRIBUTES attributes = ATTRIBUTES(0, OBJ_KERNEL_HANDLE);
    CLIENT_ID client = {(HANDLE)4, 0};
    PROCESS_BASIC_INFORMATION basic;
    HANDLE handle;
    ULONG needed = 0, session = 9;
    CHECK(ZwOpenProcess(&handle, 0x400, &attributes, &client) == STATUS_SUCCESS);
    CHECK(ZwQueryInformationProcess(handle, 0, &basic, sizeof basic, &needed) == STATUS_SUCCESS);
    CHECK(needed == sizeof basic && basic.UniqueProcessId == 4 && basic.ExitStatus == STATUS_PENDING);
    CHECK(ZwQueryInformationProcess(handle, 24, &session, 4, 0) == STATUS_SUCCESS && session == 0);
    CHECK(ZwQueryInformationProcess(handle, 0, &basic, 4, 0) == STATUS_INFO_LENGTH_MISMATCH);
    CHECK(ZwQueryInformationProcess(handle, 9999, &basic, 4, 0) == STATUS_INVALID_INFO_CLASS);
    CHECK(ZwClose(handle) == STATUS_SUCCESS);
    client.UniqueThread = PsGetCurrentThreadId();
    CHECK(ZwOpenThread(&handle, 0x40, &attributes, &client) == STATUS_SUCCESS);
    CHECK(ZwQueryInformationProcess(handle, 0, &basic, sizeof basic, 0) == STATUS_OBJECT_TYPE_MISMATCH);
    CHECK(ZwClose(handle) == STATUS_SUCCESS);
    client.UniqueProcess = (HANDLE)12;
    client.UniqueThread = 0;
    CHECK(ZwOpenProcess(&handle, 0x400, &attributes, &client) == STATUS_INVALID_CID);
    return 0;
}

/* Tokens and access */

EXPORT ULONG64 tokens(void)
{
    SECURITY_SUBJECT_CONTEXT subject;
    PVOID token = PsReferencePrimaryToken(PsGetCurrentProcess());
    SID_AND_ATTRIBUTES *user;
    TOKEN_GROUPS *groups;
    TOKEN_STATISTICS *statistics;
    ULONG64 integrity = 0;
    LUID id, debug = {20, 0}, none = {99, 0};
    PRIVILEGE_SET set = {2, 1, {{{20, 0}, 0}, {{99, 0}, 0}}};
    SeCaptureSubjectContext(&subject);
    CHECK(subject.ClientToken == 0 && subject.PrimaryToken == token);
    CHECK(SeTokenIsAdmin(token));
    CHECK(SeQueryAuthenticationIdToken(token, &id) == STATUS_SUCCESS && id.LowPart == 0x3E7);
    CHECK(SeQueryInformationToken(token, TokenUser, (PVOID *)&user) == STATUS_SUCCESS);
    CHECK(user->Sid == (SID *)(user + 1) && user->Sid->Revision == 1);
    CHECK(user->Sid->SubAuthorityCount == 1 && user->Sid->SubAuthority[0] == 18);
    ExFreePool(user);
    CHECK(SeQueryInformationToken(token, TokenGroups, (PVOID *)&groups) == STATUS_SUCCESS);
    CHECK(groups->GroupCount == 4 && groups->Groups[0].Sid->SubAuthority[1] == 544);
    CHECK(groups->Groups[3].Sid->IdentifierAuthority[5] == 16);
    ExFreePool(groups);
    CHECK(SeQueryInformationToken(token, TokenStatistics, (PVOID *)&statistics) == STATUS_SUCCESS);
    CHECK(statistics->AuthenticationId.LowPart == 0x3E7 && statistics->TokenType == 1);
    CHECK(statistics->GroupCount == 4 && statistics->PrivilegeCount == 35);
    ExFreePool(statistics);
    CHECK(SeQueryInformationToken(token, TokenIntegrityLevel, (PVOID *)&integrity) == STATUS_SUCCESS);
    CHECK(integrity == 0x4000);
    CHECK(SeQueryInformationToken(token, 999, (PVOID *)&user) == STATUS_INVALID_INFO_CLASS);
    CHECK(SeSinglePrivilegeCheck(debug, UserMode) && !SeSinglePrivilegeCheck(none, UserMode));
    CHECK(SeSinglePrivilegeCheck(none, KernelMode));
    CHECK(!SePrivilegeCheck(&set, &subject, UserMode) && set.Privilege[0].Attributes == 0x80000000);
    set.Control = 0;
    CHECK(SePrivilegeCheck(&set, &subject, UserMode));
    SeReleaseSubjectContext(&subject);
    PsDereferencePrimaryToken(token);
    return 0;
}

EXPORT ULONG64 access_checks(void)
{
    static SID system = {1, 1, {0, 0, 0, 0, 0, 5}, {18}}, other = {1, 1, {0, 0, 0, 0, 0, 5}, {99}};
    /* Everyone may not write; SYSTEM may read and write. */
    TWO_ACES acl = {2, 0, sizeof acl, 2, 0, {{1, 0, 20, 2, 1, 1, {0, 0, 0, 0, 0, 1}, 0},
                                             {0, 0, 20, 3, 1, 1, {0, 0, 0, 0, 0, 5}, 18}}};
    SECURITY_DESCRIPTOR descriptor = {1, 0, SE_DACL_PRESENT, &other, 0, 0, &acl};
    GENERIC_MAPPING mapping = {1, 2, 4, 7};
    SECURITY_SUBJECT_CONTEXT subject;
    ULONG granted;
    NTSTATUS status;
#define ACCESS(desired, mode)                                                                      \
    SeAccessCheck(&descriptor, &subject, 1, desired, 0, 0, &mapping, mode, &granted, &status)
    SeCaptureSubjectContext(&subject);
    SeLockSubjectContext(&subject);
    CHECK(ACCESS(GENERIC_READ, UserMode) && granted == 1 && status == STATUS_SUCCESS);
    CHECK(!ACCESS(2, UserMode) && granted == 0 && status == STATUS_ACCESS_DENIED);
    CHECK(ACCESS(2, KernelMode) && granted == 2);
    CHECK(!ACCESS(4, UserMode) && !ACCESS(READ_CONTROL, UserMode));
    CHECK(ACCESS(MAXIMUM_ALLOWED, UserMode) && granted == 1);
    CHECK(ACCESS(MAXIMUM_ALLOWED, KernelMode) && granted == 7);
    descriptor.Owner = &system;
    CHECK(ACCESS(READ_CONTROL | WRITE_DAC, UserMode) && granted == (READ_CONTROL | WRITE_DAC));
    descriptor.Dacl = 0;
    CHECK(ACCESS(6, UserMode) && granted == 6);
    CHECK(!ACCESS(0, UserMode));
    SeUnlockSubjectContext(&subject);
    SeReleaseSubjectContext(&subject);
    return 0;
}

EXPORT ULONG64 tokens_left(void)
{
    static SECURITY_SUBJECT_CONTEXT subject;
    SeCaptureSubjectContext(&subject);
    SeLockSubjectContext(&subject);
    PsReferencePrimaryToken(PsGetCurrentProcess());
    SeReleaseSubjectContext(&subject + 1);
    return 0;
}

/* Transactions */

EXPORT ULONG64 transactions(void)
{
    OBJECT_ATTRIBUTES attributes = ATTRIBUTES(0, OBJ_KERNEL_HANDLE);
    HANDLE handle, second;
    PVOID transaction;
    GUID one = {{0, 0}}, two = {{0, 0}};
    CHECK(ZwCreateTransaction(&handle, 0x12003F, &attributes, 0, 0, 0, 0, 0, 0, 0) == STATUS_SUCCESS);
    CHECK(ObReferenceObjectByHandle(handle, 0, *TmTransactionObjectType, KernelMode, &transaction, 0) ==
          STATUS_SUCCESS);
    CHECK(TmIsTransactionActive(transaction));
    TmGetTransactionId(transaction, &one);
    CHECK(ZwCommitTransaction(handle, 1) == STATUS_SUCCESS && !TmIsTransactionActive(transaction));
    CHECK(TmCommitTransaction(transaction, 1) == STATUS_TRANSACTION_NOT_ACTIVE);
    CHECK(ZwRollbackTransaction(handle, 0) == STATUS_TRANSACTION_NOT_ACTIVE);
    ObfDereferenceObject(transaction);
    CHECK(ZwClose(handle) == STATUS_SUCCESS);
    CHECK(ZwCreateTransaction(&second, 0x12003F, &attributes, 0, 0, 0, 0, 0, 0, 0) == STATUS_SUCCESS);
    CHECK(ObReferenceObjectByHandle(second, 0, 0, KernelMode, &transaction, 0) == STATUS_SUCCESS);
    TmGetTransactionId(transaction, &two);
    CHECK(one.Words[1] != two.Words[1]);
    /* Closing the last handle rolls it back. */
    CHECK(ZwClose(second) == STATUS_SUCCESS && !TmIsTransactionActive(transaction));
    ObfDereferenceObject(transaction);
    return 0;
}

/* What is said about a file object of 1234 bytes that was opened in a transaction. */
EXPORT ULONG64 file_asked(PVOID file)
{
    TXN_PARAMETER_BLOCK *block = IoGetTransactionParameterBlock(file);
    OBJECT_NAME_INFORMATION text[8];
    LONGLONG size = 0;
    ULONG needed;
    CHECK(block != 0 && block->Length == sizeof *block && block->TxFsContext == 0xFFFE);
    CHECK(ObGetObjectType(block->TransactionObject) == *TmTransactionObjectType);
    CHECK(TmIsTransactionActive(block->TransactionObject));
    CHECK(FsRtlGetFileSize(file, &size) == STATUS_SUCCESS && size == 1234);
    CHECK(ObQueryNameString(file, text, sizeof text, &needed) == STATUS_SUCCESS);
    CHECK(text->Name.Length == sizeof L"\\Device\\HarddiskVolume1\\a.txt" - 2);
    CHECK(CcPurgeCacheSection(0, 0, 0, 0));
    return 0;
}

/* A provider of events and a message of WPP, with nobody who listens. */
EXPORT ULONG64 tracing(void)
{
    static const GUID provider = {0x12345678};
    const EVENT_DESCRIPTOR event = {1, 0, 0, 4, 0, 0, 1};
    ULONG number = 7;
    EVENT_DATA_DESCRIPTOR data = {(ULONG64)&number, sizeof number, 0};
    ULONG64 handle = 0;
    CHECK(EtwRegister(&provider, 0, 0, &handle) == STATUS_SUCCESS && handle != 0);
    CHECK(!EtwProviderEnabled(handle, 4, 1) && !EtwEventEnabled(handle, &event));
    CHECK(EtwWrite(handle, &event, 0, 1, &data) == STATUS_SUCCESS);
    CHECK(EtwWriteTransfer(handle, &event, 0, &provider, 1, &data) == STATUS_SUCCESS);
    CHECK(EtwUnregister(handle) == STATUS_SUCCESS);
    CHECK(EtwUnregister(0) == (NTSTATUS)0xC0000008);
    CHECK(WmiTraceMessage(0, TRACE_MESSAGE_SEQUENCE | TRACE_MESSAGE_GUID, &provider, 10, &number, sizeof number,
                          (PVOID)0) == (NTSTATUS)0xC0000008);
    return 0;
}

EXPORT ULONG64 tracing_left(void)
{
    static const GUID provider = {0x12345678};
    ULONG64 handle = 0;
    CHECK(EtwRegister(&provider, 0, 0, &handle) == STATUS_SUCCESS);
    return 0;
}

/* The drive of the first volume is a symbolic link to its device. */
EXPORT ULONG64 drive(void)
{
    UNICODE_STRING name = STRING(L"\\??\\C:"), target = {0, 0, 0};
    OBJECT_ATTRIBUTES attributes = ATTRIBUTES(&name, 0x240);
    unsigned short room[64];
    HANDLE link;
    ULONG needed = 0;
    CHECK(ZwOpenSymbolicLinkObject(&link, SYMBOLIC_LINK_QUERY, &attributes) == STATUS_SUCCESS);
    CHECK(ZwQuerySymbolicLinkObject(link, &target, &needed) == (NTSTATUS)0xC0000023);
    target.Buffer = room;
    target.MaximumLength = sizeof room;
    CHECK(ZwQuerySymbolicLinkObject(link, &target, &needed) == STATUS_SUCCESS);
    CHECK(target.Length == sizeof L"\\Device\\HarddiskVolume1" - 2);
    CHECK(ZwClose(link) == STATUS_SUCCESS);
    return 0;
}

/* What is done with a key is told, before and after. */
static ULONG64 told;
static NTSTATUS tell(PVOID context, PVOID class, PVOID information)
{
    told = told * 100 + (ULONG64)class;
    return context == &told && information != 0 ? STATUS_SUCCESS : (NTSTATUS)0xC0000022;
}

EXPORT ULONG64 registry_told(DRIVER_OBJECT *driver)
{
    UNICODE_STRING altitude = STRING(L"320000"), name = STRING(L"\\Registry\\Machine\\SOFTWARE\\Told");
    OBJECT_ATTRIBUTES attributes = ATTRIBUTES(&name, 0x240);
    LONGLONG cookie = 0;
    HANDLE key;
    CHECK(CmRegisterCallbackEx(tell, &altitude, driver, &told, &cookie, 0) == STATUS_SUCCESS);
    CHECK(ZwCreateKey(&key, 0xF003F, &attributes, 0, 0, 0, 0) == STATUS_SUCCESS);
    /* RegNtPreCreateKeyEx, RegNtPostCreateKeyEx */
    CHECK(told == 2627);
    CHECK(ZwClose(key) == STATUS_SUCCESS);
    /* RegNtPreKeyHandleClose, RegNtPostKeyHandleClose */
    CHECK(told == 26271425);
    CHECK(CmUnRegisterCallback(cookie) == STATUS_SUCCESS);
    return 0;
}
