//! The folders of fuse3/src, from the bottom up: each uses only those below it. Inside of one, types that name each other (a
//! lock and its guards) may make a cycle of a few files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const LAYERS: [&str; 13] = [
    "base", "types", "lock", "kit", "observe", "conn", "notify", "reply", "tasks", "dispatch",
    "session", "testing", "guide",
];
const LARGEST_CYCLE: usize = 5;
const BESIDE_LIB: usize = 6;

/// The code of each file, without comments and unit tests, by the path of its module: `types::ino::`.
fn read(dir: &Path, parent: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let module = format!("{parent}{}::", path.file_stem().unwrap().to_str().unwrap());
        if path.is_dir() {
            read(&path, &module, files);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code = code.lines().map(str::trim);
            files.insert(module, code.filter(|it| !it.starts_with("//")).collect());
        }
    }
}

/// What follows each `crate::`, with braces written out.
fn paths(code: &str) -> Vec<String> {
    let path = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    let mut all = Vec::new();
    for text in code.split("crate::").skip(1) {
        let (start, rest) = text.split_at(path(text).unwrap());
        match rest.strip_prefix('{').and_then(|it| it.split_once('}')) {
            Some((names, _)) if start.is_empty() || start.ends_with("::") => {
                assert!(
                    !names.contains('{'),
                    "write braces in braces apart: {start}{{{names}"
                );
                all.extend(
                    names
                        .split(',')
                        .map(|name| format!("{start}{}", name.trim())),
                );
            }
            _ => all.push(start.to_owned()),
        }
    }
    all
}

/// The paths that each file uses.
fn uses() -> BTreeMap<String, Vec<String>> {
    let mut files = BTreeMap::new();
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "",
        &mut files,
    );
    assert!(files.len() > 100, "{}", files.len());
    files
        .into_iter()
        .map(|(file, code)| (file, paths(&code)))
        .collect()
}

#[test]
fn no_folder_uses_one_above_it() {
    let layer = |path: &str| {
        LAYERS
            .iter()
            .position(|it| path.split("::").next() == Some(it))
    };
    let uses = uses();
    assert!(uses.keys().filter(|file| layer(file).is_none()).count() <= 1 + BESIDE_LIB);
    for (file, paths) in &uses {
        for path in paths {
            let is_above = layer(file).is_some_and(|it| layer(path).is_some_and(|to| to > it));
            assert!(!is_above, "{file} uses crate::{path}, which is above it");
        }
    }
}

#[test]
fn no_cycle_has_more_than_a_few_files() {
    let uses = uses();
    let file_of = |path: &String| {
        // The path of a module may end with its name.
        let path = format!("{path}::");
        uses.keys().rfind(|file| path.starts_with(*file))
    };
    let reach = uses
        .iter()
        .map(|(file, paths)| (file, paths.iter().filter_map(file_of).collect()));
    let mut reach: BTreeMap<_, BTreeSet<_>> = reach.collect();
    assert!(reach.values().map(BTreeSet::len).sum::<usize>() > 500);
    for via in uses.keys() {
        let further = reach[via].clone();
        for reached in reach.values_mut().filter(|it| it.contains(via)) {
            reached.extend(&further);
        }
    }
    for (file, reached) in &reach {
        let is_back = |it: &&&String| *it != file && reach[*it].contains(*file);
        let cycle: Vec<_> = reached.iter().filter(is_back).collect();
        assert!(
            cycle.len() < LARGEST_CYCLE,
            "{file} is in a cycle with {cycle:?}"
        );
    }
}
