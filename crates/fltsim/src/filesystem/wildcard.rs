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
    let pattern = prepare(pattern);
    let name = prepare(name);
    let last_dot = name.iter().rposition(|&character| character == '.');

    // `reached[i]`: the pattern so far fits the first `i` characters of the name.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for wanted in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            let here = name.get(at).copied();
            match wanted {
                '*' => next[at] = reached[at] || (at > 0 && next[at - 1]),
                '<' => {
                    let stays = reached[at];
                    let came = at > 0 && next[at - 1] && Some(at - 1) != last_dot;
                    next[at] = stays || came;
                }
                '>' if reached[at] => match here {
                    Some(character) if character != '.' => next[at + 1] = true,
                    _ => next[at] = true,
                },
                '"' if reached[at] => match here {
                    Some('.') => next[at + 1] = true,
                    None => next[at] = true,
                    Some(_) => {}
                },
                '?' if reached[at] && here.is_some() => next[at + 1] = true,
                literal if reached[at] && here == Some(literal) => next[at + 1] = true,
                _ => {}
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
