/*
 * Exceptions in odd places: in an epilogue, in a part of a function, in a filter or a __finally
 * block, in a thread of the driver's own. build.sh makes unwind.sys of it.
 */
#include "kernel.h"

IMPORT void ProbeForWrite(PVOID address, SIZE_T length, ULONG alignment);
IMPORT void RtlUnwind(PVOID frame, PVOID target, EXCEPTION_RECORD *record, PVOID value);
IMPORT NTSTATUS PsCreateSystemThread(PVOID *handle, ULONG access, PVOID attributes, PVOID process,
                                     PVOID client, void (*routine)(PVOID), PVOID context);
IMPORT NTSTATUS ZwWaitForSingleObject(PVOID handle, UCHAR alertable, const LONGLONG *timeout);
IMPORT NTSTATUS ZwClose(PVOID handle);

NTSTATUS DriverEntry(PVOID driver, UNICODE_STRING *path) { return STATUS_SUCCESS; }

static volatile ULONG64 trace;
static volatile ULONG64 sink;
static volatile LONG *volatile null_pointer;

static void note(ULONG64 digit) { trace = trace * 10 + digit; }
NOINLINE static void raise(NTSTATUS status) { ExRaiseStatus(status); }
NOINLINE static void fault(void) { *null_pointer = 7; }

/* The last thing that a function does is a call through a table, as a jump: rbx has its value of the
 * caller again, and the stack pointer too, when the table turns out to be missing. */
ULONG64 tail(ULONG64 table);
__asm__(".text\n"
        "tail:\n"
        ".seh_proc tail\n"
        "pushq %rbx\n"
        ".seh_pushreg %rbx\n"
        "subq $32, %rsp\n"
        ".seh_stackalloc 32\n"
        ".seh_endprologue\n"
        "movq %rcx, %rax\n"
        "movq $0x5EED, %rbx\n"
        "addq $32, %rsp\n"
        "popq %rbx\n"
        "rex64 jmpq *8(%rax)\n"
        ".seh_endproc\n"
        /* The same with a frame pointer, and further registers. */
        "tail_frame:\n"
        ".seh_proc tail_frame\n"
        "pushq %rbp\n"
        ".seh_pushreg %rbp\n"
        "pushq %r14\n"
        ".seh_pushreg %r14\n"
        "subq $0x228, %rsp\n"
        ".seh_stackalloc 0x228\n"
        "leaq 0x80(%rsp), %rbp\n"
        ".seh_setframe %rbp, 0x80\n"
        ".seh_endprologue\n"
        "movq %rcx, %rax\n"
        "xorl %r14d, %r14d\n"
        "leaq 0x1A8(%rbp), %rsp\n"
        "popq %r14\n"
        "popq %rbp\n"
        "rex64 jmpq *8(%rax)\n"
        ".seh_endproc\n");
ULONG64 tail_frame(ULONG64 table);
EXPORT ULONG64 except_epilogue(ULONG64 a, ULONG64 b)
{
    ULONG64 status = 0;
    __try {
        tail(0);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        status = (ULONG)GetExceptionCode();
    }
    return status + a * 3 + b;
}
EXPORT ULONG64 except_epilogue_frame(ULONG64 a, ULONG64 b)
{
    ULONG64 status = 0;
    __try {
        tail_frame(0);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        status = (ULONG)GetExceptionCode();
    }
    return status + a * 3 + b;
}

/* A part of a function that saves more than the whole, with the tables as Windows wants them: the
 * directives of the assembler would let the entry of the whole reach over that of the part. */
ULONG64 part(void);
__asm__(".text\n"
        "part:\n"
        "pushq %rdi\n"
        "subq $64, %rsp\n"
        "xorl %edi, %edi\n"
        ".Lpart:\n"
        "movq %rsi, 56(%rsp)\n"
        "movaps %xmm6, 32(%rsp)\n"
        "xorl %esi, %esi\n"
        "xorps %xmm6, %xmm6\n"
        "callq fault\n"
        "ud2\n"
        ".Lpart_end:\n"
        ".section .xdata,\"dr\"\n"
        ".p2align 2\n"
        ".Lwhole_info:\n"
        ".byte 1, 5, 2, 0\n"
        ".byte 5, 0x72\n"
        ".byte 1, 0x70\n"
        ".Lpart_info:\n"
        ".byte 0x21, 10, 4, 0\n"
        ".byte 10, 0x68\n"
        ".short 2\n"
        ".byte 5, 0x64\n"
        ".short 7\n"
        ".long part@IMGREL, .Lpart@IMGREL, .Lwhole_info@IMGREL\n"
        ".section .pdata,\"dr\"\n"
        ".p2align 2\n"
        ".long part@IMGREL, .Lpart@IMGREL, .Lwhole_info@IMGREL\n"
        ".long .Lpart@IMGREL, .Lpart_end@IMGREL, .Lpart_info@IMGREL\n"
        ".text\n");
__attribute__((used)) static void (*const volatile keep)(void) = fault;
EXPORT ULONG64 except_chained(ULONG64 a, ULONG64 b)
{
    ULONG64 status = 0;
    __try {
        part();
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        status = (ULONG)GetExceptionCode();
    }
    return status + a * 3 + b;
}

/* A __finally block raises while it is run for another exception, which is forgotten then. */
NOINLINE static void raising_finally(void)
{
    __try {
        raise((NTSTATUS)0xC0000001);
    } __finally {
        note(1);
        raise((NTSTATUS)0xC0000002);
    }
}
NOINLINE static void around_it(void)
{
    __try {
        raising_finally();
    } __finally {
        note(2);
    }
}
EXPORT ULONG64 collided(void)
{
    trace = 0;
    __try {
        around_it();
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        note(3);
        return (ULONG64)(ULONG)GetExceptionCode() << 32 | trace;
    }
    return 0;
}

/* A __finally block handles an exception of its own, and the unwinding goes on. */
NOINLINE static void handling(void)
{
    __try {
        raise((NTSTATUS)0xC0000005);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        note(7);
    }
}
NOINLINE static void handling_finally(void)
{
    __try {
        fault();
    } __finally {
        note(1);
        handling();
        note(2);
    }
}
EXPORT ULONG64 nested_in_finally(void)
{
    trace = 0;
    __try {
        __try {
            handling_finally();
        } __finally {
            note(3);
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        note(4);
        return (ULONG64)(ULONG)GetExceptionCode() << 32 | trace;
    }
    return 0;
}

/* A filter that handles an exception of its own and then decides, one that raises. */
static LONG handling_filter(LONG decision)
{
    note(1);
    handling();
    return decision;
}
static LONG raising_filter(void)
{
    note(5);
    raise((NTSTATUS)0xC0000033);
    return EXCEPTION_EXECUTE_HANDLER;
}
EXPORT ULONG64 nested_in_filter(void)
{
    trace = 0;
    __try {
        fault();
    } __except (handling_filter(EXCEPTION_EXECUTE_HANDLER)) {
        note(2);
        return (ULONG64)(ULONG)GetExceptionCode() << 32 | trace;
    }
    return 0;
}
EXPORT ULONG64 raised_in_filter(void)
{
    trace = 0;
    __try {
        __try {
            fault();
        } __except (raising_filter()) {
            note(9);
        }
    } __except (note(6), EXCEPTION_EXECUTE_HANDLER) {
        note(8);
        return (ULONG64)(ULONG)GetExceptionCode() << 32 | trace;
    }
    return 0;
}

/* Continuing where that is not possible. */
EXPORT void continued(void)
{
    __try {
        raise((NTSTATUS)0xC0000001);
    } __except (EXCEPTION_CONTINUE_EXECUTION) {
        note(1);
    }
}

EXPORT NTSTATUS except_probe_for_write(ULONG64 address, ULONG64 length, ULONG alignment)
{
    __try {
        ProbeForWrite((PVOID)address, length, alignment);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

/* Threads of the driver's own. */
static volatile ULONG64 answers[4];
static void handling_thread(PVOID context)
{
    ULONG64 number = (ULONG64)context;
    ULONG64 self, current;
    __asm__ volatile("movq %%gs:0x18, %0" : "=r"(self));
    __asm__ volatile("movq %%gs:0x188, %0" : "=r"(current));
    for (int round = 0; round < 1000; round++) {
        __try {
            fault();
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            answers[number]++;
        }
    }
    if (self == 0 || current == 0)
        answers[number] = 0;
}
static void faulting_thread(PVOID context) { fault(); }
static NTSTATUS run(void (*routine)(PVOID), int count)
{
    PVOID handles[4];
    NTSTATUS status = 0;
    for (ULONG64 index = 0; index < (ULONG64)count; index++)
        status |= PsCreateSystemThread(&handles[index], 0x1FFFFF, 0, 0, 0, routine, (PVOID)index);
    for (int index = 0; index < count; index++) {
        status |= ZwWaitForSingleObject(handles[index], 0, 0);
        status |= ZwClose(handles[index]);
    }
    return status;
}
EXPORT ULONG64 threads(void)
{
    for (int index = 0; index < 4; index++)
        answers[index] = 0;
    NTSTATUS status = run(handling_thread, 4);
    return (ULONG64)(ULONG)status << 32 | (answers[0] + answers[1] + answers[2] + answers[3]);
}
EXPORT void thread_faults(void) { run(faulting_thread, 1); }
NOINLINE static ULONG64 descend(volatile ULONG64 *above)
{
    volatile ULONG64 here[64];
    here[0] = *above + 1;
    if (sink != 0x5EED)
        here[63] = descend(here);
    return here[63] + here[0];
}
static void overflowing_thread(PVOID context)
{
    volatile ULONG64 start = 0;
    sink = descend(&start);
}
EXPORT void thread_overflows(void) { run(overflowing_thread, 1); }
