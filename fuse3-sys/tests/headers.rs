//! Everything that the installed headers declare is bound, under its own name.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

const BINDINGS: &str = include_str!(concat!(env!("OUT_DIR"), "/bindings.rs"));
const SHIM: &str = include_str!("../src/shim.rs");
const MACROS: &str = include_str!("../src/macros.rs");

const HEADERS: [&str; 8] = [
    "fuse.h",
    "fuse_lowlevel.h",
    "fuse_common.h",
    "fuse_opt.h",
    "fuse_log.h",
    "cuse_lowlevel.h",
    // Of libfuse 3.19.
    "fuse_daemonize.h",
    "fuse_service.h",
];

/// The text of an installed header; `None` of one that this libfuse does not have.
fn read(header: &str) -> Option<String> {
    let path = format!("{}/{header}", env!("FUSE3_INCLUDE"));
    match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound && HEADERS[6..].contains(&header) => None,
        Err(error) => panic!("{path}: {error}"),
    }
}

/// What is in the headers and cannot or need not be bound, and why.
fn is_left_out(name: &str) -> bool {
    // Entry points for one API version, behind names that are bound.
    let versioned = [
        "_fn",
        "_30",
        "_31",
        "_32",
        "_312",
        "_317",
        "_319",
        "_versioned",
    ];
    versioned.iter().any(|suffix| name.ends_with(suffix))
        // The headers' own guards and checks.
        || name.ends_with("_H_")
        || name.starts_with("FUSE_USE_VERSION")
        || name == "fuse_static_assert"
        // A test on the template of an option, which is of use in C's own tables.
        || name == "FUSE_OPT_IS_OPT_KEY"
        // It defines a function, for a module that libfuse loads.
        || name == "FUSE_REGISTER_MODULE"
        // Declared and never exported (libfuse 3.19).
        || name == "fuse_conn_is_sync_init"
}

/// The text without comments, and without what an API version older than libfuse's own would see.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        out.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

/// The bindings without white space: where there is no rustfmt they are all on one line, and spaced otherwise.
fn bindings() -> String {
    BINDINGS.split_whitespace().collect()
}

/// `fuse_xyz(` and `#define FUSE_XYZ`.
fn names(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices('(') {
        let start = text[..at].rfind(|c| !is_word(c)).map_or(0, |i| i + 1);
        names.insert(text[start..at].to_owned());
    }
    for line in text.lines() {
        if let Some(rest) = line.trim_start().strip_prefix("#define") {
            let rest = rest.trim_start();
            names.insert(rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())].to_owned());
        }
    }
    let prefixes = ["fuse_", "cuse_", "FUSE_", "CUSE_"];
    names.retain(|name| {
        prefixes.iter().any(|prefix| name.starts_with(prefix)) && !is_left_out(name)
    });
    names
}

#[test]
fn every_function_and_constant_is_bound() {
    let bindings = bindings();
    let mut missing = Vec::new();
    let mut found = 0;
    for (header, text) in HEADERS.into_iter().filter_map(|it| Some((it, read(it)?))) {
        for name in names(&code(&text)) {
            let bound = bindings.contains(&format!("pubfn{name}("))
                || bindings.contains(&format!("pubconst{name}:"))
                || SHIM.contains(&format!("shim_{name} as {name}"))
                || ["pub const fn {name}(", "pub const {name}:"]
                    .iter()
                    .any(|form| MACROS.contains(&form.replace("{name}", &name)));
            found += 1;
            if !bound {
                missing.push(format!("{header}: {name}"));
            }
        }
    }
    assert!(
        found > 180,
        "only {found} names were found: are the headers read right?"
    );
    assert!(
        missing.is_empty(),
        "in the headers but not bound: {missing:#?}"
    );
}

#[test]
fn every_slot_is_bound() {
    for (header, table, least) in [
        ("fuse_lowlevel.h", "fuse_lowlevel_ops", 44),
        ("fuse.h", "fuse_operations", 42),
    ] {
        let text = code(&read(header).unwrap());
        let start = format!("struct {table} {{");
        let ops = text.split_once(&start).expect("the table").1;
        let ops = ops.split_once("\n};").expect("its end").0;
        let slots: Vec<_> = ops
            .match_indices("(*")
            .map(|(at, _)| ops[at + 2..].split(')').next().unwrap_or_default().trim())
            .collect();
        assert!(slots.len() >= least, "{slots:?}");
        let bindings = bindings();
        let start = format!("pubstruct{table}{{");
        let bound = bindings.split_once(&start).expect("the table").1;
        let bound = bound.split('}').next().unwrap_or_default();
        for slot in slots {
            let member = format!("pub{slot}:::std::option::Option<");
            assert!(bound.contains(&member), "{table}: {slot}");
        }
    }
}
