/*
 * A driver that uses the registry through every routine there is. The structures are declared here
 * from their documentation. Each exported function does one thing and returns the line of the first
 * check that fails, or 0. build.sh makes registry.sys of it.
 */
#include "kernel.h"

typedef PVOID HANDLE;

typedef struct {
    ULONG Length;
    HANDLE RootDirectory;
    UNICODE_STRING *ObjectName;
    ULONG Attributes;
    PVOID SecurityDescriptor;
    PVOID SecurityQualityOfService;
} OBJECT_ATTRIBUTES;

typedef struct {
    ULONG TitleIndex, Type, NameLength;
    WCHAR Name[1];
} KEY_VALUE_BASIC_INFORMATION;
typedef struct {
    ULONG TitleIndex, Type, DataOffset, DataLength, NameLength;
    WCHAR Name[1];
} KEY_VALUE_FULL_INFORMATION;
typedef struct {
    ULONG TitleIndex, Type, DataLength;
    UCHAR Data[1];
} KEY_VALUE_PARTIAL_INFORMATION;
typedef struct {
    ULONG Type, DataLength;
    UCHAR Data[1];
} KEY_VALUE_PARTIAL_INFORMATION_ALIGN64;
enum { ValueBasic, ValueFull, ValuePartial, ValueFullAlign64, ValuePartialAlign64 };

typedef struct {
    LONGLONG LastWriteTime;
    ULONG TitleIndex, NameLength;
    WCHAR Name[1];
} KEY_BASIC_INFORMATION;
typedef struct {
    LONGLONG LastWriteTime;
    ULONG TitleIndex, ClassOffset, ClassLength, NameLength;
    WCHAR Name[1];
} KEY_NODE_INFORMATION;
typedef struct {
    LONGLONG LastWriteTime;
    ULONG TitleIndex, ClassOffset, ClassLength, SubKeys, MaxNameLen, MaxClassLen, Values,
        MaxValueNameLen, MaxValueDataLen;
    WCHAR Class[1];
} KEY_FULL_INFORMATION;
typedef struct {
    ULONG NameLength;
    WCHAR Name[1];
} KEY_NAME_INFORMATION;
typedef struct {
    LONGLONG LastWriteTime;
    ULONG TitleIndex, SubKeys, MaxNameLen, Values, MaxValueNameLen, MaxValueDataLen, NameLength;
} KEY_CACHED_INFORMATION;
enum { KeyBasic, KeyNode, KeyFull, KeyName, KeyCached, KeyFlags };

typedef NTSTATUS QUERY_ROUTINE(WCHAR *name, ULONG type, PVOID data, ULONG length, PVOID context,
                               PVOID entry);
typedef struct {
    QUERY_ROUTINE *QueryRoutine;
    ULONG Flags;
    WCHAR *Name;
    PVOID EntryContext;
    ULONG DefaultType;
    PVOID DefaultData;
    ULONG DefaultLength;
} RTL_QUERY_REGISTRY_TABLE;

#define QUERY_SUBKEY 1
#define QUERY_TOPKEY 2
#define QUERY_REQUIRED 4
#define QUERY_NOVALUE 8
#define QUERY_NOEXPAND 0x10
#define QUERY_DIRECT 0x20
#define QUERY_DELETE 0x40
#define QUERY_TYPECHECK 0x100
#define RELATIVE_ABSOLUTE 0
#define RELATIVE_SERVICES 1
#define RELATIVE_USER 5
#define RELATIVE_HANDLE 0x40000000
#define RELATIVE_OPTIONAL 0x80000000

#define REG_SZ 1
#define REG_EXPAND_SZ 2
#define REG_BINARY 3
#define REG_DWORD 4
#define REG_MULTI_SZ 7

#define KEY_READ 0x20019
#define KEY_ALL_ACCESS 0xF003F
#define OBJ_CASE_INSENSITIVE 0x40
#define OBJ_KERNEL_HANDLE 0x200

#define BUFFER_OVERFLOW ((NTSTATUS)0x80000005)
#define NO_MORE_ENTRIES ((NTSTATUS)0x8000001A)
#define INVALID_HANDLE ((NTSTATUS)0xC0000008)
#define INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define BUFFER_TOO_SMALL ((NTSTATUS)0xC0000023)
#define TYPE_MISMATCH ((NTSTATUS)0xC0000024)
#define NAME_NOT_FOUND ((NTSTATUS)0xC0000034)
#define PATH_SYNTAX_BAD ((NTSTATUS)0xC000003B)
#define CANNOT_DELETE ((NTSTATUS)0xC0000121)
#define KEY_DELETED ((NTSTATUS)0xC000017C)
#define MUST_BE_VOLATILE ((NTSTATUS)0xC0000181)

IMPORT NTSTATUS ZwClose(HANDLE handle);
IMPORT NTSTATUS ZwOpenKey(HANDLE *key, ULONG access, OBJECT_ATTRIBUTES *attributes);
IMPORT NTSTATUS ZwOpenKeyEx(HANDLE *key, ULONG access, OBJECT_ATTRIBUTES *attributes, ULONG options);
IMPORT NTSTATUS ZwCreateKey(HANDLE *key, ULONG access, OBJECT_ATTRIBUTES *attributes, ULONG title,
                            UNICODE_STRING *class, ULONG options, ULONG *disposition);
IMPORT NTSTATUS ZwDeleteKey(HANDLE key);
IMPORT NTSTATUS ZwFlushKey(HANDLE key);
IMPORT NTSTATUS ZwQueryKey(HANDLE key, int class, PVOID buffer, ULONG length, ULONG *result);
IMPORT NTSTATUS ZwEnumerateKey(HANDLE key, ULONG index, int class, PVOID buffer, ULONG length,
                               ULONG *result);
IMPORT NTSTATUS ZwQueryValueKey(HANDLE key, UNICODE_STRING *name, int class, PVOID buffer,
                                ULONG length, ULONG *result);
IMPORT NTSTATUS ZwEnumerateValueKey(HANDLE key, ULONG index, int class, PVOID buffer, ULONG length,
                                    ULONG *result);
IMPORT NTSTATUS ZwSetValueKey(HANDLE key, UNICODE_STRING *name, ULONG title, ULONG type, PVOID data,
                              ULONG length);
IMPORT NTSTATUS ZwDeleteValueKey(HANDLE key, UNICODE_STRING *name);
IMPORT NTSTATUS IoOpenDriverRegistryKey(PVOID driver, int type, ULONG access, ULONG flags,
                                        HANDLE *key);
IMPORT NTSTATUS RtlQueryRegistryValues(ULONG relative, const WCHAR *path,
                                       RTL_QUERY_REGISTRY_TABLE *table, PVOID context, PVOID none);
IMPORT NTSTATUS RtlQueryRegistryValuesEx(ULONG relative, const WCHAR *path,
                                         RTL_QUERY_REGISTRY_TABLE *table, PVOID context, PVOID none);
IMPORT NTSTATUS RtlWriteRegistryValue(ULONG relative, const WCHAR *path, const WCHAR *name,
                                      ULONG type, PVOID data, ULONG length);
IMPORT NTSTATUS RtlDeleteRegistryValue(ULONG relative, const WCHAR *path, const WCHAR *name);
IMPORT NTSTATUS RtlCheckRegistryKey(ULONG relative, const WCHAR *path);
IMPORT NTSTATUS RtlCreateRegistryKey(ULONG relative, const WCHAR *path);
IMPORT void ExFreePoolWithTag(PVOID memory, ULONG tag);

IMPORT NTSTATUS FltRegisterFilter(PVOID driver, const void *registration, PVOID *filter);
IMPORT NTSTATUS FltStartFiltering(PVOID filter);
IMPORT void FltUnregisterFilter(PVOID filter);

#define CHECK(what) \
    if (!(what))    \
    return __LINE__
#define TEXT(text) {sizeof text - 2, sizeof text, text}
#define KEY L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\registry"

static PVOID filter;
static PVOID own_driver;
static UNICODE_STRING *own_path;
static union {
    LONGLONG Alignment;
    UCHAR Bytes[256];
    KEY_VALUE_BASIC_INFORMATION Basic;
    KEY_VALUE_FULL_INFORMATION Full;
    KEY_VALUE_PARTIAL_INFORMATION Partial;
    KEY_VALUE_PARTIAL_INFORMATION_ALIGN64 Partial64;
    KEY_BASIC_INFORMATION KeyBasic;
    KEY_NODE_INFORMATION KeyNode;
    KEY_FULL_INFORMATION KeyFull;
    KEY_NAME_INFORMATION KeyName;
    KEY_CACHED_INFORMATION KeyCached;
} buffer;
static ULONG length;

static int same(const WCHAR *one, const WCHAR *two, ULONG bytes)
{
    ULONG index;
    for (index = 0; index < bytes / 2; index++)
        if (one[index] != two[index])
            return 0;
    return 1;
}

static void attributes(OBJECT_ATTRIBUTES *target, HANDLE root, UNICODE_STRING *name)
{
    target->Length = sizeof *target;
    target->RootDirectory = root;
    target->ObjectName = name;
    target->Attributes = OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE;
    target->SecurityDescriptor = 0;
    target->SecurityQualityOfService = 0;
}

static NTSTATUS open(HANDLE *key, HANDLE root, UNICODE_STRING *name)
{
    OBJECT_ATTRIBUTES where;
    attributes(&where, root, name);
    *key = 0;
    return ZwOpenKey(key, KEY_ALL_ACCESS, &where);
}

static NTSTATUS create(HANDLE *key, HANDLE root, UNICODE_STRING *name, ULONG options, ULONG *made)
{
    UNICODE_STRING class = TEXT(L"class");
    OBJECT_ATTRIBUTES where;
    attributes(&where, root, name);
    *key = 0;
    return ZwCreateKey(key, KEY_ALL_ACCESS, &where, 0, &class, options, made);
}

/* Reads a number of Parameters, as drivers do. */
EXPORT LONG parameters(void)
{
    UNICODE_STRING name = TEXT(L"parameters"), limit = TEXT(L"LIMIT"), other = TEXT(L"Other");
    HANDLE service, key;
    CHECK(open(&service, 0, own_path) == STATUS_SUCCESS);
    CHECK(open(&key, service, &name) == STATUS_SUCCESS);
    CHECK(ZwQueryValueKey(key, &limit, ValuePartial, &buffer, sizeof buffer, &length) == 0);
    CHECK(length == 16 && buffer.Partial.Type == REG_DWORD && buffer.Partial.DataLength == 4);
    CHECK(*(ULONG *)buffer.Partial.Data == 77);
    CHECK(ZwQueryValueKey(key, &limit, ValuePartialAlign64, &buffer, sizeof buffer, &length) == 0);
    CHECK(length == 12 && *(ULONG *)buffer.Partial64.Data == 77);
    CHECK(ZwQueryValueKey(key, &limit, ValueBasic, &buffer, sizeof buffer, &length) == 0);
    CHECK(length == 22 && buffer.Basic.NameLength == 10 && same(buffer.Basic.Name, L"Limit", 10));
    CHECK(ZwQueryValueKey(key, &limit, ValueFull, &buffer, sizeof buffer, &length) == 0);
    CHECK(length == 36 && buffer.Full.DataOffset == 32 && buffer.Full.NameLength == 10);
    CHECK(*(ULONG *)(buffer.Bytes + buffer.Full.DataOffset) == 77);
    CHECK(ZwQueryValueKey(key, &limit, ValueFullAlign64, &buffer, sizeof buffer, &length) == 0);
    CHECK(buffer.Full.DataOffset == 32 && buffer.Full.DataLength == 4);
    CHECK(ZwQueryValueKey(key, &limit, 17, &buffer, sizeof buffer, &length) == INVALID_PARAMETER);
    CHECK(ZwQueryValueKey(key, &limit, ValuePartial, 0, 0, &length) == BUFFER_TOO_SMALL);
    CHECK(length == 16);
    buffer.Bytes[14] = 0xEE;
    CHECK(ZwQueryValueKey(key, &limit, ValuePartial, &buffer, 14, &length) == BUFFER_OVERFLOW);
    CHECK(length == 16 && buffer.Partial.Data[0] == 77 && buffer.Bytes[14] == 0xEE);
    CHECK(ZwQueryValueKey(key, &other, ValuePartial, &buffer, 99, &length) == NAME_NOT_FOUND);
    CHECK(ZwFlushKey(key) == STATUS_SUCCESS);
    CHECK(ZwClose(key) == STATUS_SUCCESS && ZwClose(service) == STATUS_SUCCESS);
    CHECK(ZwClose(key) == INVALID_HANDLE);
    return 0;
}

/* Makes keys and values, lists them, and deletes them. */
EXPORT LONG keys(void)
{
    UNICODE_STRING one = TEXT(L"One"), both = TEXT(L"Two\\Three"), two = TEXT(L"two"),
                   three = TEXT(L"Three"), value = TEXT(L"Value"), empty = {0, 0, 0},
                   path = TEXT(L"Registry\\Machine"), absolute = TEXT(KEY);
    WCHAR text[] = L"text";
    HANDLE service, first, second, third, again;
    OBJECT_ATTRIBUTES where;
    ULONG made = 0;
    CHECK(open(&service, 0, &path) == PATH_SYNTAX_BAD && service == 0);
    CHECK(open(&service, 0, &absolute) == STATUS_SUCCESS);
    CHECK(open(&again, service, &absolute) == PATH_SYNTAX_BAD);
    CHECK(open(&again, service, &empty) == STATUS_SUCCESS && again != service);
    CHECK(ZwClose(again) == STATUS_SUCCESS);
    attributes(&where, service, &one);
    CHECK(ZwOpenKeyEx(&again, KEY_READ, &where, 0x10) == INVALID_PARAMETER);
    CHECK(ZwOpenKeyEx(&again, KEY_READ, &where, 4) == NAME_NOT_FOUND);
    where.Length = 24;
    CHECK(ZwOpenKey(&again, KEY_READ, &where) == INVALID_PARAMETER);
    CHECK(open(&first, service, &one) == NAME_NOT_FOUND);
    CHECK(create(&first, service, &one, 0, &made) == STATUS_SUCCESS && made == 1);
    CHECK(create(&again, service, &one, 0, &made) == STATUS_SUCCESS && made == 2);
    CHECK(ZwClose(again) == STATUS_SUCCESS);
    CHECK(create(&third, service, &both, 0, &made) == NAME_NOT_FOUND);
    CHECK(create(&second, service, &two, 1, 0) == STATUS_SUCCESS);
    CHECK(create(&third, second, &three, 0, 0) == MUST_BE_VOLATILE);
    CHECK(create(&third, service, &both, 1, &made) == STATUS_SUCCESS && made == 1);

    CHECK(ZwSetValueKey(first, &value, 0, REG_SZ, text, sizeof text) == STATUS_SUCCESS);
    CHECK(ZwSetValueKey(first, &empty, 0, REG_BINARY, 0, 0) == STATUS_SUCCESS);
    CHECK(ZwEnumerateValueKey(first, 0, ValueFull, &buffer, sizeof buffer, &length) == 0);
    CHECK(buffer.Full.Type == REG_SZ && buffer.Full.DataLength == 10);
    CHECK(same((WCHAR *)(buffer.Bytes + buffer.Full.DataOffset), L"text", 10));
    CHECK(ZwEnumerateValueKey(first, 1, ValueFull, &buffer, sizeof buffer, &length) == 0);
    CHECK(buffer.Full.NameLength == 0 && buffer.Full.DataOffset == 0xFFFFFFFF && length == 20);
    CHECK(ZwEnumerateValueKey(first, 2, ValueFull, &buffer, sizeof buffer, &length) ==
          NO_MORE_ENTRIES);

    CHECK(ZwQueryKey(first, KeyFull, &buffer, sizeof buffer, &length) == STATUS_SUCCESS);
    CHECK(buffer.KeyFull.SubKeys == 0 && buffer.KeyFull.Values == 2 && length == 54);
    CHECK(buffer.KeyFull.MaxValueNameLen == 10 && buffer.KeyFull.MaxValueDataLen == 10);
    CHECK(buffer.KeyFull.ClassLength == 10 && buffer.KeyFull.ClassOffset == 44);
    CHECK(same(buffer.KeyFull.Class, L"class", 10) && buffer.KeyFull.LastWriteTime > 0);
    CHECK(ZwQueryKey(first, KeyName, &buffer, sizeof buffer, &length) == STATUS_SUCCESS);
    CHECK(buffer.KeyName.NameLength + 4 == length);
    CHECK(same(buffer.KeyName.Name, L"\\REGISTRY\\", 20));
    CHECK(same((WCHAR *)(buffer.Bytes + length - 26), L"\\registry\\One", 26));
    CHECK(ZwQueryKey(service, KeyCached, &buffer, sizeof buffer, &length) == STATUS_SUCCESS);
    CHECK(length == sizeof(KEY_CACHED_INFORMATION) && buffer.KeyCached.SubKeys == 4);
    CHECK(buffer.KeyCached.NameLength == 16 && buffer.KeyCached.MaxNameLen == 20);
    CHECK(ZwQueryKey(first, 99, &buffer, sizeof buffer, &length) == INVALID_PARAMETER);
    CHECK(ZwEnumerateKey(service, 1, KeyBasic, &buffer, sizeof buffer, &length) == 0);
    CHECK(buffer.KeyBasic.NameLength == 6 && same(buffer.KeyBasic.Name, L"One", 6));
    CHECK(ZwEnumerateKey(service, 3, KeyNode, &buffer, sizeof buffer, &length) == 0);
    CHECK(buffer.KeyNode.NameLength == 6 && same(buffer.KeyNode.Name, L"two", 6));
    CHECK(buffer.KeyNode.ClassOffset == 32 && buffer.KeyNode.ClassLength == 10 && length == 42);
    CHECK(same((WCHAR *)(buffer.Bytes + 32), L"class", 10));
    CHECK(ZwEnumerateKey(service, 0, KeyBasic, &buffer, 18, &length) == BUFFER_OVERFLOW);
    CHECK(ZwEnumerateKey(service, 0, KeyBasic, &buffer, 15, &length) == BUFFER_TOO_SMALL);
    CHECK(ZwEnumerateKey(service, 0, KeyName, &buffer, 99, &length) == INVALID_PARAMETER);
    CHECK(ZwEnumerateKey(service, 4, KeyBasic, &buffer, 99, &length) == NO_MORE_ENTRIES);

    CHECK(ZwDeleteValueKey(first, &value) == STATUS_SUCCESS);
    CHECK(ZwDeleteValueKey(first, &value) == NAME_NOT_FOUND);
    CHECK(ZwDeleteKey(second) == CANNOT_DELETE);
    CHECK(ZwDeleteKey(third) == STATUS_SUCCESS && ZwDeleteKey(second) == STATUS_SUCCESS);
    CHECK(ZwQueryKey(third, KeyBasic, &buffer, sizeof buffer, &length) == KEY_DELETED);
    CHECK(ZwSetValueKey(third, &value, 0, REG_SZ, text, sizeof text) == KEY_DELETED);
    CHECK(ZwClose(third) == 0 && ZwClose(second) == 0 && ZwClose(first) == 0 && ZwClose(service) == 0);
    return 0;
}

static ULONG calls;
static NTSTATUS answer;
static WCHAR heard[128];
static ULONG heard_units;

/* Writes down name=text; for each text, and name# for each number. */
static NTSTATUS hear(WCHAR *name, ULONG type, PVOID data, ULONG bytes, PVOID context, PVOID entry)
{
    const WCHAR *text = data;
    calls++;
    if (context != &calls || entry != &answer)
        return INVALID_PARAMETER;
    for (; name != 0 && *name != 0; name++)
        heard[heard_units++] = *name;
    if (type == REG_SZ) {
        heard[heard_units++] = L'=';
        for (; bytes > 2; bytes -= 2)
            heard[heard_units++] = *text++;
        heard[heard_units++] = L';';
    } else {
        heard[heard_units++] = L'0' + (WCHAR)type;
        heard[heard_units++] = L'#';
    }
    heard[heard_units] = 0;
    return answer;
}

static int was_heard(const WCHAR *text)
{
    ULONG units = 0;
    while (text[units] != 0)
        units++;
    units = units == heard_units && same(heard, text, 2 * units);
    heard_units = 0;
    return units;
}

static NTSTATUS query(RTL_QUERY_REGISTRY_TABLE *table)
{
    return RtlQueryRegistryValues(RELATIVE_SERVICES, L"registry\\Parameters", table, &calls, 0);
}

/* A table with a routine. */
EXPORT LONG query_routine(void)
{
    RTL_QUERY_REGISTRY_TABLE table[4] = {
        {hear, QUERY_REQUIRED, L"Limit", &answer, 0, 0, 0},
        {hear, 0, L"Absent", &answer, REG_SZ, L"default", 0},
        {hear, QUERY_NOVALUE, 0, &answer, 0, 0, 0},
        {0, 0, 0, 0, 0, 0, 0},
    };
    answer = STATUS_SUCCESS;
    CHECK(query(table) == STATUS_SUCCESS && calls == 3);
    CHECK(was_heard(L"Limit4#Absent=default;0#"));
    /* All values; texts of one value one by one. */
    table[0].Flags = 0;
    table[0].Name = 0;
    table[1].QueryRoutine = 0;
    table[1].Name = 0;
    CHECK(query(table) == STATUS_SUCCESS);
    CHECK(was_heard(L"Limit4#Text=%a%;Texts=one;Texts=two;Bytes3#"));
    table[0].Flags = QUERY_NOEXPAND;
    CHECK(query(table) == STATUS_SUCCESS);
    CHECK(was_heard(L"Limit4#Text2#Texts7#Bytes3#"));
    /* What the routine says ends the query, unless its own buffer is too small. */
    answer = BUFFER_TOO_SMALL;
    CHECK(query(table) == STATUS_SUCCESS);
    heard_units = 0;
    answer = TYPE_MISMATCH;
    CHECK(query(table) == TYPE_MISMATCH && was_heard(L"Limit4#"));
    answer = STATUS_SUCCESS;
    table[0].Name = L"Absent";
    CHECK(query(table) == STATUS_SUCCESS && was_heard(L""));
    table[0].Flags = QUERY_REQUIRED;
    CHECK(query(table) == NAME_NOT_FOUND);
    /* Down into a key, and up again. */
    table[0].Flags = QUERY_SUBKEY;
    table[0].Name = L"Below";
    table[1].QueryRoutine = hear;
    table[1].Name = L"Deep";
    table[1].DefaultType = 0;
    table[2].Flags = QUERY_TOPKEY;
    table[2].Name = L"Limit";
    CHECK(query(table) == STATUS_SUCCESS && was_heard(L"Deep=well;Deep=well;Limit4#"));
    table[0].Name = L"Nowhere";
    CHECK(query(table) == NAME_NOT_FOUND);
    table[0].Name = L"Below";
    table[1].Flags = QUERY_DELETE;
    CHECK(query(table) == STATUS_SUCCESS && query(table) == STATUS_SUCCESS);
    CHECK(was_heard(L"Deep=well;Deep=well;Limit4#Limit4#"));
    /* Keys that are not there. */
    CHECK(RtlQueryRegistryValuesEx(RELATIVE_SERVICES, L"nobody", table, 0, 0) == NAME_NOT_FOUND);
    CHECK(RtlQueryRegistryValuesEx(RELATIVE_SERVICES | RELATIVE_OPTIONAL, L"nobody", table, 0, 0) == 0);
    CHECK(RtlQueryRegistryValues(77, L"nobody", table, 0, 0) == INVALID_PARAMETER);
    return 0;
}

/* A table that writes to variables. */
EXPORT LONG query_direct(void)
{
    ULONG limit = 5;
    WCHAR room[8];
    UNICODE_STRING text = {0, sizeof room, room}, allocated = {0, 0, 0};
    struct {
        LONG Size;
        ULONG Type;
        UCHAR Data[8];
    } bytes = {sizeof bytes, 0, {0}};
    RTL_QUERY_REGISTRY_TABLE table[2] = {
        {0, QUERY_DIRECT | QUERY_TYPECHECK | QUERY_REQUIRED, L"Limit", &limit, REG_DWORD << 24, 0, 0},
        {0, 0, 0, 0, 0, 0, 0},
    };
    CHECK(query(table) == STATUS_SUCCESS && limit == 77);
    table[0].DefaultType = REG_SZ << 24;
    CHECK(query(table) == TYPE_MISMATCH);
    table[0].Name = L"Absent";
    CHECK(query(table) == NAME_NOT_FOUND);
    table[0].Flags &= ~QUERY_REQUIRED;
    CHECK(query(table) == STATUS_SUCCESS && limit == 77);
    table[0].DefaultType = REG_DWORD << 24 | REG_DWORD;
    table[0].DefaultData = &(ULONG){9};
    table[0].DefaultLength = 4;
    CHECK(query(table) == STATUS_SUCCESS && limit == 9);
    table[0].QueryRoutine = hear;
    CHECK(query(table) == INVALID_PARAMETER);
    table[0].QueryRoutine = 0;
    table[0].Name = 0;
    CHECK(query(table) == INVALID_PARAMETER);

    table[0].Name = L"Text";
    table[0].Flags |= QUERY_NOEXPAND;
    table[0].DefaultType = REG_EXPAND_SZ << 24;
    table[0].EntryContext = &text;
    CHECK(query(table) == STATUS_SUCCESS && text.Length == 6 && same(room, L"%a%", 8));
    text.MaximumLength = 6;
    CHECK(query(table) == BUFFER_TOO_SMALL);
    table[0].EntryContext = &allocated;
    CHECK(query(table) == STATUS_SUCCESS && allocated.Length == 6 && allocated.MaximumLength == 8);
    CHECK(same(allocated.Buffer, L"%a%", 8));
    ExFreePoolWithTag(allocated.Buffer, 0);

    table[0].Name = L"Texts";
    table[0].DefaultType = REG_MULTI_SZ << 24;
    table[0].EntryContext = &text;
    text.MaximumLength = sizeof room;
    CHECK(query(table) == BUFFER_TOO_SMALL);
    table[0].Flags &= ~QUERY_NOEXPAND;
    CHECK(query(table) == INVALID_PARAMETER);

    table[0].Name = L"Bytes";
    table[0].DefaultType = REG_BINARY << 24;
    table[0].EntryContext = &bytes;
    CHECK(query(table) == STATUS_SUCCESS && bytes.Size == 6 && bytes.Type == REG_BINARY);
    CHECK(bytes.Data[0] == 1 && bytes.Data[5] == 6 && bytes.Data[6] == 0);
    bytes.Size = 13;
    CHECK(query(table) == BUFFER_TOO_SMALL);
    bytes.Size = -6;
    CHECK(query(table) == STATUS_SUCCESS && *(UCHAR *)&bytes.Size == 1);
    bytes.Size = -5;
    CHECK(query(table) == BUFFER_TOO_SMALL);
    return 0;
}

/* A hive that is not the system's, without a check of the type. */
EXPORT LONG query_untrusted(void)
{
    ULONG number = 0;
    RTL_QUERY_REGISTRY_TABLE table[2] = {
        {0, QUERY_DIRECT, L"Number", &number, 0, 0, 0},
        {0, 0, 0, 0, 0, 0, 0},
    };
    CHECK(RtlQueryRegistryValues(RELATIVE_USER, 0, table, 0, 0) == STATUS_SUCCESS);
    return 0;
}

/* Values by path. */
EXPORT LONG by_path(void)
{
    UNICODE_STRING name = TEXT(KEY);
    ULONG number = 5;
    HANDLE key;
    CHECK(RtlCheckRegistryKey(RELATIVE_SERVICES, L"registry\\New") == NAME_NOT_FOUND);
    CHECK(RtlCreateRegistryKey(RELATIVE_SERVICES, L"registry\\New\\Newer") == NAME_NOT_FOUND);
    CHECK(RtlCreateRegistryKey(RELATIVE_SERVICES, L"registry\\New") == STATUS_SUCCESS);
    CHECK(RtlCheckRegistryKey(RELATIVE_ABSOLUTE, KEY L"\\new") == STATUS_SUCCESS);
    CHECK(RtlWriteRegistryValue(RELATIVE_SERVICES, L"registry\\New\\Newer", L"Number", REG_DWORD,
                                &number, sizeof number) == STATUS_SUCCESS);
    CHECK(RtlDeleteRegistryValue(RELATIVE_SERVICES, L"registry\\New\\Newer", L"number") == 0);
    CHECK(RtlDeleteRegistryValue(RELATIVE_SERVICES, L"registry\\New\\Newer", L"number") ==
          NAME_NOT_FOUND);
    CHECK(open(&key, 0, &name) == STATUS_SUCCESS);
    CHECK(RtlWriteRegistryValue(RELATIVE_HANDLE, key, L"Mark", REG_DWORD, &number, 4) == 0);
    CHECK(RtlCheckRegistryKey(RELATIVE_HANDLE, key) == STATUS_SUCCESS);
    CHECK(ZwClose(key) == STATUS_SUCCESS);
    return 0;
}

/* The driver's own keys. */
EXPORT LONG own_keys(void)
{
    UNICODE_STRING limit = TEXT(L"Limit");
    HANDLE key = 0;
    CHECK(IoOpenDriverRegistryKey(own_driver, 0, KEY_READ, 1, &key) == INVALID_PARAMETER);
    CHECK(IoOpenDriverRegistryKey(own_driver, 9, KEY_READ, 0, &key) == INVALID_PARAMETER);
    CHECK(IoOpenDriverRegistryKey(own_driver, 0, KEY_READ, 0, &key) == STATUS_SUCCESS);
    CHECK(ZwQueryValueKey(key, &limit, ValuePartial, &buffer, sizeof buffer, &length) == 0);
    CHECK(ZwClose(key) == STATUS_SUCCESS);
    CHECK(IoOpenDriverRegistryKey(own_driver, 1, KEY_ALL_ACCESS, 0, &key) == STATUS_SUCCESS);
    CHECK(ZwSetValueKey(key, &limit, 0, REG_BINARY, "state", 5) == STATUS_SUCCESS);
    CHECK(ZwClose(key) == STATUS_SUCCESS);
    return 0;
}

/* Leaves a handle open, and uses one that is none. */
EXPORT LONG leak(void)
{
    HANDLE key;
    CHECK(open(&key, 0, own_path) == STATUS_SUCCESS);
    CHECK(ZwQueryKey((HANDLE)0x44, KeyBasic, &buffer, sizeof buffer, &length) == INVALID_HANDLE);
    return 0;
}

static NTSTATUS unload(ULONG flags)
{
    FltUnregisterFilter(filter);
    return STATUS_SUCCESS;
}

/* Writes its own instances if the service says so, and registers. */
NTSTATUS DriverEntry(PVOID driver, UNICODE_STRING *path)
{
    static struct {
        USHORT Size, Version;
        ULONG Flags;
        PVOID Contexts, Operations;
        NTSTATUS (*Unload)(ULONG);
        PVOID Others[11];
    } registration = {sizeof registration, 0x203, 0, 0, 0, unload, {0}};
    UNICODE_STRING own = TEXT(L"Own"), instances = TEXT(L"Instances"), top = TEXT(L"Top"),
                   altitude = TEXT(L"Altitude"), flags = TEXT(L"Flags"),
                   name = TEXT(L"DefaultInstance");
    ULONG none = 0;
    HANDLE service, key, instance;
    NTSTATUS status = open(&service, 0, path);
    own_driver = driver;
    own_path = path;
    if (!NT_SUCCESS(status))
        return status;
    if (ZwQueryValueKey(service, &own, ValuePartial, &buffer, sizeof buffer, &length) == 0) {
        create(&key, service, &instances, 0, 0);
        create(&instance, key, &top, 0, 0);
        ZwSetValueKey(key, &name, 0, REG_SZ, L"Top", 8);
        ZwSetValueKey(instance, &altitude, 0, REG_SZ, L"370099", 14);
        ZwSetValueKey(instance, &flags, 0, REG_DWORD, &none, 4);
        ZwClose(instance);
        ZwClose(key);
    }
    ZwClose(service);
    status = FltRegisterFilter(driver, &registration, &filter);
    if (!NT_SUCCESS(status))
        return status;
    status = FltStartFiltering(filter);
    if (!NT_SUCCESS(status))
        FltUnregisterFilter(filter);
    return status;
}
