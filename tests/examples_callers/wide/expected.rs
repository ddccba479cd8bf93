//! Differences that are expected, each with its reason.

use std::collections::BTreeMap;

use super::is_wanted;

const LIST: &str = include_str!("expected.txt");

struct Row {
    mode: &'static str,
    topic: &'static str,
    answer: &'static str,
    why: &'static str,
    /// How often, in each mode.
    seen: BTreeMap<String, usize>,
}

/// `expected.txt`.
pub(super) struct Expected(Vec<Row>);

/// Whether `text` is as `pattern` says, where `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else {
        return rest.is_empty();
    };
    let parts: Vec<_> = parts.collect();
    for part in &parts[..parts.len() - 1] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Expected {
    pub(super) fn read() -> Self {
        let mut rows = Vec::new();
        let mut why = "";
        for line in LIST.lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(reason) = line.strip_prefix("= ") {
                why = reason;
                continue;
            }
            let mut cells = line.split(" | ");
            let mut next = || cells.next().expect("mode | topic | answer").trim();
            rows.push(Row {
                mode: next(),
                topic: next(),
                answer: next(),
                why,
                seen: BTreeMap::new(),
            });
        }
        Self(rows)
    }

    /// Whether an answer is expected to differ so.
    pub(super) fn is(&mut self, mode: &str, topic: &str, answer: &str) -> bool {
        let row = self.0.iter_mut().find(|row| {
            row.topic == topic && matches(row.mode, mode) && matches(row.answer, answer)
        });
        row.is_some_and(|row| {
            *row.seen.entry(mode.to_owned()).or_default() += 1;
            true
        })
    }

    /// What was expected in this mode and did not come.
    pub(super) fn missing(&self, mode: &str, only: Option<&str>) -> Vec<String> {
        let missing = self.0.iter().filter(|row| {
            matches(row.mode, mode) && is_wanted(only, row.topic) && !row.seen.contains_key(mode)
        });
        missing
            .map(|row| format!("{} | {}", row.topic, row.answer))
            .collect()
    }

    /// What came, and why.
    pub(super) fn reasons(&self) -> String {
        let rows = self.0.iter().filter(|row| !row.seen.is_empty());
        let lines = rows.map(|row| {
            let count: usize = row.seen.values().sum();
            format!(
                "{count:>6} {} | {} | {}: {}\n",
                row.mode, row.topic, row.answer, row.why
            )
        });
        lines.collect()
    }
}

#[test]
fn patterns() {
    for (pattern, text, is) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("*b", "ab", true),
        ("*b", "ba", false),
        ("a*c*e", "abcde", true),
        ("a*d*c*e", "abcde", false),
        ("ab*bc", "abc", false),
        ("*: 1 => *: 2", "x: 1 => x: 2", true),
        ("*: 1 => *: 2", "x: 1 => x: 3", false),
    ] {
        assert_eq!(matches(pattern, text), is, "{pattern} {text}");
    }
}
