//! Names inside a volume: `\directory\file:stream`.

use fltmgr_sys::{NTSTATUS, STATUS_OBJECT_NAME_INVALID};

/// The longest name of one file, directory or stream, in UTF-16 units.
const MAX_COMPONENT: usize = 255;

/// A path that was taken apart and found well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VolumePath {
    /// The names from the root down; none for the root itself.
    pub(super) components: Vec<String>,
    /// The data stream; empty for the default one.
    pub(super) stream: String,
    /// The path ended in a backslash and can only name a directory.
    pub(super) directory_only: bool,
}

impl VolumePath {
    /// Takes a path apart.
    pub(super) fn parse(path: &str, alternate_streams: bool) -> Result<Self, NTSTATUS> {
        let path = path.strip_prefix('\\').unwrap_or(path);
        let directory_only = path.len() > 1 && path.ends_with('\\');
        let path = if directory_only {
            &path[..path.len() - 1]
        } else {
            path
        };
        let mut components = Vec::new();
        let mut stream = String::new();
        if !path.is_empty() {
            let mut names = path.split('\\').peekable();
            while let Some(name) = names.next() {
                let last = names.peek().is_none();
                let name = match name.split_once(':') {
                    None => name,
                    Some((name, suffix)) if last && alternate_streams && !directory_only => {
                        stream = stream_name(suffix)?;
                        name
                    }
                    Some(_) => return Err(STATUS_OBJECT_NAME_INVALID),
                };
                // The root has no name of its own, so `\:stream` is a stream of the root.
                if name.is_empty() && last && components.is_empty() && !stream.is_empty() {
                    break;
                }
                check_component(name)?;
                components.push(name.to_owned());
            }
        }
        Ok(Self {
            components,
            stream,
            directory_only,
        })
    }
}

/// The name of a data stream from what follows the first colon, with or without its type.
fn stream_name(suffix: &str) -> Result<String, NTSTATUS> {
    let (name, kind) = suffix.split_once(':').unwrap_or((suffix, "$DATA"));
    let directory_index = name.eq_ignore_ascii_case("$I30");
    if directory_index && kind.eq_ignore_ascii_case("$INDEX_ALLOCATION") {
        return Ok(String::new());
    }
    if !kind.eq_ignore_ascii_case("$DATA") || (name.is_empty() && !suffix.contains(':')) {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    if name.encode_utf16().count() > MAX_COMPONENT || name.contains(['/', '\0']) {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    Ok(name.to_owned())
}

/// Whether a name may stand between two backslashes.
pub(super) fn check_component(name: &str) -> Result<(), NTSTATUS> {
    let forbidden = |character: char| character < ' ' || "\"*/:<>?\\|".contains(character);
    if name.is_empty()
        || name == "."
        || name == ".."
        || name.contains(forbidden)
        || name.encode_utf16().count() > MAX_COMPONENT
    {
        return Err(STATUS_OBJECT_NAME_INVALID);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> (Vec<String>, String, bool) {
        let path = VolumePath::parse(path, true).unwrap();
        (path.components, path.stream, path.directory_only)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_root_has_no_components() {
        assert_eq!(parsed(""), (vec![], String::new(), false));
        assert_eq!(parsed("\\"), (vec![], String::new(), false));
        assert_eq!(parsed("\\:s"), (vec![], "s".to_owned(), false));
    }

    #[test]
    fn components_streams_and_trailing_backslashes() {
        assert_eq!(parsed("\\a\\b"), (names(&["a", "b"]), String::new(), false));
        assert_eq!(parsed("a\\b\\"), (names(&["a", "b"]), String::new(), true));
        assert_eq!(parsed("\\a:s"), (names(&["a"]), "s".to_owned(), false));
        assert_eq!(
            parsed("\\a:s:$data"),
            (names(&["a"]), "s".to_owned(), false)
        );
        assert_eq!(parsed("\\a::$DATA"), (names(&["a"]), String::new(), false));
    }

    #[test]
    fn malformed_names_are_invalid() {
        let long = "x".repeat(256);
        for path in [
            "\\\\",
            "\\a\\\\b",
            "\\a\\..\\b",
            "\\.",
            "\\a*",
            "\\a?b",
            "\\a/b",
            "\\a:",
            "\\a:s:$X",
            "\\a:s\\b",
            "\\a\u{1}",
            "\\a\\:s",
            &long,
        ] {
            let result = VolumePath::parse(path, true);
            assert_eq!(result, Err(STATUS_OBJECT_NAME_INVALID), "{path}");
        }
        let plain = VolumePath::parse("\\a:s", false);
        assert_eq!(plain, Err(STATUS_OBJECT_NAME_INVALID));
    }
}
