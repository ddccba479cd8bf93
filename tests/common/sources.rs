//! The sources of the safe crate, for tests of what its documentation says of them.

use std::fs;
use std::path::Path;

/// All of them, without comments.
pub(crate) fn read() -> String {
    fn read(dir: &Path, sources: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let is_code = |line: &&str| !line.trim_start().starts_with("//");
                sources.extend(text.lines().filter(is_code).flat_map(|line| [line, "\n"]));
            }
        }
    }
    let mut sources = String::new();
    // The safe crate's own tests have it as their folder, the raw crate's below it.
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = dir.join("fuse3/src");
    let src = if below.is_dir() {
        below
    } else {
        dir.join("src")
    };
    read(&src, &mut sources);
    sources
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// They define `name`, as `what` (`struct`, `fn`, ...).
pub(crate) fn define(sources: &str, what: &str, name: &str) -> bool {
    let form = format!("{what} {name}");
    let after = |(at, _): (usize, &str)| sources[at + form.len()..].chars().next();
    sources
        .match_indices(&form)
        .filter_map(after)
        .any(|next| !is_word(next))
}

/// The item of a path below `crate::`, and what is inside it: `("Entry", "new")` of `types::Entry::new`.
pub(crate) fn item(path: &str) -> (&str, &str) {
    let mut rest = path;
    while let Some((module, after)) = rest.split_once("::") {
        if module.starts_with(char::is_uppercase) {
            break;
        }
        rest = after;
    }
    rest.split_once("::").unwrap_or((rest, ""))
}
