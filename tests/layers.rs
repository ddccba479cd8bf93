//! The folders of fuse3/src, from the bottom up: each uses only those below it. Inside of one, types that name each other (a
//! lock and its guards) may make a cycle of a few files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const LAYERS: [&str; 12] = [
    "base", "types", "lock", "kit", "conn", "notify", "reply", "tasks", "dispatch", "session",
    "testing", "guide",
];
const LARGEST_CYCLE: usize = 5;
/// Beside lib.rs.
const LOOSE_FILES: usize = 6;

type Files = BTreeMap<String, String>;

/// The code of each file, without comments and unit tests, by its path below `src` without `.rs`.
fn read(dir: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.is_dir() {
            read(&path, &format!("{prefix}{name}/"), files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            files.insert(
                format!("{prefix}{name}"),
                code.collect::<Vec<_>>().join("\n"),
            );
        }
    }
}

/// The paths after each `crate::`, with braces written out.
fn paths(code: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let mut stack = vec![String::new()];
        let mut path = String::new();
        for c in code[at + "crate::".len()..].chars() {
            match c {
                '{' => stack.push(path.clone()),
                ',' | '}' if stack.len() > 1 => {
                    all.push(std::mem::replace(&mut path, stack.last().unwrap().clone()));
                    if c == '}' {
                        stack.pop();
                    }
                }
                c if c.is_alphanumeric() || c == '_' || c == ':' => path.push(c),
                c if c.is_whitespace() && stack.len() > 1 => {}
                _ => break,
            }
        }
        all.push(path);
    }
    all
}

/// The file that a path leads into.
fn file_of(path: &str, files: &Files) -> Option<String> {
    let mut place = path.replace("::", "/");
    while !place.is_empty() {
        if files.contains_key(&place) {
            return Some(place);
        }
        place.truncate(place.rfind('/').unwrap_or(0));
    }
    None
}

fn sources() -> Files {
    let mut files = Files::new();
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "",
        &mut files,
    );
    assert!(files.len() > 100, "{}", files.len());
    files
}

#[test]
fn no_folder_uses_one_above_it() {
    let files = sources();
    let layer = |path: &str| {
        LAYERS
            .iter()
            .position(|it| path.split(['/', ':']).next() == Some(it))
    };
    let loose: Vec<_> = files.keys().filter(|file| layer(file).is_none()).collect();
    assert!(loose.len() <= 1 + LOOSE_FILES, "{loose:?}");
    let mut edges = 0;
    for (file, code) in &files {
        for path in paths(code) {
            if let (Some(from), Some(to)) = (layer(file), layer(&path)) {
                assert!(
                    to <= from,
                    "{file}.rs uses crate::{path}, which is above it"
                );
                edges += 1;
            }
        }
    }
    assert!(edges > 500, "{edges}");
}

#[test]
fn no_cycle_has_more_than_a_few_files() {
    let files = sources();
    let mut reach: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
    for (file, code) in &files {
        let used = paths(code)
            .into_iter()
            .filter_map(|path| file_of(&path, &files));
        reach.insert(file, used.filter(|used| used != file).collect());
    }
    let mut changed = true;
    while changed {
        changed = false;
        for file in files.keys() {
            let further: BTreeSet<_> = reach[file]
                .iter()
                .flat_map(|it| reach[it].clone())
                .collect();
            let all = reach.get_mut(file).unwrap();
            let before = all.len();
            all.extend(further);
            changed |= all.len() > before;
        }
    }
    for file in files.keys().filter(|file| reach[*file].contains(*file)) {
        let cycle: Vec<_> = reach[file]
            .iter()
            .filter(|it| reach[*it].contains(file))
            .collect();
        assert!(
            cycle.len() <= LARGEST_CYCLE,
            "a cycle of {} files: {cycle:?}",
            cycle.len()
        );
    }
}
