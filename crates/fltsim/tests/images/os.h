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
