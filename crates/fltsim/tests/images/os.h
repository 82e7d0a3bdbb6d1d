/* As much of the kernel's headers as os.c needs, written for it from the documentation. */
#pragma once
#include "kernel.h"

typedef unsigned char BOOLEAN;
typedef char KPROCESSOR_MODE;
typedef PVOID HANDLE;
typedef short CSHORT;

#define KernelMode 0
#define UserMode 1
#define POOL_FLAG_NON_PAGED 0x40
#define POOL_FLAG_PAGED 0x100
IMPORT PVOID ExAllocatePool2(ULONG64 flags, SIZE_T size, ULONG tag);
IMPORT void ExFreePool(PVOID memory);

/* Memory descriptor lists */
typedef struct MDL {
    struct MDL *Next;
    CSHORT Size;
    CSHORT MdlFlags;
    PVOID Process;
    PVOID MappedSystemVa;
    PVOID StartVa;
    ULONG ByteCount;
    ULONG ByteOffset;
} MDL;

#define PAGE_SIZE 0x1000
#define MDL_MAPPED_TO_SYSTEM_VA 0x0001
#define MDL_PAGES_LOCKED 0x0002
#define MDL_SOURCE_IS_NONPAGED_POOL 0x0004
#define MDL_PARTIAL 0x0010
#define MDL_PARTIAL_HAS_BEEN_MAPPED 0x0020
#define MDL_WRITE_OPERATION 0x0080
#define IoReadAccess 0
#define IoWriteAccess 1
#define MmCached 1
#define NormalPagePriority 16
#define MdlMappingNoExecute 0x40000000

IMPORT MDL *IoAllocateMdl(PVOID address, ULONG length, BOOLEAN secondary, BOOLEAN charge, PVOID irp);
IMPORT void IoFreeMdl(MDL *mdl);
IMPORT void IoBuildPartialMdl(MDL *source, MDL *target, PVOID address, ULONG length);
IMPORT SIZE_T MmSizeOfMdl(PVOID base, SIZE_T length);
IMPORT void MmBuildMdlForNonPagedPool(MDL *mdl);
IMPORT void MmProbeAndLockPages(MDL *mdl, KPROCESSOR_MODE mode, ULONG operation);
IMPORT void MmUnlockPages(MDL *mdl);
IMPORT PVOID MmMapLockedPagesSpecifyCache(MDL *mdl, KPROCESSOR_MODE mode, ULONG cache, PVOID base,
                                          ULONG bugcheck, ULONG priority);
IMPORT void MmUnmapLockedPages(PVOID base, MDL *mdl);
IMPORT MDL *MmAllocatePagesForMdlEx(LONGLONG low, LONGLONG high, LONGLONG skip, SIZE_T bytes,
                                    ULONG cache, ULONG flags);
IMPORT void MmFreePagesFromMdl(MDL *mdl);

static inline PVOID MmGetSystemAddressForMdlSafe(MDL *mdl, ULONG priority)
{
    if (mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL))
        return mdl->MappedSystemVa;
    return MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, 0, 0, priority);
}

static inline void MmInitializeMdl(MDL *mdl, PVOID base, SIZE_T length)
{
    ULONG64 address = (ULONG64)base;
    mdl->Next = 0;
    mdl->Size = (CSHORT)(sizeof(MDL) +
                         8 * (((address & (PAGE_SIZE - 1)) + length + PAGE_SIZE - 1) / PAGE_SIZE));
    mdl->MdlFlags = 0;
    mdl->StartVa = (PVOID)(address & ~(ULONG64)(PAGE_SIZE - 1));
    mdl->ByteOffset = (ULONG)(address & (PAGE_SIZE - 1));
    mdl->ByteCount = (ULONG)length;
}

/* Objects and handles */
typedef struct {
    ULONG Length;
    HANDLE RootDirectory;
    UNICODE_STRING *ObjectName;
    ULONG Attributes;
    PVOID SecurityDescriptor;
    PVOID SecurityQualityOfService;
} OBJECT_ATTRIBUTES;

typedef struct {
    UNICODE_STRING Name;
} OBJECT_NAME_INFORMATION;

typedef struct {
    ULONG HandleAttributes;
    ULONG GrantedAccess;
} OBJECT_HANDLE_INFORMATION;

#define OBJ_CASE_INSENSITIVE 0x40
#define OBJ_OPENIF 0x80
#define OBJ_KERNEL_HANDLE 0x200
#define EVENT_ALL_ACCESS 0x1F0003
#define EVENT_MODIFY_STATE 2
#define SYNCHRONIZE 0x100000
#define NtCurrentProcess() ((HANDLE)(LONGLONG)-1)
#define NtCurrentThread() ((HANDLE)(LONGLONG)-2)
#define DUPLICATE_CLOSE_SOURCE 1
#define DUPLICATE_SAME_ACCESS 2
#define STATUS_TIMEOUT 0x102
#define STATUS_OBJECT_NAME_EXISTS 0x40000000
#define STATUS_INFO_LENGTH_MISMATCH ((NTSTATUS)0xC0000004)
#define STATUS_INVALID_HANDLE ((NTSTATUS)0xC0000008)
#define STATUS_INVALID_CID ((NTSTATUS)0xC000000B)
#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define STATUS_ACCESS_DENIED ((NTSTATUS)0xC0000022)
#define STATUS_OBJECT_TYPE_MISMATCH ((NTSTATUS)0xC0000024)
#define STATUS_OBJECT_NAME_NOT_FOUND ((NTSTATUS)0xC0000034)
#define STATUS_OBJECT_NAME_COLLISION ((NTSTATUS)0xC0000035)
#define STATUS_OBJECT_PATH_NOT_FOUND ((NTSTATUS)0xC000003A)
#define STATUS_PROCEDURE_NOT_FOUND ((NTSTATUS)0xC000007A)
#define STATUS_FLT_INSTANCE_ALTITUDE_COLLISION ((NTSTATUS)0xC01C0011)

extern PVOID *ExEventObjectType, *PsThreadType, *PsProcessType, *PsInitialSystemProcess;

#define STRING(text) {sizeof(text) - 2, sizeof(text), (WCHAR *)text}
#define ATTRIBUTES(name, flags) {sizeof(OBJECT_ATTRIBUTES), 0, name, flags, 0, 0}

IMPORT NTSTATUS ZwClose(HANDLE handle);
IMPORT NTSTATUS ObReferenceObjectByHandle(HANDLE handle, ULONG access, PVOID type, KPROCESSOR_MODE mode,
                                          PVOID *object, OBJECT_HANDLE_INFORMATION *information);
IMPORT NTSTATUS ObReferenceObjectByPointer(PVOID object, ULONG access, PVOID type, KPROCESSOR_MODE mode);
IMPORT NTSTATUS ObOpenObjectByPointer(PVOID object, ULONG attributes, PVOID state, ULONG access,
                                      PVOID type, KPROCESSOR_MODE mode, HANDLE *handle);
IMPORT NTSTATUS ObQueryNameString(PVOID object, OBJECT_NAME_INFORMATION *information, ULONG length,
                                  ULONG *needed);
IMPORT PVOID ObGetObjectType(PVOID object);
IMPORT LONGLONG ObfReferenceObject(PVOID object);
IMPORT LONGLONG ObfDereferenceObject(PVOID object);
IMPORT NTSTATUS ZwDuplicateObject(HANDLE from, HANDLE handle, HANDLE to, HANDLE *target, ULONG access,
                                  ULONG attributes, ULONG options);

/* Events */
IMPORT NTSTATUS ZwCreateEvent(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes, ULONG type,
                              BOOLEAN state);
IMPORT NTSTATUS ZwOpenEvent(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes);
IMPORT NTSTATUS ZwSetEvent(HANDLE event, LONG *previous);
IMPORT NTSTATUS ZwResetEvent(HANDLE event, LONG *previous);
IMPORT NTSTATUS ZwWaitForSingleObject(HANDLE handle, BOOLEAN alertable, const LONGLONG *timeout);
IMPORT PVOID IoCreateNotificationEvent(UNICODE_STRING *name, HANDLE *handle);
IMPORT LONG KeSetEvent(PVOID event, LONG increment, BOOLEAN wait);
IMPORT NTSTATUS KeWaitForSingleObject(PVOID object, ULONG reason, KPROCESSOR_MODE mode, BOOLEAN alertable,
                                      const LONGLONG *timeout);
IMPORT NTSTATUS KeDelayExecutionThread(KPROCESSOR_MODE mode, BOOLEAN alertable, const LONGLONG *interval);

/* Threads and processes */
typedef struct {
    HANDLE UniqueProcess, UniqueThread;
} CLIENT_ID;
typedef struct {
    ULONG64 Words[6];
} KAPC_STATE;

IMPORT NTSTATUS PsCreateSystemThread(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes,
                                     HANDLE process, CLIENT_ID *client, void (*start)(PVOID),
                                     PVOID context);
IMPORT NTSTATUS PsTerminateSystemThread(NTSTATUS status);
IMPORT NTSTATUS PsLookupThreadByThreadId(HANDLE id, PVOID *thread);
IMPORT NTSTATUS PsLookupProcessByProcessId(HANDLE id, PVOID *process);
IMPORT PVOID PsGetCurrentThread(void);
IMPORT PVOID PsGetCurrentProcess(void);
IMPORT HANDLE PsGetCurrentThreadId(void);
IMPORT HANDLE PsGetThreadId(PVOID thread);
IMPORT PVOID IoThreadToProcess(PVOID thread);
IMPORT const char *PsGetProcessImageFileName(PVOID process);
IMPORT NTSTATUS SeLocateProcessImageName(PVOID process, UNICODE_STRING **name);
IMPORT LONG KeSetPriorityThread(PVOID thread, LONG priority);
IMPORT LONG KeQueryPriorityThread(PVOID thread);
IMPORT void KeStackAttachProcess(PVOID process, KAPC_STATE *state);
IMPORT void KeUnstackDetachProcess(KAPC_STATE *state);
IMPORT void IoGetStackLimits(ULONG64 *low, ULONG64 *high);
IMPORT ULONG64 IoGetRemainingStackSize(void);
IMPORT NTSTATUS KeExpandKernelStackAndCallout(void (*routine)(PVOID), PVOID parameter, SIZE_T size);

/* Callbacks */
typedef struct {
    PVOID *ObjectType;
    ULONG Operations;
    PVOID PreOperation, PostOperation;
} OB_OPERATION_REGISTRATION;
typedef struct {
    USHORT Version;
    USHORT OperationRegistrationCount;
    UNICODE_STRING Altitude;
    PVOID RegistrationContext;
    OB_OPERATION_REGISTRATION *OperationRegistration;
} OB_CALLBACK_REGISTRATION;

IMPORT NTSTATUS PsSetCreateProcessNotifyRoutine(PVOID routine, BOOLEAN remove);
IMPORT NTSTATUS PsSetCreateProcessNotifyRoutineEx(PVOID routine, BOOLEAN remove);
IMPORT NTSTATUS PsSetCreateThreadNotifyRoutine(PVOID routine);
IMPORT NTSTATUS PsRemoveCreateThreadNotifyRoutine(PVOID routine);
IMPORT NTSTATUS ObRegisterCallbacks(OB_CALLBACK_REGISTRATION *registration, PVOID *handle);
IMPORT void ObUnRegisterCallbacks(PVOID handle);

/* Devices and requests */
typedef struct DEVICE_OBJECT {
    CSHORT Type;
    USHORT Size;
    LONG ReferenceCount;
    struct DRIVER_OBJECT *DriverObject;
    struct DEVICE_OBJECT *NextDevice, *AttachedDevice;
    PVOID CurrentIrp, Timer;
    ULONG Flags, Characteristics;
    PVOID Vpb, DeviceExtension;
    ULONG DeviceType;
    char StackSize;
} DEVICE_OBJECT;

typedef struct DRIVER_OBJECT {
    CSHORT Type, Size;
    DEVICE_OBJECT *DeviceObject;
    ULONG Flags;
    PVOID DriverStart;
    ULONG DriverSize;
    PVOID DriverSection, DriverExtension;
    UNICODE_STRING DriverName;
    UNICODE_STRING *HardwareDatabase;
    PVOID FastIoDispatch, DriverInit, DriverStartIo, DriverUnload;
    PVOID MajorFunction[28];
} DRIVER_OBJECT;

typedef struct IO_STACK_LOCATION {
    UCHAR MajorFunction, MinorFunction, Flags, Control;
    union {
        struct {
            __attribute__((aligned(8))) ULONG OutputBufferLength;
            __attribute__((aligned(8))) ULONG InputBufferLength;
            __attribute__((aligned(8))) ULONG IoControlCode;
            PVOID Type3InputBuffer;
        } DeviceIoControl;
        PVOID Argument[4];
    } Parameters;
    DEVICE_OBJECT *DeviceObject;
    PVOID FileObject;
    NTSTATUS (*CompletionRoutine)(DEVICE_OBJECT *device, PVOID irp, PVOID context);
    PVOID Context;
} IO_STACK_LOCATION;

typedef struct {
    CSHORT Type;
    USHORT Size, AllocationProcessorNumber, Reserved;
    MDL *MdlAddress;
    ULONG Flags;
    PVOID SystemBuffer;
    PVOID ThreadListEntry[2];
    struct {
        NTSTATUS Status;
        ULONG64 Information;
    } IoStatus;
    KPROCESSOR_MODE RequestorMode;
    BOOLEAN PendingReturned;
    char StackCount, CurrentLocation;
    BOOLEAN Cancel;
    UCHAR CancelIrql;
    char ApcEnvironment;
    UCHAR AllocationFlags;
    PVOID UserIosb, UserEvent;
    PVOID Overlay[2];
    PVOID CancelRoutine, UserBuffer;
    PVOID DriverContext[4];
    PVOID Thread;
    char *AuxiliaryBuffer;
    PVOID ListEntry[2];
    IO_STACK_LOCATION *CurrentStackLocation;
} IRP;

#define FILE_DEVICE_UNKNOWN 0x22
#define FILE_DEVICE_SECURE_OPEN 0x100
#define DO_DEVICE_INITIALIZING 0x80
#define METHOD_BUFFERED 0
#define METHOD_OUT_DIRECT 2
#define METHOD_NEITHER 3
#define CTL_CODE(function, method) (FILE_DEVICE_UNKNOWN << 16 | (function) << 2 | (method))
#define IRP_MJ_CREATE 0
#define IRP_MJ_CLOSE 2
#define IRP_MJ_CLEANUP 0x12
#define IRP_MJ_DEVICE_CONTROL 0xE
#define SL_PENDING_RETURNED 1
#define SL_INVOKE_ALWAYS 0xE0
#define STATUS_PENDING 0x103
#define STATUS_MORE_PROCESSING_REQUIRED ((NTSTATUS)0xC0000016)
#define STATUS_INVALID_DEVICE_REQUEST ((NTSTATUS)0xC0000010)

static inline IO_STACK_LOCATION *IoGetCurrentIrpStackLocation(IRP *irp)
{
    return irp->CurrentStackLocation;
}

IMPORT NTSTATUS IoCreateDevice(DRIVER_OBJECT *driver, ULONG extension, UNICODE_STRING *name, ULONG type,
                               ULONG characteristics, BOOLEAN exclusive, DEVICE_OBJECT **device);
IMPORT void IoDeleteDevice(DEVICE_OBJECT *device);
IMPORT NTSTATUS IoCreateSymbolicLink(UNICODE_STRING *link, UNICODE_STRING *target);
IMPORT NTSTATUS IoDeleteSymbolicLink(UNICODE_STRING *link);
IMPORT NTSTATUS IoRegisterShutdownNotification(DEVICE_OBJECT *device);
IMPORT void IoUnregisterShutdownNotification(DEVICE_OBJECT *device);
IMPORT IRP *IoAllocateIrp(char locations, BOOLEAN charge);
IMPORT void IoFreeIrp(IRP *irp);
IMPORT NTSTATUS IofCallDriver(DEVICE_OBJECT *device, IRP *irp);
IMPORT void IofCompleteRequest(IRP *irp, char boost);
IMPORT BOOLEAN IoIsOperationSynchronous(IRP *irp);

/* Work items and timers */
typedef struct WORK_QUEUE_ITEM {
    PVOID List[2];
    void (*WorkerRoutine)(PVOID);
    PVOID Parameter;
} WORK_QUEUE_ITEM;
typedef struct {
    ULONG64 Words[3];
} KEVENT;

#define DelayedWorkQueue 1
IMPORT PVOID IoAllocateWorkItem(PVOID device);
IMPORT void IoFreeWorkItem(PVOID item);
IMPORT ULONG IoSizeofWorkItem(void);
IMPORT void IoInitializeWorkItem(PVOID object, PVOID item);
IMPORT void IoUninitializeWorkItem(PVOID item);
IMPORT void IoQueueWorkItem(PVOID item, void (*routine)(PVOID, PVOID), ULONG queue, PVOID context);
IMPORT void IoQueueWorkItemEx(PVOID item, void (*routine)(PVOID, PVOID, PVOID), ULONG queue, PVOID context);
IMPORT void ExQueueWorkItem(WORK_QUEUE_ITEM *item, ULONG queue);
IMPORT PVOID ExAllocateTimer(void (*callback)(PVOID, PVOID), PVOID context, ULONG attributes);
IMPORT BOOLEAN ExSetTimer(PVOID timer, LONGLONG due, LONGLONG period, PVOID parameters);
IMPORT BOOLEAN ExCancelTimer(PVOID timer, PVOID parameters);
IMPORT BOOLEAN ExDeleteTimer(PVOID timer, BOOLEAN cancel, BOOLEAN wait, PVOID parameters);
IMPORT void KeInitializeEvent(KEVENT *event, ULONG type, BOOLEAN state);

/* Sections and processes by handle */
#define PAGE_READONLY 0x02
#define PAGE_READWRITE 0x04
#define SEC_COMMIT 0x8000000
#define SECTION_ALL_ACCESS 0xF001F
#define ViewUnmap 2
#define STATUS_CONFLICTING_ADDRESSES ((NTSTATUS)0xC0000018)
#define STATUS_NOT_MAPPED_VIEW ((NTSTATUS)0xC0000019)
#define STATUS_INVALID_VIEW_SIZE ((NTSTATUS)0xC000001F)
#define STATUS_INVALID_PAGE_PROTECTION ((NTSTATUS)0xC0000045)
#define STATUS_MAPPED_ALIGNMENT ((NTSTATUS)0xC0000220)
#define STATUS_INVALID_INFO_CLASS ((NTSTATUS)0xC0000003)
extern PVOID *MmSectionObjectType;

IMPORT NTSTATUS ZwCreateSection(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes,
                                const LONGLONG *size, ULONG protection, ULONG allocation, HANDLE file);
IMPORT NTSTATUS ZwOpenSection(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes);
IMPORT NTSTATUS ZwMapViewOfSection(HANDLE section, HANDLE process, PVOID *base, ULONG64 zero, SIZE_T commit,
                                   LONGLONG *offset, SIZE_T *size, ULONG inherit, ULONG type,
                                   ULONG protection);
IMPORT NTSTATUS ZwUnmapViewOfSection(HANDLE process, PVOID base);
IMPORT NTSTATUS MmMapViewInSystemSpace(PVOID section, PVOID *base, SIZE_T *size);
IMPORT NTSTATUS MmUnmapViewInSystemSpace(PVOID base);

typedef struct {
    NTSTATUS ExitStatus;
    PVOID PebBaseAddress;
    ULONG64 AffinityMask;
    LONG BasePriority;
    ULONG64 UniqueProcessId, InheritedFromUniqueProcessId;
} PROCESS_BASIC_INFORMATION;
IMPORT NTSTATUS ZwOpenProcess(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes, CLIENT_ID *client);
IMPORT NTSTATUS ZwOpenThread(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes, CLIENT_ID *client);
IMPORT NTSTATUS ZwQueryInformationProcess(HANDLE process, ULONG class, PVOID buffer, ULONG length,
                                          ULONG *needed);

/* Tokens and access */
typedef struct {
    PVOID ClientToken;
    ULONG ImpersonationLevel;
    PVOID PrimaryToken, ProcessAuditId;
} SECURITY_SUBJECT_CONTEXT;
typedef struct {
    ULONG LowPart;
    LONG HighPart;
} LUID;
typedef struct {
    ULONG PrivilegeCount, Control;
    struct {
        LUID Luid;
        ULONG Attributes;
    } Privilege[2];
} PRIVILEGE_SET;
typedef struct {
    UCHAR Revision, SubAuthorityCount, IdentifierAuthority[6];
    ULONG SubAuthority[8];
} SID;
typedef struct {
    SID *Sid;
    ULONG Attributes;
} SID_AND_ATTRIBUTES;
typedef struct {
    ULONG GroupCount;
    SID_AND_ATTRIBUTES Groups[8];
} TOKEN_GROUPS;
typedef struct {
    LUID TokenId, AuthenticationId;
    LONGLONG ExpirationTime;
    ULONG TokenType, ImpersonationLevel, DynamicCharged, DynamicAvailable, GroupCount, PrivilegeCount;
    LUID ModifiedId;
} TOKEN_STATISTICS;
typedef struct {
    UCHAR Revision, Sbz1;
    USHORT Control;
    SID *Owner, *Group;
    PVOID Sacl, Dacl;
} SECURITY_DESCRIPTOR;
typedef struct {
    UCHAR AclRevision, Sbz1;
    USHORT AclSize, AceCount, Sbz2;
    struct {
        UCHAR AceType, AceFlags;
        USHORT AceSize;
        ULONG Mask;
        UCHAR Revision, SubAuthorityCount, IdentifierAuthority[6];
        ULONG SubAuthority;
    } Ace[2];
} TWO_ACES;
typedef struct {
    ULONG Read, Write, Execute, All;
} GENERIC_MAPPING;

#define TokenUser 1
#define TokenGroups 2
#define TokenStatistics 10
#define TokenIntegrityLevel 25
#define SE_DACL_PRESENT 4
#define READ_CONTROL 0x20000
#define WRITE_DAC 0x40000
#define GENERIC_READ 0x80000000
#define MAXIMUM_ALLOWED 0x2000000

IMPORT void SeCaptureSubjectContext(SECURITY_SUBJECT_CONTEXT *context);
IMPORT void SeReleaseSubjectContext(SECURITY_SUBJECT_CONTEXT *context);
IMPORT void SeLockSubjectContext(SECURITY_SUBJECT_CONTEXT *context);
IMPORT void SeUnlockSubjectContext(SECURITY_SUBJECT_CONTEXT *context);
IMPORT PVOID PsReferencePrimaryToken(PVOID process);
IMPORT void PsDereferencePrimaryToken(PVOID token);
IMPORT BOOLEAN SeTokenIsAdmin(PVOID token);
IMPORT NTSTATUS SeQueryAuthenticationIdToken(PVOID token, LUID *id);
IMPORT NTSTATUS SeQueryInformationToken(PVOID token, ULONG class, PVOID *information);
IMPORT BOOLEAN SeSinglePrivilegeCheck(LUID privilege, KPROCESSOR_MODE mode);
IMPORT BOOLEAN SePrivilegeCheck(PRIVILEGE_SET *set, SECURITY_SUBJECT_CONTEXT *context, KPROCESSOR_MODE mode);
IMPORT BOOLEAN SeAccessCheck(SECURITY_DESCRIPTOR *descriptor, SECURITY_SUBJECT_CONTEXT *context, BOOLEAN locked,
                             ULONG desired, ULONG previously, PVOID *privileges, GENERIC_MAPPING *mapping,
                             KPROCESSOR_MODE mode, ULONG *granted, NTSTATUS *status);

/* Transactions and files */
typedef struct {
    USHORT Length, TxFsContext;
    PVOID TransactionObject;
} TXN_PARAMETER_BLOCK;
typedef struct {
    ULONG64 Words[2];
} GUID;
#define STATUS_TRANSACTION_NOT_ACTIVE ((NTSTATUS)0xC0190003)
extern PVOID *TmTransactionObjectType;
IMPORT NTSTATUS ZwCreateTransaction(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes, GUID *unit,
                                    HANDLE manager, ULONG options, ULONG isolation, ULONG flags,
                                    LONGLONG *timeout, UNICODE_STRING *description);
IMPORT NTSTATUS ZwCommitTransaction(HANDLE handle, BOOLEAN wait);
IMPORT NTSTATUS ZwRollbackTransaction(HANDLE handle, BOOLEAN wait);
IMPORT NTSTATUS TmCommitTransaction(PVOID transaction, BOOLEAN wait);
IMPORT NTSTATUS TmRollbackTransaction(PVOID transaction, BOOLEAN wait);
IMPORT BOOLEAN TmIsTransactionActive(PVOID transaction);
IMPORT void TmGetTransactionId(PVOID transaction, GUID *id);
IMPORT TXN_PARAMETER_BLOCK *IoGetTransactionParameterBlock(PVOID file);
IMPORT NTSTATUS FsRtlGetFileSize(PVOID file, LONGLONG *size);
IMPORT BOOLEAN CcPurgeCacheSection(PVOID pointers, LONGLONG *offset, ULONG length, ULONG flags);

/* Event tracing, and WPP */
typedef struct {
    unsigned short Id;
    unsigned char Version, Channel, Level, Opcode;
    unsigned short Task;
    ULONG64 Keyword;
} EVENT_DESCRIPTOR;
typedef struct {
    ULONG64 Ptr;
    ULONG Size, Reserved;
} EVENT_DATA_DESCRIPTOR;
#define TRACE_MESSAGE_SEQUENCE 1
#define TRACE_MESSAGE_GUID 2
IMPORT NTSTATUS EtwRegister(const GUID *provider, PVOID callback, PVOID context, ULONG64 *handle);
IMPORT NTSTATUS EtwUnregister(ULONG64 handle);
IMPORT BOOLEAN EtwProviderEnabled(ULONG64 handle, unsigned char level, ULONG64 keyword);
IMPORT BOOLEAN EtwEventEnabled(ULONG64 handle, const EVENT_DESCRIPTOR *event);
IMPORT NTSTATUS EtwWrite(ULONG64 handle, const EVENT_DESCRIPTOR *event, const GUID *activity, ULONG count,
                         EVENT_DATA_DESCRIPTOR *data);
IMPORT NTSTATUS EtwWriteTransfer(ULONG64 handle, const EVENT_DESCRIPTOR *event, const GUID *activity,
                                 const GUID *related, ULONG count, EVENT_DATA_DESCRIPTOR *data);
IMPORT NTSTATUS WmiTraceMessage(ULONG64 session, ULONG flags, const GUID *id, unsigned short number, ...);

/* Names with drives */
#define SYMBOLIC_LINK_QUERY 1
IMPORT NTSTATUS ZwOpenSymbolicLinkObject(HANDLE *handle, ULONG access, OBJECT_ATTRIBUTES *attributes);
IMPORT NTSTATUS ZwQuerySymbolicLinkObject(HANDLE handle, UNICODE_STRING *target, ULONG *needed);
IMPORT NTSTATUS IoVolumeDeviceToDosName(PVOID device, UNICODE_STRING *name);

/* Registry callbacks */
typedef NTSTATUS REGISTRY_CALLBACK(PVOID context, PVOID class, PVOID information);
IMPORT NTSTATUS CmRegisterCallbackEx(REGISTRY_CALLBACK *routine, const UNICODE_STRING *altitude, PVOID driver,
                                     PVOID context, LONGLONG *cookie, PVOID reserved);
IMPORT NTSTATUS CmUnRegisterCallback(LONGLONG cookie);
IMPORT NTSTATUS ZwCreateKey(HANDLE *key, ULONG access, OBJECT_ATTRIBUTES *attributes, ULONG index,
                            UNICODE_STRING *class, ULONG options, ULONG *disposition);
