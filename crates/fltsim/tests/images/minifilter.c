/*
 * A minifilter in C: it counts the reads of every stream in a stream context, with a lookaside list,
 * a resource, an event and exceptions on the way, and tells user mode about it through a port. How it
 * misbehaves, if at all, is the name of its service. build.sh makes minifilter.sys of it.
 */
#include "kernel.h"
#include "filter.h"

static PVOID filter, server_port, client_port;
static LOOKASIDE notes;
static RESOURCE resource;
static EVENT event;
static volatile LONG reads;
static volatile LONG handled;
static volatile LONG answers;
static volatile LONG *volatile null_pointer;

typedef struct {
    LONG Reads;
} COUNTER;

typedef struct {
    LONG Number;
} NOTE;

/* What user mode gets for COMMAND_COUNT. */
typedef struct {
    LONG Reads, Handled, Answers;
} COUNTS;

enum { COMMAND_COUNT = 1 };

/* What the name of the service asks for. */
enum { WELL, LEAK, CRASH, LEAVE_RESOURCE, RAISE, SPIN, CALL_MISSING, LEAK_PORT, KEEP_CLIENT, HANG } behaviour;

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
/* A function of its own: clang expects exceptions from calls only. */
NOINLINE static void copy(volatile UCHAR *target, const volatile UCHAR *source, ULONG size)
{
    while (size-- != 0)
        *target++ = *source++;
}
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

/* Tells user mode, if there is somebody, and adds up what the answers are. */
static void notify(LONG number)
{
    LONGLONG soon = -20000000;
    LONG answer = 0;
    ULONG length = sizeof answer;
    NTSTATUS status = FltSendMessage(filter, &client_port, &number, sizeof number, &answer, &length,
                                     &soon);
    if (status == STATUS_SUCCESS && length == sizeof answer)
        __atomic_fetch_add(&answers, answer, __ATOMIC_RELAXED);
}

static NTSTATUS port_connect(PVOID client, PVOID server, PVOID context, ULONG size, PVOID *cookie)
{
    if (server != &server_port || size != 4 || *(ULONG *)context != 0x4D494E49)
        return STATUS_INVALID_PARAMETER;
    client_port = client;
    *cookie = &client_port;
    return STATUS_SUCCESS;
}

static void port_disconnect(PVOID cookie)
{
    if (behaviour != KEEP_CLIENT)
        FltCloseClientPort(filter, cookie);
}

/* The buffers are those of an application, which may be anything. */
static NTSTATUS port_message(PVOID cookie, PVOID input, ULONG input_length, PVOID output,
                             ULONG output_length, ULONG *returned)
{
    ULONG command;
    COUNTS counts = {reads, handled, answers};
    if (cookie != &client_port || input == 0 || input_length < sizeof command)
        return STATUS_INVALID_PARAMETER;
    __try {
        copy((UCHAR *)&command, input, sizeof command);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    if (command != COMMAND_COUNT)
        return STATUS_INVALID_PARAMETER;
    if (output == 0 || output_length < sizeof counts)
        return STATUS_BUFFER_TOO_SMALL;
    __try {
        copy(output, (UCHAR *)&counts, sizeof counts);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    *returned = sizeof counts;
    return STATUS_SUCCESS;
}

static NTSTATUS open_port(void)
{
    static WCHAR text[] = L"\\MinifilterPort";
    UNICODE_STRING name = {sizeof text - sizeof(WCHAR), sizeof text, text};
    OBJECT_ATTRIBUTES attributes = {sizeof attributes, 0, &name,
                                    OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, 0, 0};
    NTSTATUS status = FltBuildDefaultSecurityDescriptor(&attributes.SecurityDescriptor,
                                                        FLT_PORT_ALL_ACCESS);
    if (!NT_SUCCESS(status))
        return status;
    status = FltCreateCommunicationPort(filter, &server_port, &attributes, &server_port,
                                        port_connect, port_disconnect, port_message, 1);
    FltFreeSecurityDescriptor(attributes.SecurityDescriptor);
    return status;
}

static int pre_read(PVOID data, RELATED_OBJECTS *objects, PVOID *completion)
{
    NOTE *note;
    LONG number;
    ULONG64 level;
    __asm__ volatile("movq %%cr8, %0" : "=r"(level));
    if (level > 1)
        return NO_CALLBACK;
    note = ExAllocateFromLookasideListEx(&notes);
    if (note == 0)
        return NO_CALLBACK;
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&resource, 1);
    number = note->Number = ++reads;
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
    if (behaviour == HANG && note->Number == 5)
        for (;;)
            reads = note->Number;
    ExFreeToLookasideListEx(&notes, note);
    KeSetEvent(&event, 0, 0);
    if (level == 0 && number % 10 == 0)
        notify(number);
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
    if (behaviour != LEAK_PORT)
        FltCloseCommunicationPort(server_port);
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
                                        "raise", "spin", "call-missing", "leak-port",
                                        "keep-client", "hang"};
    ULONG index;
    reads = handled = answers = 0;
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
    status = open_port();
    if (NT_SUCCESS(status)) {
        status = FltStartFiltering(filter);
        if (!NT_SUCCESS(status))
            FltCloseCommunicationPort(server_port);
    }
    if (!NT_SUCCESS(status))
        FltUnregisterFilter(filter);
    return status;
}
