//! Pool tags.

/// The four characters that name an allocation in `poolmon` and in leak reports.
///
/// ```
/// use fltctx::PoolTag;
///
/// const TAG: PoolTag = PoolTag::new(*b"FxSt");
/// assert_eq!(TAG.into_raw(), u32::from_le_bytes(*b"FxSt"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolTag(u32);

impl PoolTag {
    /// Makes a tag of four printable ASCII characters, not all of them blank.
    ///
    /// # Panics
    ///
    /// When it is not such a tag; in a constant, where tags belong, that is a compile-time error.
    #[must_use]
    pub const fn new(characters: [u8; 4]) -> Self {
        let mut i = 0;
        let mut blank = true;
        while i < characters.len() {
            assert!(
                characters[i] >= b' ' && characters[i] <= b'~',
                "a pool tag is four printable ASCII characters"
            );
            blank = blank && characters[i] == b' ';
            i += 1;
        }
        assert!(
            !blank,
            "a pool tag is not empty: four blanks name nothing in a leak report"
        );
        Self(u32::from_le_bytes(characters))
    }

    /// The tag as the kernel takes it, first character in the lowest byte.
    #[must_use]
    pub const fn into_raw(self) -> u32 {
        self.0
    }
}
