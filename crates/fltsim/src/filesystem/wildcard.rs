//! Directory patterns, with the three wildcards that Win32 makes out of `*.` and the like.

use crate::storage::fold;

/// Whether a name fits a pattern.
///
/// `*` is any run of characters and `?` any single one. `<` is any run that stops before the last
/// dot, `>` any single character or, at a dot or the end, none, and `"` a dot or the end.
pub(super) fn matches(pattern: &str, name: &str, case_sensitive: bool) -> bool {
    if pattern.is_empty() || pattern == "*" {
        return true;
    }
    let prepare = |text: &str| -> Vec<char> {
        if case_sensitive {
            text.chars().collect()
        } else {
            fold(text).chars().collect()
        }
    };
    fits(&prepare(pattern), &prepare(name))
}

/// Whether a name fits a pattern, in whatever units they are; the case is not looked at.
pub(crate) fn fits<T: Copy + Eq + From<u8>>(pattern: &[T], name: &[T]) -> bool {
    let is = |unit: T, byte: u8| unit == T::from(byte);
    let last_dot = name.iter().rposition(|unit| is(*unit, b'.'));

    // `reached[i]`: the pattern so far fits the first `i` units of the name.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for wanted in pattern.iter().copied() {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            let here = name.get(at).copied();
            let dot = here.is_some_and(|unit| is(unit, b'.'));
            if is(wanted, b'*') {
                next[at] = reached[at] || (at > 0 && next[at - 1]);
            } else if is(wanted, b'<') {
                let came = at > 0 && next[at - 1] && Some(at - 1) != last_dot;
                next[at] = reached[at] || came;
            } else if !reached[at] {
                // Nothing comes from here; what was reached before stays.
            } else if is(wanted, b'>') {
                next[if here.is_some() && !dot { at + 1 } else { at }] = true;
            } else if is(wanted, b'"') {
                if dot {
                    next[at + 1] = true;
                } else if here.is_none() {
                    next[at] = true;
                }
            } else if here.is_some() && (is(wanted, b'?') || here == Some(wanted)) {
                next[at + 1] = true;
            }
        }
        reached = next;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn plain_wildcards() {
        assert!(matches("*", "anything", false));
        assert!(matches("*.txt", "A.TXT", false));
        assert!(!matches("*.txt", "A.TXT", true));
        assert!(matches("a?c", "abc", false));
        assert!(!matches("a?c", "ac", false));
        assert!(matches("a*b*c", "axxbyyc", false));
        assert!(!matches("a*b*c", "axxbyy", false));
        assert!(matches("abc", "ABC", false));
        assert!(!matches("abc", "abcd", false));
    }

    #[test]
    fn wildcards_of_the_command_line() {
        assert!(matches("<.txt", "a.b.txt", false));
        assert!(matches("a>>", "a", false));
        assert!(matches("a>>", "abc", false));
        assert!(!matches("a>>", "abcd", false));
        assert!(matches("name\"", "name", false));
        assert!(matches("name\"", "name.", false));
        assert!(matches("<\"<", "a.b", false));
    }
}
