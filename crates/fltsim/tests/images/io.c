/*
 * A minifilter in C that does I/O: it swaps the buffer of every read and inverts what comes back,
 * opens and reads each file that was opened once more, with and without waiting, and lets a worker
 * release writes from a cancel-safe queue. build.sh makes io.sys of it.
 */
#include "kernel.h"
#include "filter.h"

typedef struct LIST {
    struct LIST *Next, *Previous;
} LIST;

typedef struct {
    ULONG IrpFlags;
    UCHAR MajorFunction, MinorFunction, OperationFlags, Reserved;
    PVOID TargetFileObject, TargetInstance;
    union {
        struct {
            ULONG Length;
            __attribute__((aligned(8))) ULONG Key;
            LONGLONG ByteOffset;
            PVOID Buffer;
            struct MDL *Mdl;
        } Transfer;
        ULONG64 Words[6];
    };
} PARAMETER_BLOCK;

typedef struct {
    union {
        NTSTATUS Status;
        PVOID Pointer;
    };
    ULONG64 Information;
} STATUS_BLOCK;

typedef struct {
    ULONG Flags;
    PVOID Thread;
    PARAMETER_BLOCK *Iopb;
    STATUS_BLOCK IoStatus;
    PVOID TagData;
    LIST Links;
    PVOID QueueContext[2];
    char RequestorMode;
} CALLBACK_DATA;

typedef struct {
    ULONG Length;
    PVOID RootDirectory;
    UNICODE_STRING *ObjectName;
    ULONG Attributes;
    PVOID SecurityDescriptor, SecurityQualityOfService;
} ATTRIBUTES;

typedef struct QUEUE {
    ULONG64 Csq[8];
    ULONG Flags;
    PVOID Instance, Routines[6];
} QUEUE;

typedef struct MDL {
    struct MDL *Next;
    short Size, MdlFlags;
    PVOID Process, MappedSystemVa, StartVa;
    ULONG ByteCount, ByteOffset;
} MDL;

_Static_assert(sizeof(MDL) == 48, "MDL");
_Static_assert(sizeof(PARAMETER_BLOCK) == 72, "FLT_IO_PARAMETER_BLOCK");
_Static_assert(sizeof(CALLBACK_DATA) == 88, "FLT_CALLBACK_DATA");
_Static_assert(sizeof(ATTRIBUTES) == 48, "OBJECT_ATTRIBUTES");
_Static_assert(sizeof(QUEUE) == 128, "FLT_CALLBACK_DATA_QUEUE");

#define IRP_MJ_CREATE 0
#define IRP_MJ_WRITE 4
#define WITH_CALLBACK 0
#define PENDING 2
#define COMPLETE 4
#define FINISHED 0
#define DRAINING 1
#define TAG 0x706F6F49
#define IRP_OPERATION 1
#define MDL_MAPPED_TO_SYSTEM_VA 1
#define MDL_PAGES_LOCKED 2
#define MDL_SOURCE_IS_NONPAGED_POOL 4
#define STATUS_PENDING 0x103
#define STATUS_CANCELLED ((NTSTATUS)0xC0000120)
#define STATUS_CBDQ_DISABLED ((NTSTATUS)0xC01C000E)
#define FILE_GENERIC_READ 0x120089
#define OBJ_KERNEL_HANDLE 0x200
#define CONTAINING(link) ((CALLBACK_DATA *)((char *)(link) - __builtin_offsetof(CALLBACK_DATA, Links)))

IMPORT PVOID FltAllocateGenericWorkItem(void);
IMPORT void FltFreeGenericWorkItem(PVOID item);
IMPORT NTSTATUS FltQueueGenericWorkItem(PVOID item, PVOID object, void (*routine)(PVOID, PVOID, PVOID),
                                        ULONG queue, PVOID context);
IMPORT NTSTATUS FltCbdqInitialize(PVOID instance, QUEUE *queue,
                                  NTSTATUS (*insert)(QUEUE *, CALLBACK_DATA *, PVOID),
                                  void (*remove)(QUEUE *, CALLBACK_DATA *),
                                  CALLBACK_DATA *(*peek)(QUEUE *, CALLBACK_DATA *, PVOID),
                                  void (*acquire)(QUEUE *, UCHAR *), void (*release)(QUEUE *, UCHAR),
                                  void (*complete)(QUEUE *, CALLBACK_DATA *));
IMPORT void FltCbdqDisable(QUEUE *queue);
IMPORT NTSTATUS FltCbdqInsertIo(QUEUE *queue, CALLBACK_DATA *data, PVOID context, PVOID insert);
IMPORT CALLBACK_DATA *FltCbdqRemoveNextIo(QUEUE *queue, PVOID context);
IMPORT NTSTATUS FltClose(PVOID handle);
IMPORT void FltCompletePendedPreOperation(CALLBACK_DATA *data, int status, PVOID context);
IMPORT NTSTATUS FltCreateFileEx2(PVOID filter, PVOID instance, PVOID *handle, PVOID *file, ULONG access,
                                 ATTRIBUTES *attributes, STATUS_BLOCK *status, LONGLONG *size,
                                 ULONG file_attributes, ULONG share, ULONG disposition, ULONG options,
                                 PVOID extended, ULONG length, ULONG flags, PVOID context);
IMPORT NTSTATUS FltDecodeParameters(CALLBACK_DATA *data, PVOID **mdl, PVOID **buffer, ULONG **length,
                                    ULONG *access);
IMPORT UCHAR FltDoCompletionProcessingWhenSafe(CALLBACK_DATA *data, const RELATED_OBJECTS *objects,
                                               PVOID context, ULONG flags, PVOID callback, int *status);
IMPORT MDL *FltGetSwappedBufferMdlAddress(CALLBACK_DATA *data);
IMPORT NTSTATUS FltLockUserBuffer(CALLBACK_DATA *data);
IMPORT void FltRetainSwappedBufferMdlAddress(CALLBACK_DATA *data);
IMPORT NTSTATUS FltReadFile(PVOID instance, PVOID file, LONGLONG *offset, ULONG length, PVOID buffer,
                            ULONG flags, ULONG *count, void (*callback)(CALLBACK_DATA *, PVOID),
                            PVOID context);
IMPORT void FltSetCallbackDataDirty(CALLBACK_DATA *data);
IMPORT PVOID ExAllocatePoolWithTag(ULONG kind, SIZE_T size, ULONG tag);
IMPORT void ExFreePoolWithTag(PVOID memory, ULONG tag);
IMPORT MDL *IoAllocateMdl(PVOID address, ULONG length, UCHAR secondary, UCHAR charge, PVOID irp);
IMPORT void IoFreeMdl(MDL *mdl);
IMPORT void MmBuildMdlForNonPagedPool(MDL *mdl);
IMPORT PVOID MmMapLockedPagesSpecifyCache(MDL *mdl, char mode, ULONG cache, PVOID base, ULONG bugcheck,
                                          ULONG priority);
IMPORT UCHAR KeAcquireSpinLockRaiseToDpc(ULONG64 *lock);
IMPORT void KeReleaseSpinLock(ULONG64 *lock, UCHAR level);
IMPORT LONGLONG ObfDereferenceObject(PVOID object);
IMPORT NTSTATUS ZwClose(PVOID handle);
IMPORT NTSTATUS ZwCreateFile(PVOID *handle, ULONG access, ATTRIBUTES *attributes, STATUS_BLOCK *status,
                             LONGLONG *size, ULONG file_attributes, ULONG share, ULONG disposition,
                             ULONG options, PVOID extended, ULONG length);
IMPORT NTSTATUS ZwReadFile(PVOID handle, PVOID event, PVOID apc, PVOID context, STATUS_BLOCK *status,
                           PVOID buffer, ULONG length, LONGLONG *offset, ULONG *key);

static PVOID filter;
static QUEUE queue;
static LIST waiting = {&waiting, &waiting};
static ULONG64 lock;

static UCHAR *address_of(MDL *mdl)
{
    if (mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL))
        return mdl->MappedSystemVa;
    return MmMapLockedPagesSpecifyCache(mdl, 0, 1, 0, 0, 16);
}

/* Reads: a buffer of the driver's own takes the place of the caller's, with an MDL if the operation
 * can have one. Every second buffer is only to be found by its MDL, and that MDL stays the driver's. */

typedef struct {
    MDL *Mdl;
    ULONG64 Retained;
    UCHAR Data[];
} SWAPPED;
static ULONG64 reads;

static int pre_read(CALLBACK_DATA *data, const RELATED_OBJECTS *objects, PVOID *completion)
{
    PVOID *buffer;
    MDL **mdl;
    ULONG *length, access;
    SWAPPED *own;
    if (!NT_SUCCESS(FltDecodeParameters(data, (PVOID **)&mdl, &buffer, &length, &access)))
        return NO_CALLBACK;
    if (buffer != &data->Iopb->Transfer.Buffer || mdl != &data->Iopb->Transfer.Mdl || access != 1 ||
        length != &data->Iopb->Transfer.Length)
        DbgPrint("io: wrong parameters\n");
    own = ExAllocatePoolWithTag(NONPAGED_POOL_NX, sizeof *own + *length, TAG);
    if (own == 0)
        return NO_CALLBACK;
    own->Mdl = 0;
    own->Retained = 0;
    *buffer = own->Data;
    if (data->Flags & IRP_OPERATION) {
        own->Mdl = IoAllocateMdl(own->Data, *length, 0, 0, 0);
        MmBuildMdlForNonPagedPool(own->Mdl);
        own->Retained = ++reads % 2 == 0;
        if (own->Retained)
            *buffer = 0;
    }
    *mdl = own->Mdl;
    FltSetCallbackDataDirty(data);
    *completion = own;
    return WITH_CALLBACK;
}

static void release_swapped(CALLBACK_DATA *data, SWAPPED *own)
{
    if (FltGetSwappedBufferMdlAddress(data) != own->Mdl || data->Iopb->Transfer.Mdl != 0)
        DbgPrint("io: wrong MDL\n");
    if (own->Retained) {
        FltRetainSwappedBufferMdlAddress(data);
        IoFreeMdl(own->Mdl);
    }
    ExFreePoolWithTag(own, TAG);
}

static int copy_back(CALLBACK_DATA *data, const RELATED_OBJECTS *objects, SWAPPED *own, ULONG flags)
{
    MDL *mdl = FltGetSwappedBufferMdlAddress(data);
    UCHAR *from = mdl == 0 ? own->Data : address_of(mdl), *to = data->Iopb->Transfer.Buffer;
    ULONG64 index;
    for (index = 0; index < data->IoStatus.Information; index++)
        to[index] = (UCHAR)~from[index];
    release_swapped(data, own);
    return FINISHED;
}

static int post_read(CALLBACK_DATA *data, const RELATED_OBJECTS *objects, SWAPPED *own, ULONG flags)
{
    int status = FINISHED;
    if (!(flags & DRAINING) && NT_SUCCESS(data->IoStatus.Status) && data->IoStatus.Information != 0) {
        if (FltDoCompletionProcessingWhenSafe(data, objects, own, flags, (PVOID)copy_back, &status))
            return status;
        data->IoStatus.Status = (NTSTATUS)0xC0000001;
        data->IoStatus.Information = 0;
    }
    release_swapped(data, own);
    return FINISHED;
}

/* Creates: the file once more. */

typedef struct {
    EVENT Event;
    NTSTATUS Status;
    ULONG64 Count;
} READ_DONE;

static void read_done(CALLBACK_DATA *data, PVOID context)
{
    READ_DONE *done = context;
    done->Status = data->IoStatus.Status;
    done->Count = data->IoStatus.Information;
    KeSetEvent(&done->Event, 0, 0);
}

static int post_create(CALLBACK_DATA *data, const RELATED_OBJECTS *objects, PVOID context, ULONG flags)
{
    static WCHAR name[] = u"\\??\\C:\\watched";
    UNICODE_STRING string = {sizeof name - sizeof *name, sizeof name, name};
    ATTRIBUTES attributes = {sizeof attributes, 0, &string, OBJ_KERNEL_HANDLE, 0, 0};
    STATUS_BLOCK block = {{1}, 0};
    PVOID handle = 0, file = 0;
    char waited[8] = {0}, later[8] = {0};
    READ_DONE done;
    LONGLONG offset = 0;
    ULONG count = 0;
    NTSTATUS status;
    if (data->IoStatus.Status != STATUS_SUCCESS)
        return FINISHED;
    if (FltLockUserBuffer(data) != (NTSTATUS)0xC000000D)
        DbgPrint("io: a create has no buffer\n");
    status = FltCreateFileEx2(filter, objects->Instance, &handle, &file, FILE_GENERIC_READ, &attributes,
                              &block, 0, 0, 7, 1, 0x60, 0, 0, 0, 0);
    if (!NT_SUCCESS(status)) {
        DbgPrint("io: %08x\n", status);
        return FINISHED;
    }
    status = FltReadFile(objects->Instance, file, &offset, 7, waited, 0, &count, 0, 0);
    DbgPrint("io: opened %d, read %d: %08x %s\n", (int)block.Information, (int)count, status, waited);
    KeInitializeEvent(&done.Event, 0, 0);
    status = FltReadFile(objects->Instance, file, &offset, 7, later, 0, 0, read_done, &done);
    if (status == STATUS_PENDING || NT_SUCCESS(status))
        KeWaitForSingleObject(&done.Event, 0, 0, 0, 0);
    DbgPrint("io: later %d: %08x %s\n", (int)done.Count, done.Status, later);
    ObfDereferenceObject(file);
    FltClose(handle);
    return FINISHED;
}

/* Writes: a worker releases them. */

static NTSTATUS insert(QUEUE *own, CALLBACK_DATA *data, PVOID context)
{
    data->Links.Next = &waiting;
    data->Links.Previous = waiting.Previous;
    waiting.Previous->Next = &data->Links;
    waiting.Previous = &data->Links;
    return STATUS_SUCCESS;
}

static void take_out(QUEUE *own, CALLBACK_DATA *data)
{
    data->Links.Previous->Next = data->Links.Next;
    data->Links.Next->Previous = data->Links.Previous;
}

static CALLBACK_DATA *peek(QUEUE *own, CALLBACK_DATA *data, PVOID context)
{
    LIST *next = data == 0 ? waiting.Next : data->Links.Next;
    return next == &waiting ? 0 : CONTAINING(next);
}

static void acquire(QUEUE *own, UCHAR *level) { *level = KeAcquireSpinLockRaiseToDpc(&lock); }
static void release(QUEUE *own, UCHAR level) { KeReleaseSpinLock(&lock, level); }

static void cancel(QUEUE *own, CALLBACK_DATA *data)
{
    data->IoStatus.Status = STATUS_CANCELLED;
    data->IoStatus.Information = 0;
    FltCompletePendedPreOperation(data, COMPLETE, 0);
}

static void work(PVOID item, PVOID object, PVOID context)
{
    CALLBACK_DATA *data = FltCbdqRemoveNextIo(&queue, 0);
    if (data != 0)
        FltCompletePendedPreOperation(data, NO_CALLBACK, 0);
    FltFreeGenericWorkItem(item);
}

static UCHAR written;

/* The first byte that the last write was to write. */
EXPORT ULONG64 last_written(void) { return written; }

static int pre_write(CALLBACK_DATA *data, const RELATED_OBJECTS *objects, PVOID *completion)
{
    NTSTATUS status;
    MDL *mdl;
    /* The second time there is one. */
    if (data->Iopb->Transfer.Mdl != 0 || FltLockUserBuffer(data) != STATUS_SUCCESS ||
        FltLockUserBuffer(data) != STATUS_SUCCESS)
        DbgPrint("io: not locked\n");
    mdl = data->Iopb->Transfer.Mdl;
    if (!(mdl->MdlFlags & MDL_PAGES_LOCKED) || mdl->ByteCount != data->Iopb->Transfer.Length)
        DbgPrint("io: not described\n");
    written = *address_of(mdl);
    status = FltCbdqInsertIo(&queue, data, 0, 0);
    if (status == STATUS_CBDQ_DISABLED)
        return NO_CALLBACK;
    if (!NT_SUCCESS(status)) {
        data->IoStatus.Status = status;
        return COMPLETE;
    }
    /* A write of one byte waits until it is cancelled. */
    if (data->Iopb->Transfer.Length != 1) {
        PVOID item = FltAllocateGenericWorkItem();
        FltQueueGenericWorkItem(item, filter, work, 1, 0);
    }
    return PENDING;
}

static NTSTATUS setup(const RELATED_OBJECTS *objects, ULONG flags, ULONG device, ULONG kind)
{
    return FltCbdqInitialize(objects->Instance, &queue, insert, take_out, peek, acquire, release, cancel);
}

static void teardown(const RELATED_OBJECTS *objects, ULONG reason)
{
    CALLBACK_DATA *data;
    FltCbdqDisable(&queue);
    while ((data = FltCbdqRemoveNextIo(&queue, 0)) != 0)
        cancel(&queue, data);
}

/* The kernel's own door, through the whole stack: reads come back inverted. */
EXPORT ULONG64 read_through(char *target)
{
    static WCHAR name[] = u"\\Device\\HarddiskVolume1\\watched";
    UNICODE_STRING string = {sizeof name - sizeof *name, sizeof name, name};
    ATTRIBUTES attributes = {sizeof attributes, 0, &string, OBJ_KERNEL_HANDLE, 0, 0};
    STATUS_BLOCK block;
    PVOID handle;
    NTSTATUS status = ZwCreateFile(&handle, FILE_GENERIC_READ, &attributes, &block, 0, 0, 7, 1, 0x60, 0, 0);
    if (!NT_SUCCESS(status))
        return (ULONG)status;
    status = ZwReadFile(handle, 0, 0, 0, &block, target, 7, 0, 0);
    if (NT_SUCCESS(status) && block.Information != 7)
        status = 1;
    ZwClose(handle);
    return (ULONG)status;
}

static const OPERATION operations[] = {{IRP_MJ_CREATE, 0, 0, (PVOID)post_create, 0},
                                       {IRP_MJ_READ, 0, (PVOID)pre_read, (PVOID)post_read, 0},
                                       {IRP_MJ_WRITE, 0, (PVOID)pre_write, 0, 0},
                                       {0x80, 0, 0, 0, 0}};

static NTSTATUS unload(ULONG flags)
{
    FltUnregisterFilter(filter);
    return STATUS_SUCCESS;
}

NTSTATUS DriverEntry(PVOID driver, UNICODE_STRING *path)
{
    REGISTRATION registration = {sizeof registration, 0x203, 0, 0, operations, unload,
                                 {(PVOID)setup, 0, (PVOID)teardown}};
    NTSTATUS status = FltRegisterFilter(driver, &registration, &filter);
    if (!NT_SUCCESS(status))
        return status;
    status = FltStartFiltering(filter);
    if (!NT_SUCCESS(status))
        FltUnregisterFilter(filter);
    return status;
}
