//! Values of the registry.

/// The data of one value, with its type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryValue {
    /// The type: one of the constants of this structure, or any other number.
    pub kind: u32,
    /// The bytes, as they are kept.
    pub data: Vec<u8>,
}

impl RegistryValue {
    /// `REG_NONE`: bytes without a meaning.
    pub const NONE: u32 = 0;
    /// `REG_SZ`: a string with its terminator.
    pub const SZ: u32 = 1;
    /// `REG_EXPAND_SZ`: the same, with names of variables in it.
    pub const EXPAND_SZ: u32 = 2;
    /// `REG_BINARY`: bytes.
    pub const BINARY: u32 = 3;
    /// `REG_DWORD`: a number of 32 bits, the lowest byte first.
    pub const DWORD: u32 = 4;
    /// `REG_MULTI_SZ`: strings, each with its terminator, and one more terminator.
    pub const MULTI_SZ: u32 = 7;
    /// `REG_QWORD`: a number of 64 bits, the lowest byte first.
    pub const QWORD: u32 = 11;

    /// A string.
    #[must_use]
    pub fn sz(text: &str) -> Self {
        Self {
            kind: Self::SZ,
            data: terminated(text),
        }
    }

    /// A string with names of variables in it.
    #[must_use]
    pub fn expand_sz(text: &str) -> Self {
        Self {
            kind: Self::EXPAND_SZ,
            data: terminated(text),
        }
    }

    /// Several strings.
    #[must_use]
    pub fn multi_sz<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut data: Vec<u8> = texts.into_iter().flat_map(terminated).collect();
        data.extend([0, 0]);
        Self {
            kind: Self::MULTI_SZ,
            data,
        }
    }

    /// A number of 32 bits.
    #[must_use]
    pub fn dword(number: u32) -> Self {
        Self {
            kind: Self::DWORD,
            data: number.to_le_bytes().to_vec(),
        }
    }

    /// A number of 64 bits.
    #[must_use]
    pub fn qword(number: u64) -> Self {
        Self {
            kind: Self::QWORD,
            data: number.to_le_bytes().to_vec(),
        }
    }

    /// Bytes.
    #[must_use]
    pub fn binary(data: impl Into<Vec<u8>>) -> Self {
        Self {
            kind: Self::BINARY,
            data: data.into(),
        }
    }

    /// Whether the data are text.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.kind, Self::SZ | Self::EXPAND_SZ | Self::MULTI_SZ)
    }

    fn units(&self) -> Vec<u16> {
        let pairs = self.data.chunks_exact(2);
        pairs
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    /// The text of a `REG_SZ` or `REG_EXPAND_SZ`, up to its terminator.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let units = self.units();
        let text = units.split(|unit| *unit == 0).next().unwrap_or_default();
        matches!(self.kind, Self::SZ | Self::EXPAND_SZ).then(|| String::from_utf16_lossy(text))
    }

    /// The strings of a `REG_MULTI_SZ`, up to the empty one.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<String>> {
        let units = self.units();
        let texts = units
            .split(|unit| *unit == 0)
            .take_while(|text| !text.is_empty());
        (self.kind == Self::MULTI_SZ).then(|| texts.map(String::from_utf16_lossy).collect())
    }

    /// The number of a `REG_DWORD` or `REG_QWORD`.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match self.kind {
            Self::DWORD => Some(u32::from_le_bytes(self.data.as_slice().try_into().ok()?).into()),
            Self::QWORD => Some(u64::from_le_bytes(self.data.as_slice().try_into().ok()?)),
            _ => None,
        }
    }
}

fn terminated(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::RegistryValue as Value;

    #[test]
    fn values_read_back() {
        assert_eq!(Value::sz("é").data, [0xE9, 0, 0, 0]);
        assert_eq!(Value::expand_sz("%a%").text().as_deref(), Some("%a%"));
        let several = Value::multi_sz(["a", "bc"]);
        assert_eq!(several.data.len(), 12);
        assert_eq!(several.texts().unwrap(), ["a", "bc"]);
        assert_eq!(Value::dword(7).number(), Some(7));
        assert_eq!(Value::qword(1 << 40).number(), Some(1 << 40));
        assert_eq!(Value::binary([1, 2, 3]).number(), None);
        assert_eq!(
            Value {
                kind: Value::DWORD,
                data: vec![1]
            }
            .number(),
            None
        );
        assert_eq!(
            Value {
                kind: Value::SZ,
                data: vec![0x41, 0, 9]
            }
            .text()
            .unwrap(),
            "A"
        );
    }
}
