/*
 * A driver that does one small thing in each exported function: reads what the processor keeps for
 * the kernel, faults in every way there is, and handles exceptions. build.sh makes probe.sys of it.
 */
#include "kernel.h"

/* Pointers in initialised data make relocations. */
static LONG first(void) { return 1; }
static LONG second(void) { return 2; }
static LONG (*const volatile table[])(void) = {first, second};
static volatile LONG *volatile null_pointer;
static volatile ULONG64 sink;

/* The load configuration, as far as the loader reads it. */
volatile ULONG64 __security_cookie = 0x00002B992DDFA232;
typedef struct {
    ULONG Size;
    unsigned char Unused[0x54];
    volatile ULONG64 *SecurityCookie;
    unsigned char Rest[0x10];
} LOAD_CONFIG;
__attribute__((used)) const LOAD_CONFIG _load_config_used = {
    sizeof(LOAD_CONFIG), {0}, &__security_cookie, {0}};

NTSTATUS DriverEntry(PVOID driver, UNICODE_STRING *path)
{
    DbgPrint("probe: %p %wZ %d %s", driver, path, 42, "narrow");
    return STATUS_SUCCESS;
}

EXPORT LONG relocated(void) { return table[0]() * 10 + table[1](); }
EXPORT ULONG64 cookie(void) { return __security_cookie; }
EXPORT PVOID data_import(void) { return *IoFileObjectType; }
EXPORT PVOID current_thread(void)
{
    PVOID thread;
    __asm__ volatile("movq %%gs:0x188, %0" : "=r"(thread));
    return thread;
}

EXPORT PVOID processor(void)
{
    PVOID self;
    __asm__ volatile("movq %%gs:0x18, %0" : "=r"(self));
    return self;
}

/* Raises to DISPATCH_LEVEL and back through CR8; the three levels in one number. */
EXPORT ULONG64 irql(void)
{
    ULONG64 before, raised, after;
    __asm__ volatile("movq %%cr8, %0" : "=r"(before));
    __asm__ volatile("movq %0, %%cr8" : : "r"(2ULL) : "memory");
    __asm__ volatile("movq %%cr8, %0" : "=r"(raised));
    __asm__ volatile("movq %0, %%cr8" : : "r"(before) : "memory");
    __asm__ volatile("movq %%cr8, %0" : "=r"(after));
    return before | raised << 8 | after << 16 | (ULONG64)KeGetCurrentIrql() << 24;
}

/* Reads the page that the kernel shares with everybody, in different ways. */
EXPORT ULONG64 shared_data(void)
{
    volatile unsigned char *shared = (volatile unsigned char *)0xFFFFF78000000000ULL;
    ULONG major = *(volatile ULONG *)(shared + 0x26C);
    ULONG64 again;
    ULONG build;
    unsigned char low;
    __asm__ volatile("movabsl 0xFFFFF78000000260, %%eax" : "=a"(build));
    __asm__ volatile("movq $0xFFFFF78000000008, %0\n\tmovq (%0), %0" : "=&r"(again));
    low = shared[0x26C];
    return (ULONG64)major | (ULONG64)low << 8 | (ULONG64)(build & 0xFFFF) << 16 |
           (ULONG64)(again != 0) << 32;
}

/* Copies the two versions from there in one instruction, and says how far the source got. */
EXPORT ULONG64 shared_copy(void)
{
    ULONG versions[2] = {7, 7};
    const unsigned char *from = (const unsigned char *)0xFFFFF7800000026CULL;
    ULONG *to = versions;
    ULONG64 count = sizeof versions;
    ULONG64 word = 0xFFFFF7800000026CULL;
    __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    __asm__ volatile("lodsl" : "+S"(word), "=a"(count));
    return ((ULONG64)from - 0xFFFFF7800000026CULL) << 48 | (word - 0xFFFFF7800000026CULL) << 32 |
           count << 16 | versions[0] << 8 | versions[1];
}

EXPORT ULONG64 interrupt_time(void) { return *(volatile ULONG64 *)0xFFFFF78000000008ULL; }

NOINLINE static void write_to(volatile LONG *target) { *target = 7; }
EXPORT void null_write(void) { write_to(null_pointer); }
EXPORT void wild_read(void) { sink = *(volatile ULONG64 *)0x1234567890ULL; }
EXPORT void kernel_read(void) { sink = *(volatile ULONG64 *)0xFFFF900012345678ULL; }
EXPORT void non_canonical(void) { sink = *(volatile ULONG64 *)0x8000123456789ABCULL; }
NOINLINE static LONG quotient(LONG one, LONG two) { return one / two; }
EXPORT LONG divide(LONG by) { return quotient(1000, by); }
EXPORT void breakpoint(void) { __asm__ volatile("int3"); }
EXPORT void illegal(void) { __asm__ volatile("ud2"); }
EXPORT void privileged(void) { __asm__ volatile("hlt"); }
EXPORT void fast_fail(ULONG code) { __asm__ volatile("int $0x29" : : "c"(code)); }
EXPORT void assertion(void) { __asm__ volatile("int $0x2C"); }
EXPORT void write_code(void) { *(volatile unsigned char *)(ULONG64)(PVOID)ProbeForRead = 0xC3; }
EXPORT LONG jump_to_null(void) { ((void (*)(void))null_pointer)(); return 1; }
EXPORT void bad_argument(void) { DbgPrint("%s", (const char *)0x10); }
EXPORT void stop(void) { KeBugCheckEx(0xE2, 1, 2, 3, 4); }
EXPORT LONG missing_name(void) { MissingFunction(); return 1; }
EXPORT LONG missing_ordinal(void) { ByOrdinal(); return 1; }
EXPORT void dispatch_fault(void)
{
    __asm__ volatile("movq %0, %%cr8" : : "r"(2ULL) : "memory");
    write_to(null_pointer);
}

NOINLINE static ULONG64 descend(volatile ULONG64 *above)
{
    volatile ULONG64 here[64];
    here[0] = *above + 1;
    if (sink != 0x5EED)
        here[63] = descend(here);
    return here[63] + here[0];
}
EXPORT ULONG64 overflow(void)
{
    volatile ULONG64 start = 0;
    return descend(&start);
}

/* A chain of frames for the backtrace. */
NOINLINE static LONG third_frame(LONG value)
{
    write_to(null_pointer);
    return value + 1;
}
NOINLINE static LONG second_frame(LONG value) { return third_frame(value * 3) + 1; }
EXPORT LONG first_frame(LONG value) { return second_frame(value + 5) * 2; }

/* ---- exceptions ---- */

NOINLINE static void raise(NTSTATUS status) { ExRaiseStatus(status); }

EXPORT NTSTATUS except_raised(NTSTATUS status)
{
    __try {
        raise(status);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

EXPORT NTSTATUS except_fault(void)
{
    __try {
        write_to(null_pointer);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

EXPORT NTSTATUS except_divide(void)
{
    LONG result = 0;
    __try {
        result = quotient(5, *(volatile LONG *)&result);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return result;
}

EXPORT NTSTATUS except_copy(void)
{
    char buffer[100];
    __try {
        memcpy(buffer, (const void *)0x1000, sizeof buffer);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return buffer[0];
}

EXPORT NTSTATUS except_probe(PVOID address)
{
    __try {
        ProbeForRead(address, 16, 8);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

/* The inner filter declines, the inner finally runs before the outer handler. */
EXPORT ULONG64 except_nested(void)
{
    volatile ULONG64 trace = 0;
    __try {
        __try {
            __try {
                raise((NTSTATUS)0xC0000022);
            } __finally {
                trace = trace * 10 + (AbnormalTermination() ? 2 : 9);
            }
        } __except ((trace = trace * 10 + 1), EXCEPTION_CONTINUE_SEARCH) {
            trace = trace * 10 + 8;
        }
    } __except ((trace = trace * 10 + 7), EXCEPTION_EXECUTE_HANDLER) {
        trace = trace * 10 + 3;
    }
    __try {
        trace = trace * 10 + 4;
    } __finally {
        trace = trace * 10 + (AbnormalTermination() ? 9 : 5);
    }
    return trace;
}

/* Registers that the caller keeps across calls must come back. */
NOINLINE static void clobber_and_raise(void)
{
    __asm__ volatile("xorq %%rbx, %%rbx\n\txorq %%rsi, %%rsi\n\txorq %%rdi, %%rdi\n\t"
                     "xorq %%r12, %%r12\n\txorq %%r13, %%r13\n\txorq %%r14, %%r14\n\t"
                     "xorq %%r15, %%r15\n\txorps %%xmm6, %%xmm6"
                     :
                     :
                     : "rbx", "rsi", "rdi", "r12", "r13", "r14", "r15", "xmm6");
    raise((NTSTATUS)0xC0000001);
    sink = 1;
}
NOINLINE static NTSTATUS guarded_clobber(void)
{
    __try {
        clobber_and_raise();
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}
EXPORT ULONG64 except_registers(ULONG64 a, ULONG64 b, ULONG64 c, ULONG64 d)
{
    volatile ULONG64 status = (ULONG)guarded_clobber();
    return (a ^ b) + (c ^ d) * 3 + status;
}

/* An exception inside a handler goes to the next one out. */
EXPORT NTSTATUS except_rethrown(void)
{
    __try {
        __try {
            raise((NTSTATUS)0xC0000001);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            raise((NTSTATUS)0xC0000002);
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

/* The filter mends the cause and lets the faulting instruction try again. */
static volatile LONG mended;
static volatile LONG *volatile mendable;
static LONG mend(EXCEPTION_POINTERS *pointers)
{
    if (pointers->ExceptionRecord->ExceptionCode != (NTSTATUS)0xC0000005)
        return EXCEPTION_CONTINUE_SEARCH;
    pointers->ContextRecord->Rcx = (ULONG64)&mended;
    return EXCEPTION_CONTINUE_EXECUTION;
}
__attribute__((naked, noinline)) static void store_rcx(volatile LONG *target)
{
    __asm__ volatile("movl $99, (%rcx)\n\tret");
}
EXPORT LONG except_resumed(void)
{
    mended = 0;
    __try {
        store_rcx(mendable);
    } __except (mend(GetExceptionInformation())) {
        return -1;
    }
    return mended;
}

/* Leaving a __try block other than by its end: what compilers make of a return or goto in one. */
static volatile ULONG64 unwound;
static volatile LONG unwinding_raises;
void _local_unwind(PVOID frame, PVOID target);
typedef void LEAVE(PVOID frame, PVOID target);
ULONG64 leave_block(ULONG64 value, LEAVE *leave);
__attribute__((used)) static void left(unsigned char abnormal, PVOID frame)
{
    unwound = unwound * 10 + (abnormal ? 2 : 9);
    if (unwinding_raises)
        raise((NTSTATUS)0xC0000077);
}
__asm__(".text\n"
        "leave_block:\n"
        ".seh_proc leave_block\n"
        ".seh_handler __C_specific_handler, @unwind, @except\n"
        "pushq %rbx\n"
        ".seh_pushreg %rbx\n"
        "subq $32, %rsp\n"
        ".seh_stackalloc 32\n"
        ".seh_endprologue\n"
        "movq %rcx, %rbx\n"
        "movq %rdx, %rax\n"
        ".Lblock:\n"
        "movq %rsp, %rcx\n"
        "leaq .Lbehind(%rip), %rdx\n"
        "callq *%rax\n"
        "int3\n"
        ".Lbehind:\n"
        "leaq 5(%rbx), %rax\n"
        "addq $32, %rsp\n"
        "popq %rbx\n"
        "retq\n"
        ".seh_handlerdata\n"
        ".long 1\n"
        ".long .Lblock@IMGREL\n"
        ".long .Lbehind@IMGREL\n"
        ".long left@IMGREL\n"
        ".long 0\n"
        ".text\n"
        ".seh_endproc\n");
NOINLINE static void leave_from_below(PVOID frame, PVOID target)
{
    __try {
        _local_unwind(frame, target);
    } __finally {
        unwound = unwound * 10 + (AbnormalTermination() ? 3 : 8);
    }
}
EXPORT ULONG64 leave_try(ULONG64 value)
{
    unwound = 0;
    unwinding_raises = 0;
    return leave_block(value, _local_unwind) * 100 + unwound;
}
EXPORT ULONG64 leave_two(ULONG64 value)
{
    unwound = 0;
    unwinding_raises = 0;
    return leave_block(value, leave_from_below) * 100 + unwound;
}
EXPORT ULONG64 leave_raising(void)
{
    unwound = 0;
    unwinding_raises = 1;
    __try {
        leave_block(0, leave_from_below);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return (ULONG64)(ULONG)GetExceptionCode() << 32 | unwound;
    }
    return 0;
}

/* Frames of more than a page are probed by __chkstk before they are used. */
EXPORT ULONG64 large_frame(ULONG64 value)
{
    volatile unsigned char room[5 * 0x1000 + 16];
    room[0] = (unsigned char)value;
    room[sizeof room - 1] = (unsigned char)(value + 1);
    return (ULONG64)room[0] << 8 | room[sizeof room - 1];
}
NOINLINE static ULONG64 descend_in_leaps(volatile ULONG64 *above)
{
    volatile ULONG64 here[0x10000];
    here[0] = *above + 1;
    if (sink != 0x5EED)
        here[0xFFFF] = descend_in_leaps(here);
    return here[0xFFFF] + here[0];
}
EXPORT ULONG64 large_overflow(void)
{
    volatile ULONG64 start = 0;
    return descend_in_leaps(&start);
}

EXPORT void except_unhandled(void)
{
    __try {
        raise((NTSTATUS)0xC0000099);
    } __except (EXCEPTION_CONTINUE_SEARCH) {
        sink = 1;
    }
}

/* Two ways to come to no end: a loop, and a wait for what nobody does. */
EXPORT void spin_for_ever(void)
{
    for (;;)
        sink++;
}

EXPORT void wait_for_ever(void)
{
    LONGLONG in_a_year = -315360000000000;
    KeDelayExecutionThread(0, 0, &in_a_year);
}
