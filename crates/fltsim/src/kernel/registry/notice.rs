//! The structures that routines of drivers are told of the registry with. Pointers are numbers here:
//! they are the driver's to follow.

use super::filter::Class;
use fltmgr_sys::{ACCESS_MASK, KPROCESSOR_MODE, NTSTATUS, ULONG};

// `REG_NOTIFY_CLASS`: the older names of the first classes have the same numbers as the newer ones.
pub(crate) const DELETE_KEY: Class = Class::new(0, 15);
pub(crate) const SET_VALUE: Class = Class::new(1, 16);
pub(crate) const DELETE_VALUE: Class = Class::new(2, 17);
pub(crate) const ENUMERATE_KEY: Class = Class::new(5, 20);
pub(crate) const ENUMERATE_VALUE: Class = Class::new(6, 21);
pub(crate) const QUERY_KEY: Class = Class::new(7, 22);
pub(crate) const QUERY_VALUE: Class = Class::new(8, 23);
pub(crate) const CREATE_KEY: Class = Class::new(26, 27);
pub(crate) const OPEN_KEY: Class = Class::new(28, 29);
pub(crate) const FLUSH_KEY: Class = Class::new(30, 31);
/// Closing a handle can be watched, and not refused.
pub(crate) const CLOSE_HANDLE: Class = Class {
    pre: 14,
    post: 25,
    can_fail: false,
};

/// A structure of what is going to be done.
pub(crate) trait Notice {
    /// The key object that it is about, or that a path begins at.
    fn object(&self) -> usize;

    /// The key object that it was about when it is done.
    fn result(&self, _status: NTSTATUS) -> usize {
        self.object()
    }

    /// What a routine has kept for the time after.
    fn call_context(&self) -> usize;

    /// Puts what a routine has kept, and what it has attached to the key.
    fn set_contexts(&mut self, call: usize, object: usize);
}

macro_rules! notices {
    ($(
        $(#[$meta:meta])*
        struct $name:ident($size:literal) { $($field:ident: $ty:ty),* $(,)? }
    )*) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Default)]
        pub(crate) struct $name {
            pub(crate) object: usize,
            $(pub(crate) $field: $ty,)*
            pub(crate) call_context: usize,
            pub(crate) object_context: usize,
            pub(crate) reserved: usize,
        }

        const _: () = assert!(size_of::<$name>() == $size);

        impl Notice for $name {
            fn object(&self) -> usize {
                self.object
            }

            fn call_context(&self) -> usize {
                self.call_context
            }

            fn set_contexts(&mut self, call: usize, object: usize) {
                self.call_context = call;
                self.object_context = object;
            }
        }
    )*};
}

notices! {
    /// `REG_DELETE_KEY_INFORMATION`, which flushing a key and closing a handle have too.
    struct OfKey(32) {}

    /// `REG_SET_VALUE_KEY_INFORMATION`.
    struct SetValue(64) {
        name: usize,
        title: ULONG,
        kind: ULONG,
        data: usize,
        length: ULONG,
    }

    /// `REG_DELETE_VALUE_KEY_INFORMATION`.
    struct DeleteValue(40) { name: usize }

    /// `REG_QUERY_VALUE_KEY_INFORMATION`.
    struct QueryValue(72) {
        name: usize,
        class: ULONG,
        buffer: usize,
        length: ULONG,
        result: usize,
    }

    /// `REG_ENUMERATE_KEY_INFORMATION` and `REG_ENUMERATE_VALUE_KEY_INFORMATION`.
    struct Enumerate(64) {
        index: ULONG,
        class: ULONG,
        buffer: usize,
        length: ULONG,
        result: usize,
    }

    /// `REG_QUERY_KEY_INFORMATION`.
    struct QueryKey(64) {
        class: ULONG,
        buffer: usize,
        length: ULONG,
        result: usize,
    }
}

/// `REG_CREATE_KEY_INFORMATION_V1`, which opening a key has too.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Create {
    pub(crate) complete_name: usize,
    pub(crate) root: usize,
    pub(crate) kind: usize,
    pub(crate) options: ULONG,
    pub(crate) class: usize,
    pub(crate) descriptor: usize,
    pub(crate) quality_of_service: usize,
    pub(crate) desired: ACCESS_MASK,
    pub(crate) granted: ACCESS_MASK,
    pub(crate) disposition: usize,
    pub(crate) result: usize,
    pub(crate) call_context: usize,
    pub(crate) root_context: usize,
    pub(crate) transaction: usize,
    pub(crate) version: usize,
    pub(crate) remaining_name: usize,
    pub(crate) wow64: ULONG,
    pub(crate) attributes: ULONG,
    pub(crate) mode: KPROCESSOR_MODE,
}

const _: () = assert!(size_of::<Create>() == 136);

impl Notice for Create {
    fn object(&self) -> usize {
        self.root
    }

    fn result(&self, status: NTSTATUS) -> usize {
        if status != 0 {
            return 0;
        }
        // SAFETY: the place is one of whoever has made this structure, and outlives it.
        unsafe { (self.result as *const usize).read() }
    }

    fn call_context(&self) -> usize {
        self.call_context
    }

    fn set_contexts(&mut self, call: usize, object: usize) {
        self.call_context = call;
        self.root_context = object;
    }
}

/// `REG_POST_OPERATION_INFORMATION`.
#[repr(C)]
pub(crate) struct Post {
    object: usize,
    status: NTSTATUS,
    pre: usize,
    pub(crate) return_status: NTSTATUS,
    call_context: usize,
    object_context: usize,
    reserved: usize,
}

const _: () = assert!(size_of::<Post>() == 56);

impl Post {
    pub(crate) fn new<N: Notice>(
        notice: &mut N,
        status: NTSTATUS,
        call_context: usize,
        object_context: usize,
    ) -> Self {
        Self {
            object: notice.result(status),
            status,
            pre: std::ptr::from_mut(notice) as usize,
            return_status: status,
            call_context,
            object_context,
            reserved: 0,
        }
    }
}

/// `REG_CALLBACK_CONTEXT_CLEANUP_INFORMATION`.
#[repr(C)]
pub(crate) struct Cleanup {
    object: usize,
    context: usize,
    reserved: usize,
}

impl Cleanup {
    pub(crate) fn new(object: usize, context: usize) -> Self {
        Self {
            object,
            context,
            reserved: 0,
        }
    }
}
