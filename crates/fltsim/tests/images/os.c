/*
 * A driver that uses one family of the kernel's functions in each exported function. Each gives 0,
 * or the line here where something was not as documented. build.sh makes os.sys of it.
 */
#include "os.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)
#define TAG 0x7473654F

NTSTATUS DriverEntry(PVOID driver, UNICODE_STRING *path) { return STATUS_SUCCESS; }

/* Memory descriptor lists */

static char constant[PAGE_SIZE] = {1};

static NTSTATUS try_lock(MDL *mdl, KPROCESSOR_MODE mode, ULONG operation)
{
    __try {
        MmProbeAndLockPages(mdl, mode, operation);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return (NTSTATUS)GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

EXPORT ULONG64 mdl_of_pool(void)
{
    char *memory = ExAllocatePool2(POOL_FLAG_NON_PAGED, 3 * PAGE_SIZE, TAG);
    MDL *mdl = IoAllocateMdl(memory + 5, 2 * PAGE_SIZE, 0, 0, 0), *part;
    ULONG64 *numbers = (ULONG64 *)(mdl + 1);
    CHECK(MmSizeOfMdl(memory, 0) == sizeof(MDL) || ((ULONG64)memory & 0xFFF) != 0);
    CHECK(MmSizeOfMdl((PVOID)0x1FFF, 2) == sizeof(MDL) + 16);
    CHECK(mdl != 0 && mdl->Next == 0 && (mdl->MdlFlags & 0xFFF7) == 0);
    CHECK((char *)mdl->StartVa + mdl->ByteOffset == memory + 5 && mdl->ByteCount == 2 * PAGE_SIZE);
    MmBuildMdlForNonPagedPool(mdl);
    CHECK(mdl->MdlFlags & MDL_SOURCE_IS_NONPAGED_POOL);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) == memory + 5);
    CHECK(numbers[1] == numbers[0] + 1);
    part = IoAllocateMdl(memory + 5, PAGE_SIZE, 0, 0, 0);
    IoBuildPartialMdl(mdl, part, memory + 105, 50);
    CHECK(part->ByteCount == 50 && MmGetSystemAddressForMdlSafe(part, 0) == memory + 105);
    IoBuildPartialMdl(mdl, part, memory + 5 + PAGE_SIZE, 0);
    CHECK(part->ByteCount == PAGE_SIZE);
    IoFreeMdl(part);
    IoFreeMdl(mdl);
    ExFreePool(memory);
    return 0;
}

EXPORT ULONG64 mdl_locked(void)
{
    char *memory = ExAllocatePool2(POOL_FLAG_PAGED, 2 * PAGE_SIZE, TAG), *mapped;
    MDL *mdl = IoAllocateMdl(memory, 2 * PAGE_SIZE, 0, 0, 0), *part;
    CHECK(try_lock(mdl, KernelMode, IoWriteAccess) == STATUS_SUCCESS);
    CHECK((mdl->MdlFlags & 0xFFF7) == (MDL_PAGES_LOCKED | MDL_WRITE_OPERATION));
    mapped = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority | MdlMappingNoExecute);
    CHECK(mapped != 0 && (mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA));
    mapped[PAGE_SIZE] = 77;
    CHECK(memory[PAGE_SIZE] == 77);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, 0) == mapped);
    MmUnmapLockedPages(mapped, mdl);
    CHECK(!(mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) && (mdl->MdlFlags & MDL_PAGES_LOCKED));
    part = IoAllocateMdl(memory, PAGE_SIZE, 0, 0, 0);
    IoBuildPartialMdl(mdl, part, memory + 16, 100);
    CHECK((part->MdlFlags & 0xFFF7) == MDL_PARTIAL);
    CHECK(MmGetSystemAddressForMdlSafe(part, 0) == memory + 16);
    CHECK(part->MdlFlags & MDL_PARTIAL_HAS_BEEN_MAPPED);
    /* Freeing a part takes its mapping away, and unlocking that of the whole. */
    IoFreeMdl(part);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, 0) != 0);
    MmUnlockPages(mdl);
    CHECK((mdl->MdlFlags & 0xFFF7) == 0);
    IoFreeMdl(mdl);
    ExFreePool(memory);
    return 0;
}

EXPORT ULONG64 mdl_refused(void)
{
    MDL *mdl;
    NTSTATUS bad = (NTSTATUS)0xC0000005;
    mdl = IoAllocateMdl((PVOID)0x1000, 10, 0, 0, 0);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == bad);
    CHECK(!(mdl->MdlFlags & MDL_PAGES_LOCKED));
    IoFreeMdl(mdl);
    mdl = IoAllocateMdl((PVOID)0xFFFF800000001000, 10, 0, 0, 0);
    CHECK(try_lock(mdl, UserMode, IoReadAccess) == bad);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == bad);
    IoFreeMdl(mdl);
    /* Code can be read and not written to. */
    mdl = IoAllocateMdl((PVOID)mdl_refused, 10, 0, 0, 0);
    CHECK(try_lock(mdl, UserMode, IoWriteAccess) == bad);
    CHECK(try_lock(mdl, UserMode, IoReadAccess) == STATUS_SUCCESS);
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
    CHECK(IoAllocateMdl(constant, 0xFFFFFFFF, 0, 0, 0) == 0);
    return 0;
}

EXPORT ULONG64 mdl_in_own_memory(void)
{
    ULONG64 room[16];
    MDL *mdl = (MDL *)room;
    MmInitializeMdl(mdl, constant, sizeof constant);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == STATUS_SUCCESS);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, 0) == constant);
    MmUnlockPages(mdl);
    return 0;
}

EXPORT ULONG64 mdl_of_pages(void)
{
    MDL *mdl = MmAllocatePagesForMdlEx(0, -1, 0, PAGE_SIZE + 1, MmCached, 0);
    char *mapped;
    CHECK(mdl != 0 && mdl->ByteCount == 2 * PAGE_SIZE && mdl->ByteOffset == 0);
    mapped = MmGetSystemAddressForMdlSafe(mdl, 0);
    CHECK(mapped != 0 && ((ULONG64)mapped & (PAGE_SIZE - 1)) == 0);
    CHECK(mapped[0] == 0 && mapped[2 * PAGE_SIZE - 1] == 0);
    mapped[2 * PAGE_SIZE - 1] = 1;
    MmUnmapLockedPages(mapped, mdl);
    MmFreePagesFromMdl(mdl);
    ExFreePool(mdl);
    return 0;
}

EXPORT ULONG64 mdl_chained(void)
{
    /* MdlAddress is the second word of an IRP. */
    MDL *irp[4] = {0, 0, 0, 0};
    MDL *one = IoAllocateMdl(constant, 8, 0, 0, irp);
    MDL *two = IoAllocateMdl(constant, 8, 1, 0, irp);
    MDL *three = IoAllocateMdl(constant, 8, 1, 0, irp);
    CHECK(irp[0] == 0 && irp[1] == one && one->Next == two && two->Next == three);
    CHECK(three->Next == 0);
    IoFreeMdl(one);
    IoFreeMdl(two);
    IoFreeMdl(three);
    return 0;
}

/* Leaves an MDL locked and mapped. */
EXPORT ULONG64 mdl_left(void)
{
    MDL *mdl = IoAllocateMdl(constant, sizeof constant, 0, 0, 0);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == STATUS_SUCCESS);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, 0) == constant);
    return 0;
}

/* Five mistakes. */
EXPORT ULONG64 mdl_misused(void)
{
    MDL *mdl = IoAllocateMdl(constant, sizeof constant, 0, 0, 0);
    MmUnlockPages(mdl);
    CHECK(MmGetSystemAddressForMdlSafe(mdl, 0) == 0);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == STATUS_SUCCESS);
    CHECK(try_lock(mdl, KernelMode, IoReadAccess) == STATUS_SUCCESS);
    IoFreeMdl(mdl);
    IoFreeMdl(mdl);
    return 0;
}
