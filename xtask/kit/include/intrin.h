/* Compiler intrinsics are of no use to bindings, and Clang's own headers for them are not wanted. */
#pragma once
