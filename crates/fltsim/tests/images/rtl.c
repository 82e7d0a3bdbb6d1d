/*
 * A driver that calls the run-time library and the kernel's locks, a family in each exported
 * function. Every function gives 0, or the line of the first thing that was not as documented.
 * The structures are declared here from their documentation. build.sh makes rtl.sys of it.
 */
#include "kernel.h"

typedef char CHAR;
typedef short CSHORT;
typedef UCHAR BOOLEAN;
typedef struct LIST {
    struct LIST *Flink, *Blink;
} LIST;
typedef struct {
    USHORT Length, MaximumLength;
    char *Buffer;
} STRING;
#define CHECK(condition)      \
    do {                      \
        if (!(condition))     \
            return __LINE__;  \
    } while (0)
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

volatile ULONG64 __security_cookie = 0x00002B992DDFA232;

NTSTATUS DriverEntry(PVOID driver, UNICODE_STRING *path) { return STATUS_SUCCESS; }

IMPORT PVOID ExAllocatePoolWithTag(ULONG type, SIZE_T size, ULONG tag);
IMPORT void ExFreePoolWithTag(PVOID memory, ULONG tag);
IMPORT int memcmp(const void *one, const void *two, SIZE_T size);

static int same(const WCHAR *one, const WCHAR *two, SIZE_T units)
{
    return memcmp(one, two, 2 * units) == 0;
}
static void wide(UNICODE_STRING *string, const WCHAR *text)
{
    USHORT units = 0;
    while (text[units])
        units++;
    string->Length = (USHORT)(2 * units);
    string->MaximumLength = (USHORT)(2 * units + 2);
    string->Buffer = (WCHAR *)text;
}

/* Bit maps. */
typedef struct {
    ULONG SizeOfBitMap;
    ULONG *Buffer;
} RTL_BITMAP;
typedef struct {
    ULONG StartingIndex, NumberOfBits;
} RTL_BITMAP_RUN;
IMPORT void RtlInitializeBitMap(RTL_BITMAP *map, ULONG *buffer, ULONG size);
IMPORT void RtlClearAllBits(RTL_BITMAP *map);
IMPORT void RtlSetAllBits(RTL_BITMAP *map);
IMPORT void RtlSetBits(RTL_BITMAP *map, ULONG start, ULONG count);
IMPORT void RtlClearBits(RTL_BITMAP *map, ULONG start, ULONG count);
IMPORT void RtlSetBit(RTL_BITMAP *map, ULONG bit);
IMPORT void RtlClearBit(RTL_BITMAP *map, ULONG bit);
IMPORT BOOLEAN RtlTestBit(RTL_BITMAP *map, ULONG bit);
IMPORT BOOLEAN RtlAreBitsSet(RTL_BITMAP *map, ULONG start, ULONG count);
IMPORT BOOLEAN RtlAreBitsClear(RTL_BITMAP *map, ULONG start, ULONG count);
IMPORT ULONG RtlFindClearBits(RTL_BITMAP *map, ULONG count, ULONG hint);
IMPORT ULONG RtlFindSetBits(RTL_BITMAP *map, ULONG count, ULONG hint);
IMPORT ULONG RtlFindClearBitsAndSet(RTL_BITMAP *map, ULONG count, ULONG hint);
IMPORT ULONG RtlFindSetBitsAndClear(RTL_BITMAP *map, ULONG count, ULONG hint);
IMPORT ULONG RtlFindFirstRunClear(RTL_BITMAP *map, ULONG *start);
IMPORT ULONG RtlFindNextForwardRunClear(RTL_BITMAP *map, ULONG from, ULONG *start);
IMPORT ULONG RtlFindLastBackwardRunClear(RTL_BITMAP *map, ULONG from, ULONG *start);
IMPORT ULONG RtlFindLongestRunClear(RTL_BITMAP *map, ULONG *start);
IMPORT ULONG RtlFindClearRuns(RTL_BITMAP *map, RTL_BITMAP_RUN *runs, ULONG room, BOOLEAN longest);
IMPORT ULONG RtlNumberOfSetBits(RTL_BITMAP *map);
IMPORT ULONG RtlNumberOfClearBits(RTL_BITMAP *map);
IMPORT CHAR RtlFindLeastSignificantBit(ULONG64 value);
IMPORT CHAR RtlFindMostSignificantBit(ULONG64 value);

EXPORT ULONG64 bit_maps(void)
{
    ULONG buffer[4], start;
    RTL_BITMAP map;
    RTL_BITMAP_RUN runs[4];
    RtlInitializeBitMap(&map, buffer, 100);
    RtlClearAllBits(&map);
    CHECK(map.SizeOfBitMap == 100 && map.Buffer == buffer);
    CHECK(RtlNumberOfSetBits(&map) == 0 && RtlNumberOfClearBits(&map) == 100);
    RtlSetBits(&map, 10, 50);
    RtlClearBits(&map, 30, 5);
    RtlSetBit(&map, 70);
    RtlSetBit(&map, 71);
    RtlClearBit(&map, 71);
    /* Set: 10-29, 35-59, 70. Clear: 0-9, 30-34, 60-69, 71-99. */
    CHECK(buffer[0] == 0x3FFFFC00 && buffer[1] == 0x0FFFFFF8 && buffer[2] == 0x40);
    CHECK(RtlTestBit(&map, 70) && !RtlTestBit(&map, 71));
    CHECK(RtlNumberOfSetBits(&map) == 46);
    CHECK(RtlAreBitsSet(&map, 35, 25) && !RtlAreBitsSet(&map, 34, 2) && !RtlAreBitsSet(&map, 35, 0));
    CHECK(RtlAreBitsClear(&map, 71, 29) && !RtlAreBitsClear(&map, 71, 30));
    CHECK(RtlFindClearBits(&map, 5, 20) == 30 && RtlFindClearBits(&map, 6, 20) == 60);
    CHECK(RtlFindClearBits(&map, 30, 0) == 0xFFFFFFFF && RtlFindClearBits(&map, 0, 13) == 8);
    CHECK(RtlFindClearBits(&map, 8, 72) == 72 && RtlFindClearBits(&map, 29, 99) == 71);
    CHECK(RtlFindSetBits(&map, 21, 0) == 35 && RtlFindSetBits(&map, 21, 90) == 35);
    CHECK(RtlFindFirstRunClear(&map, &start) == 10 && start == 0);
    CHECK(RtlFindNextForwardRunClear(&map, 10, &start) == 5 && start == 30);
    CHECK(RtlFindNextForwardRunClear(&map, 62, &start) == 8 && start == 62);
    CHECK(RtlFindLastBackwardRunClear(&map, 59, &start) == 5 && start == 30);
    CHECK(RtlFindLongestRunClear(&map, &start) == 29 && start == 71);
    CHECK(RtlFindClearRuns(&map, runs, 3, 1) == 3);
    CHECK(runs[0].StartingIndex == 71 && runs[0].NumberOfBits == 29);
    CHECK(runs[1].NumberOfBits == 10 && runs[2].NumberOfBits == 10);
    CHECK(RtlFindClearRuns(&map, runs, 4, 0) == 4 && runs[1].StartingIndex == 30);
    CHECK(RtlFindClearBitsAndSet(&map, 5, 20) == 30 && RtlAreBitsSet(&map, 10, 50));
    CHECK(RtlFindSetBitsAndClear(&map, 50, 0) == 10 && RtlAreBitsClear(&map, 0, 70));
    RtlSetAllBits(&map);
    CHECK(RtlNumberOfSetBits(&map) == 100 && RtlFindFirstRunClear(&map, &start) == 0);
    CHECK(RtlFindLeastSignificantBit(0) == -1 && RtlFindMostSignificantBit(0) == -1);
    CHECK(RtlFindLeastSignificantBit(0x8010) == 4 && RtlFindMostSignificantBit(0x8010) == 15);
    return 0;
}
/* One bit too many: reported, and not set. */
EXPORT ULONG64 bit_map_overrun(void)
{
    ULONG buffer[2] = {0, 0};
    RTL_BITMAP map;
    RtlInitializeBitMap(&map, buffer, 40);
    RtlSetBits(&map, 39, 2);
    return RtlNumberOfSetBits(&map);
}

/* Generic tables. */
typedef struct BALANCED {
    struct BALANCED *Parent, *LeftChild, *RightChild;
    CHAR Balance;
    UCHAR Reserved[3];
} BALANCED;
typedef struct AVL AVL;
struct AVL {
    BALANCED BalancedRoot;
    PVOID OrderedPointer;
    ULONG WhichOrderedElement, NumberGenericTableElements, DepthOfTree;
    BALANCED *RestartKey;
    ULONG DeleteCount;
    int (*CompareRoutine)(AVL *table, PVOID one, PVOID two);
    PVOID (*AllocateRoutine)(AVL *table, ULONG size);
    void (*FreeRoutine)(AVL *table, PVOID memory);
    PVOID TableContext;
};
typedef struct SPLAY_LINKS {
    struct SPLAY_LINKS *Parent, *LeftChild, *RightChild;
} SPLAY_LINKS;
typedef struct SPLAY SPLAY;
struct SPLAY {
    SPLAY_LINKS *TableRoot;
    LIST InsertOrderList, *OrderedPointer;
    ULONG WhichOrderedElement, NumberGenericTableElements;
    int (*CompareRoutine)(SPLAY *table, PVOID one, PVOID two);
    PVOID (*AllocateRoutine)(SPLAY *table, ULONG size);
    void (*FreeRoutine)(SPLAY *table, PVOID memory);
    PVOID TableContext;
};
typedef struct {
    ULONG Key;
    ULONG Value;
} ITEM;
typedef struct {
    LONG Live;
    ULONG Size;
} ALLOCATIONS;
IMPORT void RtlInitializeGenericTableAvl(AVL *table, PVOID compare, PVOID allocate, PVOID free, PVOID context);
IMPORT PVOID RtlInsertElementGenericTableAvl(AVL *table, PVOID item, ULONG size, BOOLEAN *is_new);
IMPORT PVOID RtlInsertElementGenericTableFullAvl(AVL *table, PVOID item, ULONG size, BOOLEAN *is_new, PVOID node, int result);
IMPORT BOOLEAN RtlDeleteElementGenericTableAvl(AVL *table, PVOID item);
IMPORT void RtlDeleteElementGenericTableAvlEx(AVL *table, PVOID node);
IMPORT PVOID RtlLookupElementGenericTableAvl(AVL *table, PVOID item);
IMPORT PVOID RtlLookupElementGenericTableFullAvl(AVL *table, PVOID item, PVOID *node, int *result);
IMPORT PVOID RtlLookupFirstMatchingElementGenericTableAvl(AVL *table, PVOID item, PVOID *restart);
IMPORT PVOID RtlEnumerateGenericTableAvl(AVL *table, BOOLEAN restart);
IMPORT PVOID RtlEnumerateGenericTableWithoutSplayingAvl(AVL *table, PVOID *restart);
IMPORT PVOID RtlEnumerateGenericTableLikeADirectory(AVL *table, PVOID match, PVOID data, ULONG next, PVOID *restart, ULONG *deletes, PVOID item);
IMPORT PVOID RtlGetElementGenericTableAvl(AVL *table, ULONG index);
IMPORT BOOLEAN RtlIsGenericTableEmptyAvl(AVL *table);
IMPORT ULONG RtlNumberGenericTableElementsAvl(AVL *table);
IMPORT void RtlInitializeGenericTable(SPLAY *table, PVOID compare, PVOID allocate, PVOID free, PVOID context);
IMPORT PVOID RtlInsertElementGenericTable(SPLAY *table, PVOID item, ULONG size, BOOLEAN *is_new);
IMPORT BOOLEAN RtlDeleteElementGenericTable(SPLAY *table, PVOID item);
IMPORT PVOID RtlLookupElementGenericTable(SPLAY *table, PVOID item);
IMPORT PVOID RtlLookupElementGenericTableFull(SPLAY *table, PVOID item, PVOID *node, int *result);
IMPORT PVOID RtlEnumerateGenericTable(SPLAY *table, BOOLEAN restart);
IMPORT PVOID RtlEnumerateGenericTableWithoutSplaying(SPLAY *table, PVOID *restart);
IMPORT PVOID RtlGetElementGenericTable(SPLAY *table, ULONG index);
IMPORT BOOLEAN RtlIsGenericTableEmpty(SPLAY *table);
IMPORT ULONG RtlNumberGenericTableElements(SPLAY *table);
IMPORT SPLAY_LINKS *RtlRealSuccessor(SPLAY_LINKS *links);
IMPORT SPLAY_LINKS *RtlRealPredecessor(SPLAY_LINKS *links);

static int compare(ITEM *one, ITEM *two)
{
    return one->Key < two->Key ? 0 : one->Key > two->Key ? 1 : 2;
}
static PVOID allocate(ALLOCATIONS *count, ULONG size)
{
    count->Live++;
    count->Size = size;
    return ExAllocatePoolWithTag(512, size, 0x6C626154);
}
static int avl_compare(AVL *table, PVOID one, PVOID two) { return compare(one, two); }
static PVOID avl_allocate(AVL *table, ULONG size) { return allocate(table->TableContext, size); }
static void avl_free(AVL *table, PVOID memory)
{
    ((ALLOCATIONS *)table->TableContext)->Live--;
    ExFreePoolWithTag(memory, 0x6C626154);
}
static int splay_compare(SPLAY *table, PVOID one, PVOID two) { return compare(one, two); }
static PVOID splay_allocate(SPLAY *table, ULONG size) { return allocate(table->TableContext, size); }
static void splay_free(SPLAY *table, PVOID memory)
{
    ((ALLOCATIONS *)table->TableContext)->Live--;
    ExFreePoolWithTag(memory, 0x6C626154);
}
static LONG depth(BALANCED *node, BALANCED *parent)
{
    LONG left, right;
    if (!node)
        return 0;
    if (node->Parent != parent)
        return -1000;
    left = depth(node->LeftChild, node);
    right = depth(node->RightChild, node);
    if (right - left != node->Balance || node->Balance < -1 || node->Balance > 1)
        return -1000;
    return (left > right ? left : right) + 1;
}
static NTSTATUS is_even(AVL *table, ITEM *item, ULONG *parity)
{
    return item->Key % 2 == *parity ? STATUS_SUCCESS : (NTSTATUS)0xC0000272;
}

EXPORT ULONG64 avl_tables(void)
{
    ALLOCATIONS count = {0, 0};
    AVL table;
    ITEM item = {0, 0}, *found;
    BOOLEAN is_new;
    PVOID node, restart = 0;
    int result;
    ULONG index, parity = 0, deletes = 0;
    CHECK(sizeof(AVL) == 104 && sizeof(BALANCED) == 32);
    RtlInitializeGenericTableAvl(&table, avl_compare, avl_allocate, avl_free, &count);
    CHECK(table.BalancedRoot.Parent == &table.BalancedRoot && table.TableContext == &count);
    CHECK(RtlIsGenericTableEmptyAvl(&table) && !RtlEnumerateGenericTableAvl(&table, 1));
    CHECK(!RtlLookupElementGenericTableFullAvl(&table, &item, &node, &result) && result == 0);
    for (index = 0; index < 500; index++) {
        item.Key = index * 7919 % 500;
        item.Value = index;
        found = RtlInsertElementGenericTableAvl(&table, &item, sizeof(item), &is_new);
        CHECK(found && is_new && found->Key == item.Key && found->Value == index);
        CHECK((LONG)table.DepthOfTree == depth(table.BalancedRoot.RightChild, &table.BalancedRoot));
    }
    CHECK(count.Live == 500 && count.Size == sizeof(item) + 32);
    CHECK(RtlNumberGenericTableElementsAvl(&table) == 500 && table.NumberGenericTableElements == 500);
    CHECK(table.DepthOfTree >= 9 && table.DepthOfTree <= 12);
    item.Key = 7;
    found = RtlInsertElementGenericTableAvl(&table, &item, sizeof(item), &is_new);
    CHECK(found && !is_new && found->Value != 499 && count.Live == 500);
    CHECK(RtlLookupElementGenericTableAvl(&table, &item) == found);
    CHECK(RtlLookupElementGenericTableFullAvl(&table, &item, &node, &result) == found && result == 1);
    CHECK((UCHAR *)node + 32 == (UCHAR *)found);
    CHECK(RtlLookupFirstMatchingElementGenericTableAvl(&table, &item, &restart) == found);
    found = RtlEnumerateGenericTableWithoutSplayingAvl(&table, &restart);
    CHECK(found && found->Key == 8);
    for (index = 0, found = RtlEnumerateGenericTableAvl(&table, 1); found; index++) {
        CHECK(found->Key == index);
        found = RtlEnumerateGenericTableAvl(&table, 0);
    }
    CHECK(index == 500);
    for (index = 500; index-- > 0;) {
        found = RtlGetElementGenericTableAvl(&table, index);
        CHECK(found && found->Key == index && table.WhichOrderedElement == index + 1);
    }
    CHECK(!RtlGetElementGenericTableAvl(&table, 500));
    /* Every even key, while odd ones go away. */
    item.Key = 0;
    restart = 0;
    for (index = 0; index < 250; index++) {
        ITEM odd = {2 * index + 1, 0};
        found = RtlEnumerateGenericTableLikeADirectory(&table, is_even, &parity, index != 0, &restart, &deletes, &item);
        CHECK(found && found->Key == 2 * index);
        item = *found;
        CHECK(RtlDeleteElementGenericTableAvl(&table, &odd));
        CHECK((LONG)table.DepthOfTree == depth(table.BalancedRoot.RightChild, &table.BalancedRoot));
    }
    CHECK(!RtlEnumerateGenericTableLikeADirectory(&table, is_even, &parity, 1, &restart, &deletes, &item));
    CHECK(table.DeleteCount == 250 && count.Live == 250);
    item.Key = 3;
    CHECK(!RtlDeleteElementGenericTableAvl(&table, &item));
    CHECK(!RtlLookupElementGenericTableFullAvl(&table, &item, &node, &result) && result >= 2);
    found = RtlInsertElementGenericTableFullAvl(&table, &item, sizeof(item), &is_new, node, result);
    CHECK(found && is_new && RtlLookupElementGenericTableFullAvl(&table, &item, &node, &result) == found);
    RtlDeleteElementGenericTableAvlEx(&table, node);
    CHECK(count.Live == 250);
    while ((found = RtlGetElementGenericTableAvl(&table, 0)))
        CHECK(RtlDeleteElementGenericTableAvl(&table, found));
    CHECK(count.Live == 0 && table.DepthOfTree == 0 && RtlIsGenericTableEmptyAvl(&table));
    CHECK(table.BalancedRoot.RightChild == 0);
    return 0;
}

EXPORT ULONG64 splay_tables(void)
{
    ALLOCATIONS count = {0, 0};
    SPLAY table;
    ITEM item = {0, 0}, *found;
    BOOLEAN is_new;
    PVOID node, restart = 0;
    int result;
    ULONG index;
    SPLAY_LINKS *links;
    CHECK(sizeof(SPLAY) == 72);
    RtlInitializeGenericTable(&table, splay_compare, splay_allocate, splay_free, &count);
    CHECK(RtlIsGenericTableEmpty(&table) && table.InsertOrderList.Flink == &table.InsertOrderList);
    for (index = 0; index < 300; index++) {
        item.Key = index * 7919 % 300;
        item.Value = index;
        found = RtlInsertElementGenericTable(&table, &item, sizeof(item), &is_new);
        CHECK(found && is_new && (UCHAR *)table.TableRoot + 40 == (UCHAR *)found);
        CHECK(table.TableRoot->Parent == table.TableRoot);
    }
    CHECK(count.Live == 300 && count.Size == sizeof(item) + 40);
    CHECK(RtlNumberGenericTableElements(&table) == 300);
    for (index = 0; index < 300; index++) {
        found = RtlGetElementGenericTable(&table, index);
        CHECK(found && found->Value == index);
    }
    for (index = 0, found = RtlEnumerateGenericTable(&table, 1); found; index++) {
        CHECK(found->Key == index);
        found = RtlEnumerateGenericTable(&table, 0);
    }
    CHECK(index == 300);
    for (index = 0; (found = RtlEnumerateGenericTableWithoutSplaying(&table, &restart)); index++)
        CHECK(found->Key == index);
    CHECK(index == 300);
    item.Key = 150;
    CHECK(RtlLookupElementGenericTableFull(&table, &item, &node, &result) && result == 1);
    CHECK(node == table.TableRoot);
    links = RtlRealSuccessor(node);
    CHECK(((ITEM *)((UCHAR *)links + 40))->Key == 151 && RtlRealPredecessor(links) == node);
    for (index = 0; index < 300; index += 3) {
        item.Key = index;
        CHECK(RtlDeleteElementGenericTable(&table, &item) && !RtlDeleteElementGenericTable(&table, &item));
    }
    CHECK(count.Live == 200 && !RtlLookupElementGenericTable(&table, &item));
    while ((found = RtlGetElementGenericTable(&table, 0)))
        CHECK(RtlDeleteElementGenericTable(&table, found));
    CHECK(count.Live == 0 && table.TableRoot == 0 && RtlIsGenericTableEmpty(&table));
    return 0;
}

/* Strings. */
IMPORT NTSTATUS RtlUnicodeStringToAnsiString(STRING *target, UNICODE_STRING *source, BOOLEAN allocate);
IMPORT NTSTATUS RtlAnsiStringToUnicodeString(UNICODE_STRING *target, STRING *source, BOOLEAN allocate);
IMPORT ULONG RtlxUnicodeStringToAnsiSize(UNICODE_STRING *source);
IMPORT ULONG RtlxAnsiStringToUnicodeSize(STRING *source);
IMPORT void RtlFreeAnsiString(STRING *string);
IMPORT void RtlFreeUnicodeString(UNICODE_STRING *string);
IMPORT void RtlInitString(STRING *target, const char *source);
IMPORT void RtlCopyString(STRING *target, STRING *source);
IMPORT LONG RtlCompareString(STRING *one, STRING *two, BOOLEAN ignore);
IMPORT BOOLEAN RtlEqualString(STRING *one, STRING *two, BOOLEAN ignore);
IMPORT NTSTATUS RtlUnicodeToMultiByteN(char *target, ULONG room, ULONG *written, WCHAR *source, ULONG bytes);
IMPORT NTSTATUS RtlMultiByteToUnicodeN(WCHAR *target, ULONG room, ULONG *written, const char *source, ULONG bytes);
IMPORT NTSTATUS RtlUnicodeToUTF8N(char *target, ULONG room, ULONG *written, const WCHAR *source, ULONG bytes);
IMPORT NTSTATUS RtlUTF8ToUnicodeN(WCHAR *target, ULONG room, ULONG *written, const char *source, ULONG bytes);
IMPORT NTSTATUS RtlDuplicateUnicodeString(ULONG flags, UNICODE_STRING *source, UNICODE_STRING *target);
IMPORT NTSTATUS RtlValidateUnicodeString(ULONG flags, UNICODE_STRING *string);
IMPORT NTSTATUS RtlStringFromGUID(const void *guid, UNICODE_STRING *target);
IMPORT NTSTATUS RtlCharToInteger(const char *text, ULONG base, ULONG *value);
IMPORT SIZE_T RtlCompareMemoryUlong(PVOID memory, SIZE_T size, ULONG pattern);
IMPORT void RtlFillMemory(PVOID memory, SIZE_T size, UCHAR value);
IMPORT void RtlZeroMemory(PVOID memory, SIZE_T size);

EXPORT ULONG64 strings(void)
{
    static const UCHAR guid[16] = {0x78, 0x56, 0x34, 0x12, 0xCD, 0xAB, 0x01, 0xEF, 1, 2, 3, 4, 5, 6, 7, 8};
    UNICODE_STRING text, other;
    STRING narrow, copy;
    WCHAR units[8];
    char bytes[8];
    ULONG written, memory[4];
    wide(&text, L"Gr\u00FC\u00DFe");
    CHECK(RtlxUnicodeStringToAnsiSize(&text) == 8);
    CHECK(RtlUnicodeStringToAnsiString(&narrow, &text, 1) == 0);
    CHECK(narrow.Length == 7 && narrow.MaximumLength == 8 && narrow.Buffer[7] == 0);
    CHECK(RtlxAnsiStringToUnicodeSize(&narrow) == 12);
    CHECK(RtlAnsiStringToUnicodeString(&other, &narrow, 1) == 0);
    CHECK(other.Length == 10 && same(other.Buffer, text.Buffer, 5));
    copy.Length = 0;
    copy.MaximumLength = 4;
    copy.Buffer = bytes;
    RtlCopyString(&copy, &narrow);
    CHECK(copy.Length == 4 && memcmp(bytes, narrow.Buffer, 4) == 0);
    CHECK(RtlUnicodeStringToAnsiString(&copy, &text, 0) == (NTSTATUS)0x80000005);
    CHECK(copy.Length == 3 && bytes[3] == 0);
    RtlFreeAnsiString(&narrow);
    CHECK(narrow.Buffer == 0);
    RtlFreeUnicodeString(&other);
    RtlInitString(&narrow, "Hello");
    CHECK(narrow.Length == 5 && narrow.MaximumLength == 6);
    RtlInitString(&copy, "hELLO");
    CHECK(RtlEqualString(&narrow, &copy, 1) && !RtlEqualString(&narrow, &copy, 0));
    CHECK(RtlCompareString(&narrow, &copy, 0) == 'H' - 'h');
    CHECK(RtlUnicodeToMultiByteN(bytes, 3, &written, text.Buffer, 4) == 0 && written == 2);
    CHECK(RtlMultiByteToUnicodeN(units, 7, &written, "abcde", 5) == 0 && written == 6);
    CHECK(units[0] == 'a' && units[2] == 'c');
    CHECK(RtlUnicodeToUTF8N(0, 0, &written, text.Buffer, 10) == 0 && written == 7);
    CHECK(RtlUnicodeToUTF8N(bytes, 3, &written, text.Buffer, 10) == (NTSTATUS)0xC0000023 && written == 2);
    CHECK(RtlUTF8ToUnicodeN(units, 16, &written, "\xC3\xBCx", 3) == 0 && written == 4 && units[0] == 0xFC);
    CHECK(RtlUTF8ToUnicodeN(units, 16, &written, "x\xFF", 2) == 0x107 && units[1] == 0xFFFD);
    CHECK(RtlDuplicateUnicodeString(1, &text, &other) == 0 && other.MaximumLength == 12);
    CHECK(other.Buffer[5] == 0 && RtlValidateUnicodeString(0, &other) == 0);
    RtlFreeUnicodeString(&other);
    other.Length = 3;
    CHECK(RtlValidateUnicodeString(0, &other) == (NTSTATUS)0xC000000D);
    CHECK(RtlStringFromGUID(guid, &other) == 0 && other.Length == 76);
    CHECK(same(other.Buffer, L"{12345678-ABCD-EF01-0102-030405060708}", 38));
    RtlFreeUnicodeString(&other);
    CHECK(RtlCharToInteger("0x1fz", 0, &written) == 0 && written == 31);
    RtlFillMemory(memory, 16, 0x5A);
    CHECK(RtlCompareMemoryUlong(memory, 16, 0x5A5A5A5A) == 16);
    RtlZeroMemory(memory + 2, 8);
    CHECK(RtlCompareMemoryUlong(memory, 16, 0x5A5A5A5A) == 8);
    return 0;
}

/* Printing, with arguments in registers and on the stack. */
typedef __builtin_ms_va_list VA_LIST;
IMPORT int _snprintf(char *target, SIZE_T count, const char *format, ...);
IMPORT int _snwprintf(WCHAR *target, SIZE_T count, const WCHAR *format, ...);
IMPORT int _vsnwprintf(WCHAR *target, SIZE_T count, const WCHAR *format, VA_LIST list);
IMPORT int sprintf(char *target, const char *format, ...);
IMPORT int swprintf(WCHAR *target, const WCHAR *format, ...);
IMPORT int sprintf_s(char *target, SIZE_T size, const char *format, ...);
IMPORT int swprintf_s(WCHAR *target, SIZE_T size, const WCHAR *format, ...);
IMPORT int _snprintf_s(char *target, SIZE_T size, SIZE_T count, const char *format, ...);
IMPORT int _snwprintf_s(WCHAR *target, SIZE_T size, SIZE_T count, const WCHAR *format, ...);
IMPORT ULONG vDbgPrintExWithPrefix(const char *prefix, ULONG component, ULONG level, const char *format, VA_LIST list);

/* As the safe string functions of the headers do it. */
static int cch_printf(WCHAR *target, SIZE_T room, const WCHAR *format, ...)
{
    VA_LIST list;
    int written;
    __builtin_ms_va_start(list, format);
    written = _vsnwprintf(target, room - 1, format, list);
    __builtin_ms_va_end(list);
    if (written < 0 || (SIZE_T)written >= room - 1)
        target[room - 1] = 0;
    return written;
}
static void debug(const char *format, ...)
{
    VA_LIST list;
    __builtin_ms_va_start(list, format);
    vDbgPrintExWithPrefix("rtl: ", 101, 0, format, list);
    __builtin_ms_va_end(list);
}

EXPORT ULONG64 printing(void)
{
    char bytes[64];
    WCHAR units[64];
    UNICODE_STRING name;
    wide(&name, L"name");
    CHECK(sprintf(bytes, "%d-%s-%c-%x-%u", -1, "two", '3', 0x44, 5) == 13);
    CHECK(memcmp(bytes, "-1-two-3-44-5", 14) == 0);
    CHECK(swprintf(units, L"%s %S %wZ %08X %I64d", L"wide", "narrow", &name, 0xBEEF, -5LL) == 28);
    CHECK(same(units, L"wide narrow name 0000BEEF -5", 29));
    CHECK(_snprintf(bytes, 4, "%s", "abcd") == 4 && memcmp(bytes, "abcd", 4) == 0);
    CHECK(_snprintf(bytes, 3, "%s", "wxyz") == -1 && memcmp(bytes, "wxyd", 4) == 0);
    CHECK(_snprintf(bytes, 9, "%d%d%d", 1, 2, 3) == 3 && bytes[3] == 0);
    CHECK(_snwprintf(units, 64, L"%ws|%hs|%5d", L"a", "b", 42) == 9 && same(units, L"a|b|   42", 10));
    CHECK(cch_printf(units, 8, L"%s%d", L"volume", 7) == 7 && same(units, L"volume7", 8));
    CHECK(cch_printf(units, 8, L"%s%d", L"volume", 77) == -1 && same(units, L"volume7", 8));
    CHECK(sprintf_s(bytes, 4, "%d", 123) == 3 && sprintf_s(bytes, 4, "%d", 1234) == -1 && bytes[0] == 0);
    CHECK(swprintf_s(units, 4, L"%d", 123) == 3 && units[3] == 0);
    CHECK(_snprintf_s(bytes, 8, 3, "%d", 12345) == -1 && memcmp(bytes, "123", 4) == 0);
    CHECK(_snprintf_s(bytes, 4, (SIZE_T)-1, "%d%d", 12, 345) == -1 && memcmp(bytes, "123", 4) == 0);
    CHECK(_snwprintf_s(units, 8, 7, L"%d%d", 12, 345) == 5 && same(units, L"12345", 6));
    debug("%s %d\n", "prefixed", 9);
    return 0;
}

/* The C library. */
IMPORT char *strncpy(char *target, const char *source, SIZE_T count);
IMPORT char *strcpy(char *target, const char *source);
IMPORT char *strcat(char *target, const char *source);
IMPORT int strncmp(const char *one, const char *two, SIZE_T count);
IMPORT int _strnicmp(const char *one, const char *two, SIZE_T count);
IMPORT char *strchr(const char *text, int unit);
IMPORT char *strrchr(const char *text, int unit);
IMPORT char *strstr(const char *text, const char *part);
IMPORT int strcpy_s(char *target, SIZE_T room, const char *source);
IMPORT int strncpy_s(char *target, SIZE_T room, const char *source, SIZE_T count);
IMPORT int strcat_s(char *target, SIZE_T room, const char *source);
IMPORT WCHAR *wcscpy(WCHAR *target, const WCHAR *source);
IMPORT WCHAR *wcsncat(WCHAR *target, const WCHAR *source, SIZE_T count);
IMPORT int wcscpy_s(WCHAR *target, SIZE_T room, const WCHAR *source);
IMPORT SIZE_T wcsnlen(const WCHAR *text, SIZE_T count);
IMPORT WCHAR *_wcsupr(WCHAR *text);
IMPORT int atoi(const char *text);
IMPORT unsigned strtoul(const char *text, char **end, int base);
IMPORT int _wtoi(const WCHAR *text);
IMPORT WCHAR *_itow(int value, WCHAR *target, int base);
IMPORT void qsort(void *base, SIZE_T count, SIZE_T width, int (*compare)(const void *, const void *));
IMPORT void *bsearch(const void *key, const void *base, SIZE_T count, SIZE_T width, int (*compare)(const void *, const void *));
IMPORT void *memchr(const void *memory, int byte, SIZE_T size);
IMPORT int memcpy_s(void *target, SIZE_T room, const void *source, SIZE_T count);
IMPORT int toupper(int unit);
IMPORT int isdigit(int unit);
static int order(const void *one, const void *two) { return *(const int *)one - *(const int *)two; }

EXPORT ULONG64 c_library(void)
{
    char bytes[16], *end;
    WCHAR units[16];
    int numbers[40], key = 23;
    for (int index = 0; index < 40; index++)
        numbers[index] = index * 17 % 40;
    CHECK(strncpy(bytes, "abc", 6) == bytes && memcmp(bytes, "abc\0\0\0", 6) == 0);
    CHECK(strcat(strcpy(bytes, "one"), "two") == bytes && memcmp(bytes, "onetwo", 7) == 0);
    CHECK(strncmp("abcd", "abxx", 2) == 0 && strncmp("abcd", "abxx", 3) < 0);
    CHECK(_strnicmp("ABC", "abd", 2) == 0 && strchr(bytes, 't') == bytes + 3);
    CHECK(strrchr(bytes, 'o') == bytes + 5 && strstr(bytes, "et") == bytes + 2 && !strstr(bytes, "x"));
    CHECK(strcpy_s(bytes, 4, "abc") == 0 && strcpy_s(bytes, 3, "abc") == 34 && bytes[0] == 0);
    CHECK(strncpy_s(bytes, 4, "abcdef", 3) == 0 && memcmp(bytes, "abc", 4) == 0);
    CHECK(strncpy_s(bytes, 3, "abcdef", (SIZE_T)-1) == 80 && memcmp(bytes, "ab", 3) == 0);
    CHECK(strcat_s(bytes, 5, "cd") == 0 && strcat_s(bytes, 5, "e") == 34);
    wcscpy(units, L"mixed");
    wcsncat(units, L"Case", 2);
    CHECK(same(units, L"mixedCa", 8) && same(_wcsupr(units), L"MIXEDCA", 8) && wcsnlen(units, 4) == 4);
    CHECK(wcscpy_s(units, 16, L"x") == 0 && units[1] == 0);
    CHECK(atoi(" -42x") == -42 && _wtoi(L"77") == 77);
    CHECK(strtoul("0x1Fg", &end, 0) == 31 && *end == 'g');
    CHECK(strtoul("99999999999", 0, 10) == 0xFFFFFFFF && strtoul("-1", 0, 10) == 0xFFFFFFFF);
    CHECK(same(_itow(-255, units, 16), L"ffffff01", 9) && same(_itow(-7, units, 10), L"-7", 3));
    qsort(numbers, 40, sizeof(int), order);
    for (int index = 0; index < 40; index++)
        CHECK(numbers[index] == index);
    CHECK(bsearch(&key, numbers, 40, sizeof(int), order) == numbers + 23);
    key = 40;
    CHECK(!bsearch(&key, numbers, 40, sizeof(int), order));
    CHECK(memchr("abc", 'c', 3) && !memchr("abc", 'c', 2));
    CHECK(memcpy_s(bytes, 2, "abc", 3) == 34 && bytes[0] == 0 && bytes[1] == 0);
    CHECK(toupper('q') == 'Q' && isdigit('7') && !isdigit('x'));
    return 0;
}

/* Times. */
typedef struct {
    CSHORT Year, Month, Day, Hour, Minute, Second, Milliseconds, Weekday;
} TIME_FIELDS;
IMPORT void RtlTimeToTimeFields(LONGLONG *time, TIME_FIELDS *fields);
IMPORT BOOLEAN RtlTimeFieldsToTime(TIME_FIELDS *fields, LONGLONG *time);
IMPORT BOOLEAN RtlTimeToSecondsSince1970(LONGLONG *time, ULONG *seconds);
IMPORT void RtlSecondsSince1980ToTime(ULONG seconds, LONGLONG *time);
IMPORT ULONG RtlRandomEx(ULONG *seed);
IMPORT NTSTATUS ExUuidCreate(UCHAR *uuid);

EXPORT ULONG64 times(void)
{
    TIME_FIELDS fields = {2024, 2, 29, 12, 34, 56, 789, 0}, again;
    LONGLONG time;
    ULONG seconds, seed = 1;
    UCHAR one[16], two[16];
    CHECK(RtlTimeFieldsToTime(&fields, &time));
    CHECK(RtlTimeToSecondsSince1970(&time, &seconds) && seconds == 1709210096);
    RtlTimeToTimeFields(&time, &again);
    CHECK(memcmp(&fields, &again, 14) == 0 && again.Weekday == 4);
    fields.Month = 13;
    CHECK(!RtlTimeFieldsToTime(&fields, &time));
    RtlSecondsSince1980ToTime(0, &time);
    CHECK(RtlTimeToSecondsSince1970(&time, &seconds) && seconds == 315532800);
    time = 0;
    CHECK(!RtlTimeToSecondsSince1970(&time, &seconds));
    CHECK(RtlRandomEx(&seed) != RtlRandomEx(&seed) && seed < 0x7FFFFFFF);
    CHECK(ExUuidCreate(one) == 0 && ExUuidCreate(two) == 0 && memcmp(one, two, 16) != 0);
    CHECK((one[7] & 0xF0) == 0x40 && (one[8] & 0xC0) == 0x80);
    return 0;
}

/* Names. */
IMPORT BOOLEAN FsRtlIsNameInExpression(UNICODE_STRING *pattern, UNICODE_STRING *name, BOOLEAN ignore, WCHAR *table);
IMPORT BOOLEAN FsRtlDoesNameContainWildCards(UNICODE_STRING *name);
IMPORT BOOLEAN FsRtlAreNamesEqual(UNICODE_STRING *one, UNICODE_STRING *two, BOOLEAN ignore, WCHAR *table);
IMPORT void FsRtlDissectName(UNICODE_STRING path, UNICODE_STRING *first, UNICODE_STRING *rest);
IMPORT BOOLEAN FsRtlIsNtstatusExpected(NTSTATUS status);
IMPORT NTSTATUS FsRtlNormalizeNtstatus(NTSTATUS status, NTSTATUS generic);
IMPORT BOOLEAN FsRtlIsFatDbcsLegal(STRING name, BOOLEAN wildcards, BOOLEAN path, BOOLEAN leading);
IMPORT BOOLEAN RtlIsNameLegalDOS8Dot3(UNICODE_STRING *name, STRING *oem, BOOLEAN *blanks);

static BOOLEAN matches(const WCHAR *pattern, const WCHAR *name, BOOLEAN ignore)
{
    UNICODE_STRING one, two;
    wide(&one, pattern);
    wide(&two, name);
    return FsRtlIsNameInExpression(&one, &two, ignore, 0);
}
static BOOLEAN is_short(const WCHAR *name, char *buffer, BOOLEAN *blanks)
{
    UNICODE_STRING text;
    STRING oem = {0, 12, buffer};
    wide(&text, name);
    return RtlIsNameLegalDOS8Dot3(&text, &oem, blanks);
}
static BOOLEAN is_fat(const char *name, BOOLEAN path, BOOLEAN leading)
{
    STRING text;
    RtlInitString(&text, name);
    return FsRtlIsFatDbcsLegal(text, 0, path, leading);
}

EXPORT ULONG64 names(void)
{
    UNICODE_STRING path, first, rest, other;
    char oem[12];
    BOOLEAN blanks;
    CHECK(matches(L"*.TXT", L"notes.txt", 1) && !matches(L"*.TXT", L"notes.txt", 0));
    CHECK(!matches(L"*.txt", L"notes.txt", 1) && matches(L"*.txt", L"notes.txt", 0));
    CHECK(matches(L"<.TXT", L"a.b.txt", 1) && matches(L"A>>", L"a", 1) && !matches(L"A??", L"a", 1));
    CHECK(matches(L"NAME\"", L"name", 1) && matches(L"*", L"anything", 1));
    CHECK(!matches(L"*", L"", 1) && matches(L"", L"", 1) && !matches(L"", L"x", 1));
    wide(&path, L"\\dir\\sub\\file");
    FsRtlDissectName(path, &first, &rest);
    CHECK(first.Length == 6 && same(first.Buffer, L"dir", 3));
    CHECK(rest.Length == 16 && rest.Buffer == path.Buffer + 5);
    FsRtlDissectName(rest, &first, &rest);
    FsRtlDissectName(rest, &first, &rest);
    CHECK(first.Length == 8 && same(first.Buffer, L"file", 4) && rest.Length == 0);
    wide(&other, L"\\DIR\\SUB\\FILE");
    CHECK(FsRtlAreNamesEqual(&path, &other, 1, 0) && !FsRtlAreNamesEqual(&path, &other, 0, 0));
    CHECK(!FsRtlDoesNameContainWildCards(&path));
    wide(&path, L"a<b");
    CHECK(FsRtlDoesNameContainWildCards(&path));
    CHECK(!FsRtlIsNtstatusExpected(0xC0000005) && FsRtlIsNtstatusExpected(0xC0000022));
    CHECK(FsRtlNormalizeNtstatus(0xC0000005, 0xC00000E9) == (NTSTATUS)0xC00000E9);
    CHECK(FsRtlNormalizeNtstatus(0xC0000022, 0xC00000E9) == (NTSTATUS)0xC0000022);
    CHECK(is_short(L"read me.txt", oem, &blanks) && blanks && memcmp(oem, "READ ME.TXT", 11) == 0);
    CHECK(!is_short(L"longer name.txt", oem, 0) && !is_short(L"a.b.c", oem, 0) && !is_short(L"a+b", oem, 0));
    CHECK(is_fat("FILE.TXT", 0, 0) && !is_fat("\\FILE", 0, 0) && is_fat("\\DIR\\FILE", 1, 1));
    CHECK(!is_fat("DIR\\FILE", 0, 0) && !is_fat("FILE.LONG", 0, 0));
    return 0;
}

/* Locks. */
typedef struct {
    PVOID Next;
    ULONG64 *Lock;
    UCHAR OldIrql;
} LOCK_HANDLE;
typedef struct {
    ULONG64 Words[13];
} RESOURCE;
typedef struct {
    ULONG64 Words[7];
} MUTEX;
IMPORT void KeAcquireInStackQueuedSpinLock(ULONG64 *lock, LOCK_HANDLE *handle);
IMPORT void KeReleaseInStackQueuedSpinLock(LOCK_HANDLE *handle);
IMPORT BOOLEAN KeTestSpinLock(ULONG64 *lock);
IMPORT UCHAR ExAcquireSpinLockShared(LONG *lock);
IMPORT void ExReleaseSpinLockShared(LONG *lock, UCHAR irql);
IMPORT void ExReleaseSpinLockExclusive(LONG *lock, UCHAR irql);
IMPORT ULONG ExTryConvertSharedSpinLockExclusive(LONG *lock);
IMPORT NTSTATUS ExInitializeResourceLite(RESOURCE *resource);
IMPORT NTSTATUS ExDeleteResourceLite(RESOURCE *resource);
IMPORT NTSTATUS ExReinitializeResourceLite(RESOURCE *resource);
IMPORT PVOID ExEnterCriticalRegionAndAcquireResourceExclusive(RESOURCE *resource);
IMPORT void ExReleaseResourceAndLeaveCriticalRegion(RESOURCE *resource);
IMPORT void ExConvertExclusiveToSharedLite(RESOURCE *resource);
IMPORT BOOLEAN ExIsResourceAcquiredExclusiveLite(RESOURCE *resource);
IMPORT ULONG ExIsResourceAcquiredSharedLite(RESOURCE *resource);
IMPORT BOOLEAN ExAcquireSharedStarveExclusive(RESOURCE *resource, BOOLEAN wait);
IMPORT BOOLEAN ExAcquireResourceExclusiveLite(RESOURCE *resource, BOOLEAN wait);
IMPORT void ExReleaseResourceLite(RESOURCE *resource);
IMPORT void ExSetResourceOwnerPointer(RESOURCE *resource, PVOID owner);
IMPORT void ExReleaseResourceForThreadLite(RESOURCE *resource, ULONG64 thread);
IMPORT BOOLEAN ExTryToAcquireFastMutex(MUTEX *mutex);
IMPORT void ExReleaseFastMutex(MUTEX *mutex);
IMPORT void ExAcquirePushLockExclusiveEx(ULONG64 *lock, ULONG flags);
IMPORT void ExReleasePushLockExclusiveEx(ULONG64 *lock, ULONG flags);
IMPORT LIST *ExInterlockedInsertHeadList(LIST *head, LIST *entry, ULONG64 *lock);
IMPORT LIST *ExInterlockedInsertTailList(LIST *head, LIST *entry, ULONG64 *lock);
IMPORT LIST *ExInterlockedRemoveHeadList(LIST *head, ULONG64 *lock);
IMPORT ULONG ExInterlockedAddUlong(ULONG *number, ULONG more, ULONG64 *lock);

EXPORT ULONG64 locks(void)
{
    ULONG64 lock = 0, push = 0;
    LOCK_HANDLE handle;
    LONG shared = 0;
    UCHAR irql;
    RESOURCE resource;
    MUTEX mutex = {{1}};
    LIST head = {&head, &head}, one, two;
    ULONG number = 5;
    KeAcquireInStackQueuedSpinLock(&lock, &handle);
    CHECK(KeGetCurrentIrql() == 2 && !KeTestSpinLock(&lock));
    KeReleaseInStackQueuedSpinLock(&handle);
    CHECK(KeGetCurrentIrql() == 0 && KeTestSpinLock(&lock));
    irql = ExAcquireSpinLockShared(&shared);
    CHECK(irql == 0 && KeGetCurrentIrql() == 2 && ExTryConvertSharedSpinLockExclusive(&shared));
    ExReleaseSpinLockExclusive(&shared, irql);
    irql = ExAcquireSpinLockShared(&shared);
    ExReleaseSpinLockShared(&shared, irql);
    CHECK(KeGetCurrentIrql() == 0);
    ExInitializeResourceLite(&resource);
    ExEnterCriticalRegionAndAcquireResourceExclusive(&resource);
    CHECK(ExIsResourceAcquiredExclusiveLite(&resource));
    ExConvertExclusiveToSharedLite(&resource);
    CHECK(!ExIsResourceAcquiredExclusiveLite(&resource) && ExIsResourceAcquiredSharedLite(&resource) == 1);
    CHECK(ExAcquireSharedStarveExclusive(&resource, 0) && ExIsResourceAcquiredSharedLite(&resource) == 2);
    ExReleaseResourceLite(&resource);
    ExReleaseResourceAndLeaveCriticalRegion(&resource);
    CHECK(ExAcquireResourceExclusiveLite(&resource, 1));
    ExSetResourceOwnerPointer(&resource, (PVOID)((ULONG64)&resource | 3));
    CHECK(!ExIsResourceAcquiredExclusiveLite(&resource) && !ExAcquireResourceExclusiveLite(&resource, 0));
    ExReleaseResourceForThreadLite(&resource, (ULONG64)&resource | 3);
    CHECK(ExAcquireResourceExclusiveLite(&resource, 0));
    ExReleaseResourceLite(&resource);
    CHECK(ExReinitializeResourceLite(&resource) == 0 && ExDeleteResourceLite(&resource) == 0);
    CHECK(ExTryToAcquireFastMutex(&mutex) && KeGetCurrentIrql() == 1);
    ExReleaseFastMutex(&mutex);
    CHECK(KeGetCurrentIrql() == 0);
    ExAcquirePushLockExclusiveEx(&push, 0);
    ExReleasePushLockExclusiveEx(&push, 0);
    CHECK(!ExInterlockedInsertTailList(&head, &one, &lock) && ExInterlockedInsertHeadList(&head, &two, &lock) == &one);
    CHECK(ExInterlockedRemoveHeadList(&head, &lock) == &two && ExInterlockedRemoveHeadList(&head, &lock) == &one);
    CHECK(!ExInterlockedRemoveHeadList(&head, &lock) && head.Flink == &head);
    CHECK(ExInterlockedAddUlong(&number, 3, &lock) == 5 && number == 8);
    return 0;
}

/* Run-down protection and initialising once. */
IMPORT void ExInitializeRundownProtection(ULONG64 *at);
IMPORT BOOLEAN ExAcquireRundownProtection(ULONG64 *at);
IMPORT BOOLEAN ExAcquireRundownProtectionEx(ULONG64 *at, ULONG count);
IMPORT void ExReleaseRundownProtection(ULONG64 *at);
IMPORT void ExReleaseRundownProtectionEx(ULONG64 *at, ULONG count);
IMPORT void ExWaitForRundownProtectionRelease(ULONG64 *at);
IMPORT void ExRundownCompleted(ULONG64 *at);
IMPORT void ExReInitializeRundownProtection(ULONG64 *at);
IMPORT PVOID ExAllocateCacheAwareRundownProtection(ULONG pool, ULONG tag);
IMPORT void ExFreeCacheAwareRundownProtection(PVOID at);
IMPORT BOOLEAN ExAcquireRundownProtectionCacheAware(PVOID at);
IMPORT void ExReleaseRundownProtectionCacheAware(PVOID at);
IMPORT void ExWaitForRundownProtectionReleaseCacheAware(PVOID at);
IMPORT void RtlRunOnceInitialize(ULONG64 *once);
IMPORT NTSTATUS RtlRunOnceExecuteOnce(ULONG64 *once, PVOID routine, PVOID parameter, ULONG64 *context);
IMPORT NTSTATUS RtlRunOnceBeginInitialize(ULONG64 *once, ULONG flags, ULONG64 *context);
IMPORT NTSTATUS RtlRunOnceComplete(ULONG64 *once, ULONG flags, ULONG64 context);
static ULONG initialise_once(ULONG64 *once, ULONG *runs, ULONG64 *context)
{
    *context = 0x1000;
    return ++*runs > 1;
}

EXPORT ULONG64 rundown(void)
{
    ULONG64 protection, once, context;
    ULONG runs = 0;
    PVOID aware;
    ExInitializeRundownProtection(&protection);
    CHECK(ExAcquireRundownProtection(&protection) && ExAcquireRundownProtectionEx(&protection, 2));
    CHECK(protection == 6);
    ExReleaseRundownProtection(&protection);
    ExReleaseRundownProtectionEx(&protection, 2);
    ExWaitForRundownProtectionRelease(&protection);
    CHECK(!ExAcquireRundownProtection(&protection));
    ExRundownCompleted(&protection);
    ExReInitializeRundownProtection(&protection);
    CHECK(ExAcquireRundownProtection(&protection));
    ExReleaseRundownProtection(&protection);
    aware = ExAllocateCacheAwareRundownProtection(512, 0x6E777552);
    CHECK(aware && ExAcquireRundownProtectionCacheAware(aware));
    ExReleaseRundownProtectionCacheAware(aware);
    ExWaitForRundownProtectionReleaseCacheAware(aware);
    CHECK(!ExAcquireRundownProtectionCacheAware(aware));
    ExFreeCacheAwareRundownProtection(aware);
    RtlRunOnceInitialize(&once);
    CHECK(RtlRunOnceBeginInitialize(&once, 1, &context) == (NTSTATUS)0xC0000001);
    CHECK(RtlRunOnceExecuteOnce(&once, initialise_once, &runs, &context) == (NTSTATUS)0xC0000001);
    CHECK(RtlRunOnceExecuteOnce(&once, initialise_once, &runs, &context) == 0 && context == 0x1000);
    context = 0;
    CHECK(RtlRunOnceExecuteOnce(&once, initialise_once, &runs, &context) == 0 && context == 0x1000 && runs == 2);
    RtlRunOnceInitialize(&once);
    CHECK(RtlRunOnceBeginInitialize(&once, 2, &context) == 0x103 && RtlRunOnceBeginInitialize(&once, 2, &context) == 0x103);
    CHECK(RtlRunOnceComplete(&once, 2, 0x20) == 0 && RtlRunOnceComplete(&once, 2, 0x40) == (NTSTATUS)0xC0000035);
    CHECK(RtlRunOnceBeginInitialize(&once, 0, &context) == 0 && context == 0x20);
    return 0;
}
/* One release too many. */
EXPORT ULONG64 rundown_underflow(void)
{
    ULONG64 protection;
    ExInitializeRundownProtection(&protection);
    ExReleaseRundownProtection(&protection);
    return protection;
}
/* For another thread, which waits. */
EXPORT ULONG64 rundown_acquire(ULONG64 *protection) { return ExAcquireRundownProtection(protection); }
EXPORT void rundown_release(ULONG64 *protection) { ExReleaseRundownProtection(protection); }
EXPORT void rundown_wait(ULONG64 *protection) { ExWaitForRundownProtectionRelease(protection); }

/* Security. */
typedef struct {
    UCHAR Revision, Count, Authority[6];
    ULONG SubAuthority[4];
} SID;
typedef struct {
    UCHAR Revision, Sbz1;
    USHORT AclSize, AceCount, Sbz2;
} ACL;
typedef struct {
    UCHAR Type, Flags;
    USHORT Size;
    ULONG Mask, SidStart;
} ACE;
typedef struct {
    UCHAR Revision, Sbz1;
    USHORT Control;
    SID *Owner, *Group;
    ACL *Sacl, *Dacl;
} DESCRIPTOR;
IMPORT NTSTATUS RtlInitializeSid(SID *sid, const UCHAR *authority, UCHAR count);
IMPORT ULONG *RtlSubAuthoritySid(SID *sid, ULONG index);
IMPORT ULONG RtlLengthSid(SID *sid);
IMPORT ULONG RtlLengthRequiredSid(ULONG count);
IMPORT BOOLEAN RtlEqualSid(SID *one, SID *two);
IMPORT BOOLEAN RtlValidSid(SID *sid);
IMPORT NTSTATUS RtlCopySid(ULONG room, SID *target, SID *source);
IMPORT NTSTATUS RtlConvertSidToUnicodeString(UNICODE_STRING *target, SID *sid, BOOLEAN allocate);
IMPORT NTSTATUS RtlCreateAcl(ACL *acl, ULONG size, ULONG revision);
IMPORT NTSTATUS RtlAddAccessAllowedAce(ACL *acl, ULONG revision, ULONG mask, SID *sid);
IMPORT NTSTATUS RtlAddAce(ACL *acl, ULONG revision, ULONG index, PVOID entries, ULONG length);
IMPORT NTSTATUS RtlGetAce(ACL *acl, ULONG index, ACE **ace);
IMPORT NTSTATUS RtlDeleteAce(ACL *acl, ULONG index);
IMPORT NTSTATUS RtlCreateSecurityDescriptor(DESCRIPTOR *descriptor, ULONG revision);
IMPORT NTSTATUS RtlSetDaclSecurityDescriptor(DESCRIPTOR *descriptor, BOOLEAN present, ACL *acl, BOOLEAN defaulted);
IMPORT NTSTATUS RtlSetOwnerSecurityDescriptor(DESCRIPTOR *descriptor, SID *owner, BOOLEAN defaulted);
IMPORT NTSTATUS RtlGetDaclSecurityDescriptor(PVOID descriptor, BOOLEAN *present, ACL **acl, BOOLEAN *defaulted);
IMPORT NTSTATUS RtlGetOwnerSecurityDescriptor(PVOID descriptor, SID **owner, BOOLEAN *defaulted);
IMPORT BOOLEAN RtlValidSecurityDescriptor(PVOID descriptor);
IMPORT ULONG RtlLengthSecurityDescriptor(PVOID descriptor);
IMPORT NTSTATUS RtlAbsoluteToSelfRelativeSD(PVOID descriptor, PVOID target, ULONG *size);
IMPORT NTSTATUS RtlSelfRelativeToAbsoluteSD(PVOID relative, DESCRIPTOR *target, ULONG *size, ACL *dacl, ULONG *dacl_size,
                                            ACL *sacl, ULONG *sacl_size, SID *owner, ULONG *owner_size, SID *group, ULONG *group_size);
IMPORT void RtlMapGenericMask(ULONG *mask, const ULONG *mapping);

EXPORT ULONG64 security(void)
{
    static const UCHAR nt[6] = {0, 0, 0, 0, 0, 5};
    static const ULONG mapping[4] = {0x120089, 0x120116, 0x1200A0, 0x1F01FF};
    SID admins, system, copy, *owner;
    ULONG buffer[32], relative[64], size, mask, sizes[4];
    ACL *acl = (ACL *)buffer, *dacl;
    ACE *ace;
    DESCRIPTOR descriptor, absolute;
    UNICODE_STRING text;
    BOOLEAN present, defaulted;
    CHECK(RtlInitializeSid(&admins, nt, 2) == 0 && RtlInitializeSid(&system, nt, 1) == 0);
    *RtlSubAuthoritySid(&admins, 0) = 32;
    *RtlSubAuthoritySid(&admins, 1) = 544;
    *RtlSubAuthoritySid(&system, 0) = 18;
    CHECK(RtlLengthSid(&admins) == 16 && RtlLengthRequiredSid(1) == 12 && RtlValidSid(&admins));
    CHECK(RtlCopySid(15, &copy, &admins) == (NTSTATUS)0xC0000023);
    CHECK(RtlCopySid(16, &copy, &admins) == 0 && RtlEqualSid(&copy, &admins) && !RtlEqualSid(&copy, &system));
    CHECK(RtlConvertSidToUnicodeString(&text, &admins, 1) == 0 && text.Length == 24);
    CHECK(same(text.Buffer, L"S-1-5-32-544", 13));
    RtlFreeUnicodeString(&text);
    CHECK(RtlCreateAcl(acl, sizeof(buffer), 2) == 0 && acl->AclSize == 128 && acl->AceCount == 0);
    CHECK(RtlAddAccessAllowedAce(acl, 2, 0x1F01FF, &admins) == 0 && acl->AceCount == 1);
    CHECK(RtlAddAccessAllowedAce(acl, 2, 0x120089, &system) == 0);
    CHECK(RtlGetAce(acl, 1, &ace) == 0 && ace->Size == 20 && ace->Mask == 0x120089);
    CHECK(RtlEqualSid((SID *)&ace->SidStart, &system) && RtlGetAce(acl, 2, &ace) == (NTSTATUS)0xC000000D);
    CHECK(RtlGetAce(acl, 0, &ace) == 0 && RtlAddAce(acl, 2, 0xFFFFFFFF, ace, 24) == 0 && acl->AceCount == 3);
    CHECK(RtlDeleteAce(acl, 0) == 0 && acl->AceCount == 2 && RtlGetAce(acl, 0, &ace) == 0 && ace->Mask == 0x120089);
    CHECK(RtlCreateSecurityDescriptor(&descriptor, 2) == (NTSTATUS)0xC0000058);
    CHECK(RtlCreateSecurityDescriptor(&descriptor, 1) == 0 && descriptor.Control == 0);
    CHECK(RtlGetDaclSecurityDescriptor(&descriptor, &present, &dacl, &defaulted) == 0 && !present);
    CHECK(RtlSetDaclSecurityDescriptor(&descriptor, 1, acl, 0) == 0 && descriptor.Control == 4 && descriptor.Dacl == acl);
    CHECK(RtlSetOwnerSecurityDescriptor(&descriptor, &admins, 1) == 0 && descriptor.Control == 5);
    CHECK(RtlValidSecurityDescriptor(&descriptor));
    size = 0;
    CHECK(RtlAbsoluteToSelfRelativeSD(&descriptor, relative, &size) == (NTSTATUS)0xC0000023 && size == 20 + 128 + 16);
    CHECK(RtlAbsoluteToSelfRelativeSD(&descriptor, relative, &size) == 0);
    CHECK(RtlLengthSecurityDescriptor(relative) == size && RtlValidSecurityDescriptor(relative));
    CHECK(RtlGetOwnerSecurityDescriptor(relative, &owner, &defaulted) == 0 && defaulted && RtlEqualSid(owner, &admins));
    CHECK(RtlGetDaclSecurityDescriptor(relative, &present, &dacl, &defaulted) == 0 && present && dacl->AceCount == 2);
    size = sizeof(absolute);
    sizes[0] = sizeof(buffer);
    sizes[1] = sizes[3] = 0;
    sizes[2] = sizeof(copy);
    CHECK(RtlSelfRelativeToAbsoluteSD(relative, &absolute, &size, acl, &sizes[0], 0, &sizes[1], &copy, &sizes[2], 0, &sizes[3]) == 0);
    CHECK(absolute.Owner == &copy && absolute.Dacl == acl && !absolute.Group && absolute.Control == 5);
    mask = 0x80000001;
    RtlMapGenericMask(&mask, mapping);
    CHECK(mask == 0x120089);
    return 0;
}

/* Versions, processors, pool, and the stack. */
IMPORT ULONG64 VerSetConditionMask(ULONG64 mask, ULONG type, UCHAR condition);
IMPORT NTSTATUS RtlVerifyVersionInfo(PVOID version, ULONG type, ULONG64 mask);
IMPORT NTSTATUS RtlGetVersion(PVOID version);
IMPORT BOOLEAN RtlIsNtDdiVersionAvailable(ULONG version);
IMPORT ULONG KeQueryActiveProcessorCountEx(USHORT group);
IMPORT BOOLEAN MmIsAddressValid(PVOID address);
IMPORT PVOID ExAllocatePoolWithQuotaTag(ULONG type, SIZE_T size, ULONG tag);
IMPORT PVOID ExAllocatePool3(ULONG64 flags, SIZE_T size, ULONG tag, PVOID parameters, ULONG count);
IMPORT void ExFreePool2(PVOID memory, ULONG tag, PVOID parameters, ULONG count);
IMPORT USHORT RtlCaptureStackBackTrace(ULONG skip, ULONG count, PVOID *trace, ULONG *hash);

EXPORT ULONG64 system(void)
{
    ULONG version[71] = {284, 10, 0};
    ULONG64 mask = VerSetConditionMask(VerSetConditionMask(0, 2, 3), 1, 3);
    UCHAR *memory;
    CHECK(mask == (3 << 3 | 3) && RtlVerifyVersionInfo(version, 3, mask) == 0);
    CHECK(RtlGetVersion(version) == 0 && version[3] == 22631 && ((UCHAR *)version)[282] == 1);
    version[1] = 11;
    CHECK(RtlVerifyVersionInfo(version, 3, mask) == (NTSTATUS)0xC0000059);
    CHECK(RtlIsNtDdiVersionAvailable(0x06010000) && !RtlIsNtDdiVersionAvailable(0x0B000000));
    CHECK(KeQueryActiveProcessorCountEx(0xFFFF) == 1);
    CHECK(MmIsAddressValid(version) && !MmIsAddressValid((PVOID)0x10));
    memory = ExAllocatePoolWithQuotaTag(1 | 8, 16, 0x61746F51);
    CHECK(memory);
    ExFreePool2(memory, 0x61746F51, 0, 0);
    memory = ExAllocatePool3(0x40, 16, 0x6C6F6F50, 0, 0);
    CHECK(memory && memory[0] == 0 && memory[15] == 0);
    ExFreePool2(memory, 0x6C6F6F50, 0, 0);
    return 0;
}
/* Nothing is left of the pool: the quota function raises. */
EXPORT LONG pool_raises(void)
{
    LONG code = 0;
    __try {
        ExAllocatePoolWithQuotaTag(1, 16, 0x61746F51);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        code = GetExceptionCode();
    }
    return code;
}
NOINLINE static USHORT inner_frame(PVOID *trace)
{
    USHORT count = RtlCaptureStackBackTrace(0, 8, trace, 0);
    trace[7] = 0;
    return count;
}
NOINLINE static USHORT outer_frame(PVOID *trace)
{
    USHORT count = inner_frame(trace);
    trace[6] = 0;
    return count;
}
EXPORT ULONG64 backtrace(void)
{
    PVOID trace[8];
    USHORT count = outer_frame(trace);
    CHECK(count == 3);
    CHECK((UCHAR *)trace[0] > (UCHAR *)inner_frame && (UCHAR *)trace[0] < (UCHAR *)inner_frame + 256);
    CHECK((UCHAR *)trace[1] > (UCHAR *)outer_frame && (UCHAR *)trace[1] < (UCHAR *)outer_frame + 256);
    CHECK((UCHAR *)trace[2] > (UCHAR *)backtrace);
    return 0;
}

IMPORT void DbgBreakPoint(void);
EXPORT LONG break_point(void)
{
    LONG code = 0;
    __try {
        DbgBreakPoint();
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        code = GetExceptionCode();
    }
    return code;
}
/* The identifier of the administrators is the 35th member. */
extern PVOID **SeExports;
EXPORT ULONG64 well_known(void)
{
    SID *admins = (*SeExports)[34];
    CHECK(RtlValidSid(admins) && admins->Count == 2 && admins->SubAuthority[1] == 544);
    return 0;
}

/* Dynamic hash tables. */
typedef struct {
    LIST Linkage;
    ULONG64 Signature;
} HASH_ENTRY;
typedef struct {
    LIST *ChainHead, *PrevLinkage;
    ULONG64 Signature;
} HASH_CONTEXT;
typedef struct {
    HASH_ENTRY HashEntry;
    LIST *ChainHead;
    ULONG BucketIndex;
} HASH_ENUMERATOR;
typedef struct {
    ULONG Flags, Shift, TableSize, Pivot, DivisorMask, NumEntries, NonEmptyBuckets, NumEnumerators;
    PVOID Directory;
} HASH_TABLE;
IMPORT BOOLEAN RtlCreateHashTable(HASH_TABLE **table, ULONG shift, ULONG flags);
IMPORT void RtlDeleteHashTable(HASH_TABLE *table);
IMPORT BOOLEAN RtlInsertEntryHashTable(HASH_TABLE *table, HASH_ENTRY *entry, ULONG64 signature, HASH_CONTEXT *context);
IMPORT BOOLEAN RtlRemoveEntryHashTable(HASH_TABLE *table, HASH_ENTRY *entry, HASH_CONTEXT *context);
IMPORT HASH_ENTRY *RtlLookupEntryHashTable(HASH_TABLE *table, ULONG64 signature, HASH_CONTEXT *context);
IMPORT HASH_ENTRY *RtlGetNextEntryHashTable(HASH_TABLE *table, HASH_CONTEXT *context);
IMPORT BOOLEAN RtlInitEnumerationHashTable(HASH_TABLE *table, HASH_ENUMERATOR *enumerator);
IMPORT HASH_ENTRY *RtlEnumerateEntryHashTable(HASH_TABLE *table, HASH_ENUMERATOR *enumerator);
IMPORT void RtlEndEnumerationHashTable(HASH_TABLE *table, HASH_ENUMERATOR *enumerator);

EXPORT ULONG64 hash_tables(void)
{
    static HASH_ENTRY entries[300];
    HASH_TABLE *table = 0;
    HASH_CONTEXT context = {0, 0, 0};
    HASH_ENUMERATOR enumerator;
    HASH_ENTRY *found;
    ULONG index, count = 0;
    CHECK(RtlCreateHashTable(&table, 0, 0) && table && table->Flags == 1 && table->NumEntries == 0);
    /* Three entries to each signature; that of 0 is reserved and changed. */
    for (index = 0; index < 300; index++)
        CHECK(RtlInsertEntryHashTable(table, &entries[index], index / 3 * 2, 0));
    CHECK(table->NumEntries == 300 && table->NonEmptyBuckets > 20 && entries[0].Signature == 1);
    for (index = 0; index < 100; index++) {
        count = 0;
        for (found = RtlLookupEntryHashTable(table, index * 2, &context); found;
             found = RtlGetNextEntryHashTable(table, &context)) {
            CHECK((ULONG)(found - entries) / 3 == index);
            count++;
        }
        CHECK(count == 3);
    }
    CHECK(!RtlLookupEntryHashTable(table, 777, &context));
    CHECK(RtlInitEnumerationHashTable(table, &enumerator) && table->NumEnumerators == 1);
    count = 0;
    while ((found = RtlEnumerateEntryHashTable(table, &enumerator))) {
        count++;
        if (count % 2)
            CHECK(RtlRemoveEntryHashTable(table, found, 0));
    }
    RtlEndEnumerationHashTable(table, &enumerator);
    CHECK(count == 300 && table->NumEntries == 150 && table->NumEnumerators == 0);
    RtlInitEnumerationHashTable(table, &enumerator);
    while ((found = RtlEnumerateEntryHashTable(table, &enumerator)))
        CHECK(RtlRemoveEntryHashTable(table, found, 0));
    RtlEndEnumerationHashTable(table, &enumerator);
    CHECK(table->NumEntries == 0 && table->NonEmptyBuckets == 0);
    RtlDeleteHashTable(table);
    return 0;
}
