/* What the kit's wdm.h declares and that of mingw-w64 10 does not, as far as it is used here. */
#pragma once
#include_next <wdm.h>

/* Kernel transactions. */
typedef struct _KTRANSACTION KTRANSACTION, *PKTRANSACTION;

/* The pool functions of Windows 10, version 2004, which wdk-alloc calls. */
#ifndef POOL_FLAG_NON_PAGED
typedef ULONG64 POOL_FLAGS;
#define POOL_FLAG_NON_PAGED 0x0000000000000040ULL
#define POOL_FLAG_PAGED 0x0000000000000100ULL
NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);
#endif
