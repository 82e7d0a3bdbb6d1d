//! From the bytes of a file to its text.

use super::finding::{Findings, Rule};

/// The characters of a file in UTF-16 with a mark, or in UTF-8.
pub(crate) fn decode(bytes: &[u8], findings: &mut Findings) -> String {
    let text = match bytes {
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => {
            let text = "the file is UTF-16 in big-endian order; save it as UTF-16 in little-endian";
            findings.add(Rule::Encoding, 1, text);
            wide(rest, u16::from_be_bytes)
        }
        _ => {
            let rest = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
            let before = rest.iter().position(|byte| !byte.is_ascii());
            if let Some(before) = before {
                let line = rest[..before].split(|byte| *byte == b'\n').count();
                let text = "a character that is not ASCII, in a file that is not UTF-16: Windows \
                            reads it in the code page of the machine; save the file as UTF-16 with \
                            a byte order mark";
                findings.add(Rule::Encoding, line, text);
            }
            String::from_utf8_lossy(rest).into_owned()
        }
    };
    if let Some(at) = text.find('\0') {
        let line = 1 + text[..at].matches('\n').count();
        let text = "a null character; an INF is text, UTF-16 needs a byte order mark";
        findings.add(Rule::Encoding, line, text);
    }
    text
}

fn wide(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let pairs = bytes.chunks_exact(2);
    let units: Vec<u16> = pairs.map(|pair| unit([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units)
}
