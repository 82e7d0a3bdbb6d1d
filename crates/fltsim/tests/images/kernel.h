/*
 * As much of the kernel's headers as the test drivers need, written for them: nothing of a WDK is
 * here, so that the images can be built and given away.
 */
#pragma once

typedef int LONG;
typedef long long LONGLONG;
typedef unsigned int ULONG;
typedef unsigned short USHORT;
typedef unsigned char UCHAR;
typedef unsigned long long ULONG64;
typedef ULONG64 SIZE_T;
typedef LONG NTSTATUS;
typedef void *PVOID;
typedef unsigned short WCHAR;

typedef struct {
    USHORT Length;
    USHORT MaximumLength;
    WCHAR *Buffer;
} UNICODE_STRING;

typedef struct EXCEPTION_RECORD {
    NTSTATUS ExceptionCode;
    ULONG ExceptionFlags;
    struct EXCEPTION_RECORD *ExceptionRecord;
    PVOID ExceptionAddress;
    ULONG NumberParameters;
    ULONG64 ExceptionInformation[15];
} EXCEPTION_RECORD;

typedef struct {
    ULONG64 Home[6];
    ULONG ContextFlags;
    ULONG MxCsr;
    USHORT Segments[6];
    ULONG EFlags;
    ULONG64 Debug[6];
    ULONG64 Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15, Rip;
} CONTEXT;

typedef struct {
    EXCEPTION_RECORD *ExceptionRecord;
    CONTEXT *ContextRecord;
} EXCEPTION_POINTERS;

#define STATUS_SUCCESS 0
#define NT_SUCCESS(status) ((NTSTATUS)(status) >= 0)
#define EXCEPTION_EXECUTE_HANDLER 1
#define EXCEPTION_CONTINUE_SEARCH 0
#define EXCEPTION_CONTINUE_EXECUTION (-1)
#define GetExceptionCode _exception_code
#define GetExceptionInformation() ((EXCEPTION_POINTERS *)_exception_info())
#define AbnormalTermination _abnormal_termination
unsigned long _exception_code(void);
void *_exception_info(void);
int _abnormal_termination(void);

#define EXPORT __declspec(dllexport)
#define IMPORT __declspec(dllimport)
#define NOINLINE __attribute__((noinline))

IMPORT ULONG DbgPrint(const char *format, ...);
IMPORT UCHAR KeGetCurrentIrql(void);
IMPORT void ExRaiseStatus(NTSTATUS status);
IMPORT void ProbeForRead(PVOID address, SIZE_T length, ULONG alignment);
IMPORT void KeBugCheckEx(ULONG code, ULONG64 one, ULONG64 two, ULONG64 three, ULONG64 four);
IMPORT NTSTATUS KeDelayExecutionThread(char mode, UCHAR alertable, const LONGLONG *interval);
IMPORT void MissingFunction(void);
IMPORT void ByOrdinal(void);
IMPORT void *memcpy(void *target, const void *source, SIZE_T size);
/* The linker puts this name on the slot of the import, which holds the address of the variable. */
extern PVOID *IoFileObjectType;
