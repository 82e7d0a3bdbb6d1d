//! The calling convention of the Filter Manager, and the macros that apply it.
//!
//! Every export and callback is `FLTAPI`, that is `__stdcall`. On x86-64 there is only one
//! Windows convention, and naming it `"win64"` rather than `"system"` means the same on Windows
//! and makes the very same function callable from a loaded `.sys` image on another host. On
//! every other architecture it is `"system"`.

/// Defines functions with the Filter Manager's calling convention, e.g. a callback.
///
/// ```
/// use fltmgr_sys::{FLT_CONTEXT_TYPE, PFLT_CONTEXT, PFLT_CONTEXT_CLEANUP_CALLBACK, fltapi};
///
/// fltapi! {
///     unsafe fn cleanup(_context: PFLT_CONTEXT, _kind: FLT_CONTEXT_TYPE) {}
/// }
///
/// let _: PFLT_CONTEXT_CLEANUP_CALLBACK = Some(cleanup);
/// ```
#[macro_export]
macro_rules! fltapi {
    ($(
        $(#[$meta:meta])*
        $vis:vis unsafe fn $name:ident $(<$($generic:ident : $bound:path),+>)? (
            $($arg:ident : $ty:ty),* $(,)?
        ) $(-> $ret:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        #[cfg(target_arch = "x86_64")]
        $vis unsafe extern "win64" fn $name $(<$($generic: $bound),+>)? ($($arg: $ty),*) $(-> $ret)? $body

        $(#[$meta])*
        #[cfg(not(target_arch = "x86_64"))]
        $vis unsafe extern "system" fn $name $(<$($generic: $bound),+>)? ($($arg: $ty),*) $(-> $ret)? $body
    )*};
}

/// Declares nullable callback types with the Filter Manager's calling convention.
macro_rules! fltapi_callbacks {
    ($(
        $(#[$meta:meta])*
        pub type $name:ident = fn($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)?;
    )*) => {$(
        $(#[$meta])*
        #[cfg(target_arch = "x86_64")]
        pub type $name = Option<unsafe extern "win64" fn($($arg: $ty),*) $(-> $ret)?>;

        $(#[$meta])*
        #[cfg(not(target_arch = "x86_64"))]
        pub type $name = Option<unsafe extern "system" fn($($arg: $ty),*) $(-> $ret)?>;
    )*};
}

/// Declares functions that `FLTMGR.SYS` exports.
///
/// On Windows they are imported by name without an import library; elsewhere the symbols are
/// those of whatever emulator is linked in.
macro_rules! fltapi_functions {
    ($(
        $(#[$meta:meta])*
        pub fn $name:ident($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)?;
    )*) => {
        #[cfg(target_arch = "x86_64")]
        #[cfg_attr(
            windows,
            link(name = "FLTMGR.SYS", kind = "raw-dylib", modifiers = "+verbatim")
        )]
        unsafe extern "win64" {
            $($(#[$meta])* pub fn $name($($arg: $ty),*) $(-> $ret)?;)*
        }

        #[cfg(not(target_arch = "x86_64"))]
        #[cfg_attr(
            windows,
            link(name = "FLTMGR.SYS", kind = "raw-dylib", modifiers = "+verbatim")
        )]
        unsafe extern "system" {
            $($(#[$meta])* pub fn $name($($arg: $ty),*) $(-> $ret)?;)*
        }
    };
}

/// Declares types that are only ever seen behind a pointer, each distinct from all others.
macro_rules! opaque {
    ($($(#[$meta:meta])* $name:ident, $pointer:ident;)*) => {$(
        $(#[$meta])*
        #[repr(C)]
        pub struct $name {
            _opaque: [u8; 0],
            _neither_send_nor_unpin: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,
        }

        #[doc = concat!("Pointer to [`", stringify!($name), "`].")]
        pub type $pointer = *mut $name;
    )*};
}

pub(crate) use {fltapi_callbacks, fltapi_functions, opaque};
