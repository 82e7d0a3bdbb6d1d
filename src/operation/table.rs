//! The operation table of a filter.

use fltmgr_sys as sys;
use sys::{FLT_OPERATION_REGISTRATION, FLT_OPERATION_REGISTRATION_FLAGS};

use super::{
    HasPost, Operation, PostOperation, PreOperation, SafePostOperation, WithoutPost,
    post::{callback as post, safe_callback as safe_post},
    pre::callback as pre,
};
use crate::registration::Registered;

/// The operations of a filter, written by [`driver_entry!`](crate::driver_entry).
///
/// # Safety
///
/// The table ends with its end marker, and its callbacks are this crate's.
pub unsafe trait Operations {
    /// One entry an operation, then the end marker.
    const TABLE: &'static [FLT_OPERATION_REGISTRATION];
}

const fn entry<O: Operation>(
    flags: FLT_OPERATION_REGISTRATION_FLAGS,
    pre: sys::PFLT_PRE_OPERATION_CALLBACK,
    post: sys::PFLT_POST_OPERATION_CALLBACK,
) -> FLT_OPERATION_REGISTRATION {
    FLT_OPERATION_REGISTRATION {
        MajorFunction: O::MAJOR,
        Flags: flags,
        PreOperation: pre,
        PostOperation: post,
        Reserved1: core::ptr::null_mut(),
    }
}

/// Both callbacks.
#[must_use]
pub const fn both<F, O>(flags: FLT_OPERATION_REGISTRATION_FLAGS) -> FLT_OPERATION_REGISTRATION
where
    O: HasPost,
    F: PostOperation<O> + Registered,
{
    entry::<O>(flags, Some(pre::<F, O>), Some(post::<F, O>))
}

/// The pre-operation callback alone, which has no payload to hand on.
#[must_use]
pub const fn only_pre<F, O>(flags: FLT_OPERATION_REGISTRATION_FLAGS) -> FLT_OPERATION_REGISTRATION
where
    O: Operation,
    F: PreOperation<O, Completion: WithoutPost> + Registered,
{
    entry::<O>(flags, Some(pre::<F, O>), None)
}

/// Both callbacks, the second where it is safe.
#[must_use]
pub const fn safe<F, O>(flags: FLT_OPERATION_REGISTRATION_FLAGS) -> FLT_OPERATION_REGISTRATION
where
    O: HasPost,
    F: SafePostOperation<O> + Registered,
{
    entry::<O>(flags, Some(pre::<F, O>), Some(safe_post::<F, O>))
}

/// The end marker of a table.
#[must_use]
pub const fn end() -> FLT_OPERATION_REGISTRATION {
    FLT_OPERATION_REGISTRATION {
        MajorFunction: sys::IRP_MJ_OPERATION_END,
        Flags: 0,
        PreOperation: None,
        PostOperation: None,
        Reserved1: core::ptr::null_mut(),
    }
}

/// A table in which no operation is twice. What the Filter Manager would do with the second is not
/// documented.
///
/// # Panics
///
/// An operation is twice, which in a constant is a compile-time error.
#[must_use]
pub const fn distinct(
    table: &'static [FLT_OPERATION_REGISTRATION],
) -> &'static [FLT_OPERATION_REGISTRATION] {
    let mut one = 0;
    while one < table.len() {
        let mut other = one + 1;
        while other < table.len() {
            assert!(
                table[one].MajorFunction != table[other].MajorFunction,
                "`operations!` lists an operation twice"
            );
            other += 1;
        }
        one += 1;
    }
    table
}

/// Writes the operation table of a filter; [`driver_entry!`](crate::driver_entry) uses it.
#[doc(hidden)]
#[macro_export]
macro_rules! operations {
    ($filter:ty: $($operation:ident $(: $form:ident $(+ $flag:ident)*)?),* $(,)?) => {
        // SAFETY: the end marker comes last, and the entries before it are made by this crate.
        unsafe impl $crate::operation::Operations for $filter {
            const TABLE: &'static [$crate::sys::FLT_OPERATION_REGISTRATION] =
                $crate::operation::distinct(&[
                    $($crate::operations!(
                        @entry $filter, $operation, $($form)?, $($($flag)*)?
                    ),)*
                    $crate::operation::end(),
                ]);
        }
        // So that it is looked at where it is written.
        const _: &[$crate::sys::FLT_OPERATION_REGISTRATION] =
            <$filter as $crate::operation::Operations>::TABLE;
    };
    (@entry $filter:ty, $operation:ident, , ) => {
        $crate::operation::both::<$filter, $crate::operation::$operation>(0)
    };
    (@entry $filter:ty, $operation:ident, pre, $($flag:ident)*) => {
        $crate::operation::only_pre::<$filter, $crate::operation::$operation>(
            0 $(| $crate::operations!(@flag $flag))*
        )
    };
    (@entry $filter:ty, $operation:ident, both, $($flag:ident)*) => {
        $crate::operation::both::<$filter, $crate::operation::$operation>(
            0 $(| $crate::operations!(@flag $flag))*
        )
    };
    (@entry $filter:ty, $operation:ident, safe, $($flag:ident)*) => {
        $crate::operation::safe::<$filter, $crate::operation::$operation>(
            0 $(| $crate::operations!(@flag $flag))*
        )
    };
    (@flag skip_paging_io) => {
        $crate::sys::FLTFL_OPERATION_REGISTRATION_SKIP_PAGING_IO
    };
    (@flag skip_cached_io) => {
        $crate::sys::FLTFL_OPERATION_REGISTRATION_SKIP_CACHED_IO
    };
}
