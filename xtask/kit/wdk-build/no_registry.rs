
#[cfg(not(windows))]
use no_registry::{HKEY_LOCAL_MACHINE, read_registry_key_string_value, s};

/// Off Windows there is no registry to find a kit in.
#[cfg(not(windows))]
mod no_registry {
    macro_rules! s {
        ($name:literal) => {
            $name
        };
    }
    pub(super) use s;

    pub(super) const HKEY_LOCAL_MACHINE: () = ();

    pub(super) fn read_registry_key_string_value((): (), _: &str, _: &str) -> Option<String> {
        None
    }
}
