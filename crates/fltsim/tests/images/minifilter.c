/*
 * A minifilter in C: it counts the reads of every stream in a stream context, with a lookaside list,
 * a resource, an event and exceptions on the way. How it misbehaves, if at all, is the name of its
 * service. build.sh makes minifilter.sys of it.
 */
#include "kernel.h"
#include "filter.h"

static PVOID filter;
static LOOKASIDE notes;
static RESOURCE resource;
static EVENT event;
static volatile LONG reads;
static volatile LONG handled;
static volatile LONG *volatile null_pointer;

typedef struct {
    LONG Reads;
} COUNTER;

typedef struct {
    LONG Number;
} NOTE;

/* What the name of the service asks for. */
enum { WELL, LEAK, CRASH, LEAVE_RESOURCE, RAISE, SPIN, CALL_MISSING } behaviour;

static int is_named(const UNICODE_STRING *path, const char *name)
{
    ULONG units = path->Length / 2, length = 0, index;
    while (name[length] != 0)
        length++;
    if (units < length + 1 || path->Buffer[units - length - 1] != '\\')
        return 0;
    for (index = 0; index < length; index++)
        if (path->Buffer[units - length + index] != name[index])
            return 0;
    return 1;
}

NOINLINE static void write_to(volatile LONG *target) { *target = 7; }
NOINLINE static void raise(NTSTATUS status) { ExRaiseStatus(status); }

/* As a filter does with the memory of users. */
static void try_user_memory(void)
{
    __try {
        write_to(null_pointer);
    } __except (GetExceptionCode() == 0xC0000005 ? EXCEPTION_EXECUTE_HANDLER
                                                 : EXCEPTION_CONTINUE_SEARCH) {
        __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
    }
    __try {
        raise((NTSTATUS)0xC0000123);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        if (GetExceptionCode() == 0xC0000123)
            __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
    }
}

static int count_read(RELATED_OBJECTS *objects)
{
    COUNTER *counter = 0, *winner = 0;
    NTSTATUS status = FltGetStreamContext(objects->Instance, objects->FileObject, (PVOID *)&counter);
    if (!NT_SUCCESS(status)) {
        status = FltAllocateContext(filter, STREAM_CONTEXT, sizeof *counter, PAGED_POOL,
                                    (PVOID *)&counter);
        if (!NT_SUCCESS(status))
            return 0;
        counter->Reads = 0;
        status = FltSetStreamContext(objects->Instance, objects->FileObject, KEEP_IF_EXISTS, counter,
                                     (PVOID *)&winner);
        if (winner != 0) {
            FltReleaseContext(counter);
            counter = winner;
        } else if (!NT_SUCCESS(status)) {
            FltReleaseContext(counter);
            return 0;
        }
    }
    __atomic_fetch_add(&counter->Reads, 1, __ATOMIC_RELAXED);
    if (behaviour != LEAK)
        FltReleaseContext(counter);
    return 1;
}

static int pre_read(PVOID data, RELATED_OBJECTS *objects, PVOID *completion)
{
    NOTE *note;
    ULONG64 level;
    __asm__ volatile("movq %%cr8, %0" : "=r"(level));
    if (level > 1)
        return NO_CALLBACK;
    note = ExAllocateFromLookasideListEx(&notes);
    if (note == 0)
        return NO_CALLBACK;
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&resource, 1);
    note->Number = ++reads;
    if (behaviour != LEAVE_RESOURCE || note->Number != 3) {
        ExReleaseResourceLite(&resource);
        KeLeaveCriticalRegion();
    }
    count_read(objects);
    try_user_memory();
    if (behaviour == CRASH && note->Number == 5)
        write_to(null_pointer);
    if (behaviour == RAISE && note->Number == 5)
        raise((NTSTATUS)0xC0000077);
    if (behaviour == CALL_MISSING && note->Number == 5)
        MissingFunction();
    if (behaviour == SPIN && note->Number == 5) {
        __asm__ volatile("movq %0, %%cr8" : : "r"(2ULL) : "memory");
        write_to(null_pointer);
    }
    ExFreeToLookasideListEx(&notes, note);
    KeSetEvent(&event, 0, 0);
    *completion = 0;
    return NO_CALLBACK;
}

static const OPERATION operations[] = {{IRP_MJ_READ, 0, (PVOID)pre_read, 0, 0}, {0x80, 0, 0, 0, 0}};
static const CONTEXT_REGISTRATION contexts[] = {
    {STREAM_CONTEXT, 0, 0, sizeof(COUNTER), 0x746E7543, 0, 0, 0},
    {0xFFFF, 0, 0, 0, 0, 0, 0, 0}};

static NTSTATUS unload(ULONG flags)
{
    LONGLONG soon = -1000000;
    NTSTATUS status = KeWaitForSingleObject(&event, 0, 0, 0, &soon);
    FltUnregisterFilter(filter);
    ExDeleteLookasideListEx(&notes);
    ExDeleteResourceLite(&resource);
    DbgPrint("minifilter: %d reads, %d exceptions handled, last wait %08lx\n", reads, handled,
             (ULONG)status);
    return STATUS_SUCCESS;
}

NTSTATUS DriverEntry(PVOID driver, UNICODE_STRING *path)
{
    /* On the stack: the Filter Manager copies it. */
    REGISTRATION registration = {sizeof registration, 0x203, 0, contexts, operations, unload, {0}};
    NTSTATUS status;
    static const char *const names[] = {"well",  "leak", "crash", "leave-resource",
                                        "raise", "spin", "call-missing"};
    ULONG index;
    for (index = 0; index < sizeof names / sizeof *names; index++)
        if (is_named(path, names[index]))
            behaviour = index;
    status = ExInitializeLookasideListEx(&notes, 0, 0, NONPAGED_POOL_NX, 0, sizeof(NOTE), 0x65746F4E,
                                         0);
    if (!NT_SUCCESS(status))
        return status;
    ExInitializeResourceLite(&resource);
    KeInitializeEvent(&event, 0, 0);
    status = FltRegisterFilter(driver, &registration, &filter);
    if (!NT_SUCCESS(status))
        return status;
    status = FltStartFiltering(filter);
    if (!NT_SUCCESS(status))
        FltUnregisterFilter(filter);
    return status;
}
