//! `SeExports`: the numbers of the privileges, and the identifiers that everybody knows.

use crate::kernel::security::sid_length;
use std::sync::LazyLock;

/// One member of `SE_EXPORTS`.
enum Member {
    /// The number of a privilege, in eight bytes.
    Privilege(u32),
    /// An identifier: its authority and its sub-authorities.
    Sid(u8, &'static [u32]),
}

use Member::{Privilege, Sid};

const NT: u8 = 5;
const LABEL: u8 = 16;
/// Built-in groups.
const ALIAS: u32 = 32;
/// `NT SERVICE\TrustedInstaller`.
const INSTALLER: [u32; 6] = [
    80,
    956_008_885,
    3_418_522_649,
    1_831_038_044,
    1_853_292_631,
    2_271_478_464,
];

/// The members in their order; later versions of Windows have more at the end.
const MEMBERS: [Member; 71] = [
    // From `SeCreateTokenPrivilege` to `SeRemoteShutdownPrivilege`.
    Privilege(2),
    Privilege(3),
    Privilege(4),
    Privilege(5),
    Privilege(6),
    Privilege(7),
    Privilege(8),
    Privilege(9),
    Privilege(10),
    Privilege(15),
    Privilege(14),
    Privilege(11),
    Privilege(12),
    Privilege(13),
    Privilege(16),
    Privilege(17),
    Privilege(18),
    Privilege(19),
    Privilege(20),
    Privilege(21),
    Privilege(22),
    Privilege(23),
    Privilege(24),
    // From `SeNullSid` to `SeAnonymousLogonSid`.
    Sid(0, &[0]),
    Sid(1, &[0]),
    Sid(2, &[0]),
    Sid(3, &[0]),
    Sid(3, &[1]),
    Sid(NT, &[]),
    Sid(NT, &[1]),
    Sid(NT, &[2]),
    Sid(NT, &[3]),
    Sid(NT, &[4]),
    Sid(NT, &[18]),
    Sid(NT, &[ALIAS, 544]),
    Sid(NT, &[ALIAS, 545]),
    Sid(NT, &[ALIAS, 546]),
    Sid(NT, &[ALIAS, 547]),
    Sid(NT, &[ALIAS, 548]),
    Sid(NT, &[ALIAS, 549]),
    Sid(NT, &[ALIAS, 550]),
    Sid(NT, &[ALIAS, 551]),
    Sid(NT, &[11]),
    Sid(NT, &[12]),
    Sid(NT, &[7]),
    // `SeUndockPrivilege`, `SeSyncAgentPrivilege`, `SeEnableDelegationPrivilege`.
    Privilege(25),
    Privilege(26),
    Privilege(27),
    // `SeLocalServiceSid`, `SeNetworkServiceSid`.
    Sid(NT, &[19]),
    Sid(NT, &[20]),
    // `SeManageVolumePrivilege`, `SeImpersonatePrivilege`, `SeCreateGlobalPrivilege`.
    Privilege(28),
    Privilege(29),
    Privilege(30),
    // From `SeTrustedCredManAccessPrivilege` to `SeCreateSymbolicLinkPrivilege`.
    Privilege(31),
    Privilege(32),
    Privilege(33),
    Privilege(34),
    Privilege(35),
    // `SeIUserSid`, and the labels from untrusted to system.
    Sid(NT, &[17]),
    Sid(LABEL, &[0]),
    Sid(LABEL, &[0x1000]),
    Sid(LABEL, &[0x2000]),
    Sid(LABEL, &[0x3000]),
    Sid(LABEL, &[0x4000]),
    // `SeOwnerRightsSid`, `SeAllAppPackagesSid`, `SeUserModeDriversSid`.
    Sid(3, &[4]),
    Sid(15, &[2, 1]),
    Sid(NT, &[84, 0, 0, 0, 0, 0]),
    // `SeProcTrustWinTcbSid`, `SeTrustedInstallerSid`.
    Sid(19, &[512, 8192]),
    Sid(NT, &INSTALLER),
    // `SeDelegateSessionUserImpersonatePrivilege`, `SeAppSiloSid`.
    Privilege(36),
    Sid(15, &[2, 3]),
];

/// The structure, and the variable that points to it.
static EXPORTS: LazyLock<(Box<[u64]>, u64)> = LazyLock::new(|| {
    let members: Box<[u64]> = MEMBERS.iter().map(value).collect();
    let address = members.as_ptr() as u64;
    (members, address)
});

/// What a member is in the structure.
fn value(member: &Member) -> u64 {
    let (authority, parts) = match member {
        Privilege(number) => return u64::from(*number),
        Sid(authority, parts) => (*authority, *parts),
    };
    let count = u8::try_from(parts.len()).unwrap_or(0);
    let mut sid = Vec::with_capacity(sid_length(count));
    sid.extend([1, count, 0, 0, 0, 0, 0, authority]);
    sid.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    // Drivers may keep it as long as there are any.
    sid.leak().as_ptr() as u64
}

/// The address of the variable.
pub(super) fn variable() -> usize {
    &raw const EXPORTS.1 as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::security::{sid, sid_text};

    #[test]
    fn members_are_where_drivers_expect_them() {
        let at = |index: usize| EXPORTS.0[index];
        let text = |index| {
            // SAFETY: a member that is an identifier points to one, which is never freed.
            sid_text(&unsafe { sid(at(index) as *const u8) })
        };
        // SeTcbPrivilege, SeDebugPrivilege, SeManageVolumePrivilege.
        assert_eq!([at(5), at(18), at(50)], [7, 20, 28]);
        // SeWorldSid, SeLocalSystemSid, SeAliasAdminsSid, SeAnonymousLogonSid, SeLowMandatorySid.
        assert_eq!(text(24), "S-1-1-0");
        assert_eq!(text(33), "S-1-5-18");
        assert_eq!(text(34), "S-1-5-32-544");
        assert_eq!(text(44), "S-1-5-7");
        assert_eq!(text(60), "S-1-16-4096");
        // SAFETY: the variable, which is never written to.
        let address = unsafe { (variable() as *const u64).read() };
        assert_eq!(address, EXPORTS.0.as_ptr() as u64);
    }
}
