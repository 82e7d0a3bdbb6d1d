//! Whether memory of this process can be touched at all, without touching it.

/// What memory is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// The size of a page.
pub(crate) const PAGE: usize = 4096;

/// Whether every byte of a range can be read, or written to. An empty range always can.
#[cfg(target_os = "linux")]
pub(crate) fn is_accessible(address: usize, length: usize, access: Access) -> bool {
    use rustix::mm::{Advice, madvise};

    if length == 0 {
        return true;
    }
    let Some(end) = address.checked_add(length) else {
        return false;
    };
    let first = address & !(PAGE - 1);
    let bytes = end.next_multiple_of(PAGE).saturating_sub(first);
    let advice = match access {
        Access::Read => Advice::LinuxPopulateRead,
        Access::Write => Advice::LinuxPopulateWrite,
    };
    // SAFETY: populating pages changes nothing that a program can see, and whether there are pages
    // is for the kernel to find out.
    let populated = unsafe { madvise(first as *mut _, bytes, advice) };
    populated.is_ok() || (!can_populate() && address != 0)
}

/// Elsewhere only the null page is known.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_accessible(address: usize, length: usize, _access: Access) -> bool {
    length == 0 || (address >= PAGE && address.checked_add(length).is_some())
}

/// Kernels before 5.14 cannot say.
#[cfg(target_os = "linux")]
fn can_populate() -> bool {
    use rustix::mm::{Advice, madvise};
    use std::sync::LazyLock;

    static CAN: LazyLock<bool> = LazyLock::new(|| {
        let here = 0_u8;
        let page = (&raw const here as usize) & !(PAGE - 1);
        // SAFETY: a page of this stack, which stays as it is.
        unsafe { madvise(page as *mut _, PAGE, Advice::LinuxPopulateRead) }.is_ok()
    });
    *CAN
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_where_it_is() {
        let mut here = [0_u8; 3 * PAGE];
        let address = here.as_mut_ptr() as usize;
        assert!(is_accessible(address, here.len(), Access::Write));
        let constant = "in a page that nobody writes to".as_ptr() as usize;
        assert!(is_accessible(constant, 8, Access::Read));
        assert!(!is_accessible(constant, 8, Access::Write));
        assert!(!is_accessible(0, 1, Access::Read));
        assert!(!is_accessible(0xFFFF_8000_0000_0000, 1, Access::Read));
        assert!(!is_accessible(usize::MAX - 1, 8, Access::Read));
        assert!(is_accessible(0, 0, Access::Write));
    }
}
