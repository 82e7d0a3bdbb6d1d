//! T-24: a payload is `Send`, because the post-operation callback may run on another thread.

use fltctx::{operation::Completion, sys::PVOID};

struct Pointer(PVOID);

// SAFETY: the pointer and back.
unsafe impl Completion for Pointer {
    fn into_raw(self) -> PVOID {
        self.0
    }

    unsafe fn from_raw(raw: PVOID) -> Self {
        Self(raw)
    }
}

fn main() {}
