/* The assertion of mingw-w64 declares a function over and over, each time with another array. */
#pragma once
#include_next <ntdef.h>
#undef C_ASSERT
#define C_ASSERT(expression) _Static_assert(expression, #expression)
