//! Everything that the installed headers declare is covered by the safe crate, or the documentation says why not.

#[path = "../../tests/common/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sources::{define, is_word, item};

/// What the module `fuse3::guide::coverage` shows.
const TABLE: &str = include_str!("../../fuse3/src/guide/coverage.md");

/// Names for one API version, behind names that are covered.
const VERSIONED: [&str; 8] = [
    "_fn",
    "_30",
    "_31",
    "_32",
    "_312",
    "_317",
    "_319",
    "_versioned",
];

/// A line of the table.
#[derive(Debug)]
struct Row {
    since: [u32; 3],
    here: &'static str,
}

fn release(text: &str) -> [u32; 3] {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

fn is_function(name: &str) -> bool {
    name.starts_with("fuse_") || name.starts_with("cuse_")
}

/// Slots of the table of operations, and functions. A name that ends with `*` is of all that begin so.
fn rows() -> (BTreeMap<&'static str, Row>, BTreeMap<&'static str, Row>) {
    let mut rows = BTreeMap::new();
    for line in TABLE.lines().filter(|line| line.starts_with("| `")) {
        let columns: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, since, here] = columns[..] else {
            panic!("{line}");
        };
        if name == "`fuse_lowlevel_ops`" {
            continue;
        }
        let since = release(since);
        for name in name.split(", ") {
            let other = rows.insert(name.trim_matches('`'), Row { since, here });
            assert!(other.is_none(), "{name} is there twice");
        }
    }
    let (functions, slots): (BTreeMap<_, _>, BTreeMap<_, _>) =
        rows.into_iter().partition(|(name, _)| is_function(name));
    assert!(slots.len() >= 46 && functions.len() >= 60, "{TABLE}");
    (slots, functions)
}

/// All headers of libfuse without their comments; some are of 3.19.
fn header() -> String {
    let all = [
        "fuse_lowlevel.h",
        "cuse_lowlevel.h",
        "fuse.h",
        "fuse_common.h",
        "fuse_opt.h",
        "fuse_log.h",
    ];
    let newer = ["fuse_daemonize.h", SERVICE];
    let newer = newer.into_iter().filter(|name| is_installed(name));
    all.into_iter().chain(newer).map(code_of).collect()
}

/// It is installed where libfuse was built for systemd.
const SERVICE: &str = "fuse_service.h";

fn is_installed(header: &str) -> bool {
    Path::new(env!("FUSE3_INCLUDE")).join(header).exists()
}

fn code_of(name: &str) -> String {
    let path = format!("{}/{name}", env!("FUSE3_INCLUDE"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut code = String::new();
    let mut rest = &text[..];
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    code + rest
}

/// The slots that the headers declare.
fn slots(header: &str) -> BTreeSet<&str> {
    let (_, ops) = header.split_once("struct fuse_lowlevel_ops {").unwrap();
    let (ops, _) = ops.split_once("\n};").unwrap();
    ops.split("(*")
        .skip(1)
        .map(|slot| slot.split(')').next().unwrap().trim())
        .collect()
}

/// The functions that they declare.
fn functions(header: &str) -> BTreeSet<&str> {
    let ends = header.match_indices('(').map(|(end, _)| &header[..end]);
    let names = ends.map(|before| before.rsplit(|c| !is_word(c)).next().unwrap());
    let is_api = |name: &&str| {
        is_function(name)
            && !VERSIONED.iter().any(|suffix| name.ends_with(suffix))
            // A check, and what is declared and never exported (3.19).
            && !["fuse_static_assert", "fuse_conn_is_sync_init"].contains(name)
    };
    names.filter(is_api).collect()
}

/// What the installed headers and the table have, and the other does not.
#[track_caller]
fn compare(declared: &BTreeSet<&str>, rows: &BTreeMap<&str, Row>) {
    let release = fuse3::sys::header_version();
    let is_of = |row: &str, name: &str| match row.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => row == name,
    };
    let missing: Vec<_> = declared
        .iter()
        .filter(|name| !rows.keys().any(|row| is_of(row, name)))
        .collect();
    assert!(missing.is_empty(), "in no row of coverage.md: {missing:#?}");
    let is_there = |row: &Row, name: &str| {
        row.since <= release && (!name.starts_with("fuse_service_") || is_installed(SERVICE))
    };
    let unknown: Vec<_> = rows
        .iter()
        .filter(|(row, since)| {
            is_there(since, row) && !declared.iter().any(|name| is_of(row, name))
        })
        .collect();
    assert!(
        unknown.is_empty(),
        "not in the headers of {release:?}: {unknown:#?}"
    );
}

#[test]
fn every_operation_is_in_the_table() {
    let (rows, _) = rows();
    let header = header();
    let declared = slots(&header);
    assert!(declared.len() >= 44, "{declared:?}");
    compare(&declared, &rows);
}

#[test]
fn every_function_is_in_the_table() {
    let (_, rows) = rows();
    let header = header();
    let declared = functions(&header);
    let replies = declared
        .iter()
        .filter(|name| name.starts_with("fuse_reply_"));
    assert!(replies.count() >= 20, "{declared:?}");
    compare(&declared, &rows);
}

/// What is said to be covered is called.
#[test]
fn the_table_says_what_the_crate_calls() {
    let sources = sources::read();
    let (slots, functions) = rows();
    let is_there = |forms: &[String]| forms.iter().any(|form| sources.contains(form));
    for (name, row) in slots {
        // libfuse calls another slot in its place.
        let by = row.here.strip_prefix("by `");
        let slot = by.map_or(name, |by| by.split('`').next().unwrap());
        let filled = [format!("ops.{slot} = "), format!("set_{slot}(")];
        let is_covered = row.here.starts_with('[') || by.is_some();
        assert_eq!(is_there(&filled), is_covered, "{name}: {row:?}");
    }
    for (name, row) in functions {
        let short = name.strip_prefix("fuse_").unwrap_or(name);
        let notification = short.strip_prefix("lowlevel_notify_").unwrap_or(short);
        let called = [
            format!("sys::{name}("),
            format!("sys::fuse3_{short}("),
            // Notifications have these names, and are written to the kernel without libfuse.
            format!("=> \"{notification}\""),
        ];
        // What has no counterpart may be of use to the library itself.
        if !row.here.starts_with("no: ") {
            assert_eq!(
                is_there(&called),
                row.here.starts_with('['),
                "{name}: {row:?}"
            );
        }
    }
}

/// Each place that is named is one.
#[test]
fn the_places_are_there() {
    let sources = sources::read();
    let (slots, functions) = rows();
    for (name, row) in slots.into_iter().chain(functions) {
        let is_explained = ["[", "by `", "no: "]
            .iter()
            .any(|start| row.here.starts_with(start));
        assert!(is_explained, "{name}: {row:?}");
        for place in row.here.split("(crate::").skip(1) {
            let place = place.split(')').next().unwrap();
            let (kind, function) = item(place);
            let is_type = ["struct", "enum", "trait", "fn"]
                .iter()
                .any(|what| define(&sources, what, kind));
            assert!(is_type, "{name}: there is no {kind}");
            assert!(
                function.is_empty() || define(&sources, "fn", function),
                "{name}: there is no {place}"
            );
        }
    }
}
