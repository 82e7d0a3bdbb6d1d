/* As much of the Filter Manager's header as minifilter.c needs, written for it. */
#pragma once

typedef struct {
    unsigned char Bytes[0x60];
} __attribute__((aligned(16))) LOOKASIDE;
typedef struct {
    ULONG64 Words[13];
} RESOURCE;
typedef struct {
    ULONG64 Words[3];
} EVENT;

typedef struct {
    USHORT Size;
    USHORT TransactionContext;
    PVOID Filter, Volume, Instance, FileObject, Transaction;
} RELATED_OBJECTS;

typedef struct {
    UCHAR MajorFunction;
    ULONG Flags;
    PVOID PreOperation, PostOperation, Reserved;
} OPERATION;

typedef struct {
    USHORT ContextType, Flags;
    PVOID Cleanup;
    SIZE_T Size;
    ULONG PoolTag;
    PVOID Allocate, Free, Reserved;
} CONTEXT_REGISTRATION;

typedef struct {
    USHORT Size, Version;
    ULONG Flags;
    const CONTEXT_REGISTRATION *Contexts;
    const OPERATION *Operations;
    NTSTATUS (*Unload)(ULONG);
    PVOID Others[11];
} REGISTRATION;

#define STREAM_CONTEXT 8
#define KEEP_IF_EXISTS 1
#define PAGED_POOL 1
#define NONPAGED_POOL_NX 512
#define IRP_MJ_READ 3
#define NO_CALLBACK 1

IMPORT NTSTATUS FltRegisterFilter(PVOID driver, const REGISTRATION *registration, PVOID *filter);
IMPORT NTSTATUS FltStartFiltering(PVOID filter);
IMPORT void FltUnregisterFilter(PVOID filter);
IMPORT NTSTATUS FltAllocateContext(PVOID filter, USHORT type, SIZE_T size, ULONG pool, PVOID *out);
IMPORT NTSTATUS FltGetStreamContext(PVOID instance, PVOID file, PVOID *context);
IMPORT NTSTATUS FltSetStreamContext(PVOID instance, PVOID file, ULONG how, PVOID context, PVOID *old);
IMPORT void FltReleaseContext(PVOID context);
IMPORT NTSTATUS ExInitializeLookasideListEx(LOOKASIDE *list, PVOID allocate, PVOID free, ULONG pool,
                                            ULONG flags, SIZE_T size, ULONG tag, USHORT depth);
IMPORT void ExDeleteLookasideListEx(LOOKASIDE *list);
IMPORT PVOID ExAllocateFromLookasideListEx(LOOKASIDE *list);
IMPORT void ExFreeToLookasideListEx(LOOKASIDE *list, PVOID entry);
IMPORT NTSTATUS ExInitializeResourceLite(RESOURCE *resource);
IMPORT NTSTATUS ExDeleteResourceLite(RESOURCE *resource);
IMPORT UCHAR ExAcquireResourceExclusiveLite(RESOURCE *resource, UCHAR wait);
IMPORT void ExReleaseResourceLite(RESOURCE *resource);
IMPORT void KeEnterCriticalRegion(void);
IMPORT void KeLeaveCriticalRegion(void);
IMPORT void KeInitializeEvent(EVENT *event, ULONG kind, UCHAR signalled);
IMPORT LONG KeSetEvent(EVENT *event, LONG increment, UCHAR wait);
IMPORT NTSTATUS KeWaitForSingleObject(PVOID object, ULONG reason, char mode, UCHAR alertable,
                                      const LONGLONG *timeout);
