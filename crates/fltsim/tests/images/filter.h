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

typedef struct {
    ULONG Length;
    PVOID RootDirectory;
    UNICODE_STRING *ObjectName;
    ULONG Attributes;
    PVOID SecurityDescriptor, SecurityQualityOfService;
} OBJECT_ATTRIBUTES;

#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define STATUS_BUFFER_TOO_SMALL ((NTSTATUS)0xC0000023)
#define OBJ_CASE_INSENSITIVE 0x40
#define OBJ_KERNEL_HANDLE 0x200
#define FLT_PORT_ALL_ACCESS 0x1F0001
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
IMPORT NTSTATUS FltBuildDefaultSecurityDescriptor(PVOID *descriptor, ULONG access);
IMPORT void FltFreeSecurityDescriptor(PVOID descriptor);
IMPORT NTSTATUS FltCreateCommunicationPort(
    PVOID filter, PVOID *port, OBJECT_ATTRIBUTES *attributes, PVOID cookie,
    NTSTATUS (*connect)(PVOID client, PVOID server, PVOID context, ULONG size, PVOID *cookie),
    void (*disconnect)(PVOID cookie),
    NTSTATUS (*message)(PVOID cookie, PVOID input, ULONG input_length, PVOID output,
                        ULONG output_length, ULONG *returned),
    LONG connections);
IMPORT void FltCloseCommunicationPort(PVOID port);
IMPORT void FltCloseClientPort(PVOID filter, PVOID *client);
IMPORT NTSTATUS FltSendMessage(PVOID filter, PVOID *client, PVOID data, ULONG length, PVOID reply,
                               ULONG *reply_length, LONGLONG *timeout);
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
