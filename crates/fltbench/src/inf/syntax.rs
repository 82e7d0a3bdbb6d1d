//! Sections, lines and values, each with the number of its line.

use super::finding::{Findings, Rule};
use std::collections::BTreeMap;

/// The longest value, with its terminator.
const LONGEST: usize = 4096;
/// The longest name of a section.
const LONGEST_NAME: usize = 255;

/// One value, without the quotes and blanks around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Value {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text.eq_ignore_ascii_case(text)
    }

    /// The number that it is, in decimal or hexadecimal notation.
    pub(crate) fn number(&self) -> Option<u32> {
        number(&self.text)
    }
}

/// A number in decimal or hexadecimal notation.
pub(crate) fn number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match digits {
        // The standard library takes a sign, an INF does not.
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        None if !text.starts_with('+') => text.parse().ok(),
        _ => None,
    }
}

/// One entry of a section: `key = value, value` or `value, value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) key: Option<Value>,
    pub(crate) values: Vec<Value>,
}

impl Line {
    /// A value by its position; an omitted one is empty.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.values.get(index).map_or("", |value| &value.text)
    }

    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.key.as_ref().is_some_and(|own| own.is(key))
    }

    /// What stands first: the key, or the only thing there is.
    pub(crate) fn head(&self) -> Option<&Value> {
        self.key.as_ref().or_else(|| self.values.first())
    }
}

/// A section with everything that stands under its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: Vec<Line>,
}

impl Section {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// All entries with a key.
    pub(crate) fn entries<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.has_key(key))
    }

    /// The entry that counts for a key that is there once: the first.
    pub(crate) fn entry(&self, key: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.has_key(key))
    }

    /// All values of all entries with a key: what a directive names.
    pub(crate) fn named<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Value> {
        self.entries(key)
            .flat_map(|line| &line.values)
            .filter(|value| !value.text.is_empty())
    }
}

/// A whole file. Sections of one name are one section, as Windows has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) sections: Vec<Section>,
    /// Where they are, by name in lower case.
    index: BTreeMap<String, usize>,
}

impl Document {
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        let index = self.index.get(&name.to_ascii_lowercase())?;
        self.sections.get(*index)
    }

    /// Finds sections by the names that they have now.
    pub(crate) fn renamed(&mut self) {
        let sections = self.sections.iter().enumerate().rev();
        self.index = sections
            .map(|(index, section)| (section.name.to_ascii_lowercase(), index))
            .collect();
    }
}

/// Takes a text apart. What cannot be understood is reported and left out.
pub(crate) fn parse(text: &str, findings: &mut Findings) -> Document {
    let mut document = Document::default();
    let mut current = None;
    let mut physical = text.lines().zip(1..);
    while let Some((line, number)) = physical.next() {
        let mut logical = Logical::default();
        let mut more = logical.take(line, number, findings);
        while more {
            let Some((line, number)) = physical.next() else {
                break;
            };
            more = logical.take(line, number, findings);
        }
        let whole = logical.text.trim();
        if whole.is_empty() {
            continue;
        }
        if whole.starts_with('[') {
            current = open(whole, number, &mut document, findings);
            continue;
        }
        match current.and_then(|index| document.sections.get_mut(index)) {
            Some(section) => section.lines.push(logical.split(number, findings)),
            None => findings.add(
                Rule::OutsideSection,
                number,
                "this line belongs to no section; put it under a [section]",
            ),
        }
    }
    document
}

/// Goes on in the section of a header; none if the header is none.
fn open(
    header: &str,
    number: usize,
    document: &mut Document,
    findings: &mut Findings,
) -> Option<usize> {
    let Some((name, rest)) = header[1..].split_once(']') else {
        let text = "the ] is missing; end the section's name with it";
        findings.add(Rule::SectionHeader, number, text);
        return None;
    };
    let name = unquote(name.trim());
    if !rest.trim().is_empty() {
        let text = format!(
            "{} stands after the ]; put it on a line of its own",
            rest.trim()
        );
        findings.add(Rule::SectionHeader, number, text);
    }
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        let text = format!("a section's name has 1 to {LONGEST_NAME} characters");
        findings.add(Rule::SectionHeader, number, text);
        return None;
    }
    let next = document.sections.len();
    let index = *document
        .index
        .entry(name.to_ascii_lowercase())
        .or_insert(next);
    if index < next {
        let text = format!(
            "[{name}] stands in line {} already, and Windows joins the two; join them here",
            document.sections[index].line
        );
        findings.add(Rule::DuplicateSection, number, text);
        return Some(index);
    }
    document.sections.push(Section {
        name,
        line: number,
        lines: Vec::new(),
    });
    Some(next)
}

/// A line of which each part ends with a backslash except the last.
#[derive(Default)]
struct Logical {
    text: String,
    /// From which byte on the text is from which line.
    parts: Vec<(usize, usize)>,
}

impl Logical {
    /// Adds one line of the file, and says whether the next one belongs to it.
    fn take(&mut self, line: &str, number: usize, findings: &mut Findings) -> bool {
        self.parts.push((self.text.len(), number));
        let (line, closed) = without_comment(line);
        let line = line.trim();
        if !closed && !line.starts_with('[') {
            let text = "the string is not ended; a quotation mark is missing";
            findings.add(Rule::UnterminatedString, number, text);
        }
        let continued = closed && line.ends_with('\\') && !line.starts_with('[');
        let end = line.len() - usize::from(continued);
        self.text.push_str(line[..end].trim_end());
        continued
    }

    fn line_at(&self, at: usize) -> usize {
        let part = self.parts.iter().rev().find(|(from, _)| *from <= at);
        part.map_or(0, |(_, number)| *number)
    }

    fn split(&self, number: usize, findings: &mut Findings) -> Line {
        let mut line = Line {
            number,
            ..Line::default()
        };
        let mut quoted = false;
        let mut from = 0;
        for (at, character) in self.text.char_indices() {
            match character {
                '"' => quoted = !quoted,
                '=' if !quoted && line.key.is_none() && line.values.is_empty() => {
                    line.key = Some(self.value(from, at, findings));
                    from = at + 1;
                }
                ',' if !quoted => {
                    line.values.push(self.value(from, at, findings));
                    from = at + 1;
                }
                _ => {}
            }
        }
        line.values
            .push(self.value(from, self.text.len(), findings));
        line
    }

    fn value(&self, from: usize, to: usize, findings: &mut Findings) -> Value {
        let raw = &self.text[from..to];
        let blanks = raw.len() - raw.trim_start().len();
        let value = Value {
            text: unquote(raw.trim()),
            line: self.line_at(from + blanks),
        };
        if value.text.chars().count() >= LONGEST {
            let text = format!("a value of {LONGEST} characters or more; make it shorter");
            findings.add(Rule::TooLong, value.line, text);
        }
        value
    }
}

/// A line up to a semicolon outside of strings, and whether every string in it ends.
fn without_comment(line: &str) -> (&str, bool) {
    let mut quoted = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ';' if !quoted => return (&line[..at], true),
            _ => {}
        }
    }
    (line, !quoted)
}

/// A value without its quotes; a doubled one inside a string is one character.
fn unquote(value: &str) -> String {
    let mut output = String::with_capacity(value.len());
    let mut quoted = false;
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '"' {
            output.push(character);
        } else if quoted && characters.peek() == Some(&'"') {
            characters.next();
            output.push('"');
        } else {
            quoted = !quoted;
        }
    }
    output
}
