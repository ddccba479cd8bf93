//! The manual pages say what `--help` says.

use std::collections::BTreeSet;
use std::process::Command;

const PROGRAMS: [(&str, &str, &str); 3] = [
    (
        "fuse3-passthrough-hp",
        env!("CARGO_BIN_EXE_fuse3-passthrough-hp"),
        include_str!("../man/fuse3-passthrough-hp.1"),
    ),
    (
        "fuse3-passthrough-ll",
        env!("CARGO_BIN_EXE_fuse3-passthrough-ll"),
        include_str!("../man/fuse3-passthrough-ll.1"),
    ),
    (
        "fuse3-tmpfs",
        env!("CARGO_BIN_EXE_fuse3-tmpfs"),
        include_str!("../man/fuse3-tmpfs.1"),
    ),
];

/// What each CommandLine takes whatever libfuse says in its help, which 3.10 to 3.18 do differently.
const LIBFUSE_S: [&str; 9] = [
    "-d",
    "-f",
    "-h",
    "-o debug",
    "-o max_threads",
    "-s",
    "-V",
    "--help",
    "--version",
];

fn help(program: &str) -> String {
    let output = Command::new(program).arg("--help").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Without the value: `-o size=N` is `-o size`. Of `cache=never` the value is what matters.
fn name(option: &str) -> String {
    let is_value = |text: &str| {
        text.trim_start()
            .starts_with(|c: char| c.is_ascii_uppercase())
    };
    let option = option.trim();
    let (dash, option) = match option.strip_prefix("-o ") {
        Some(option) => ("-o ", option.trim_start()),
        None => ("", option),
    };
    let name = match option.split_once('=') {
        Some((name, value)) if is_value(value) => name,
        _ if is_value(option) => "",
        _ => option,
    };
    format!("{dash}{name}").trim_end().to_owned()
}

/// The program's own options: `    -o size=N   what it is`, up to an empty line.
fn own(help: &str) -> BTreeSet<String> {
    let (_, own) = help.split_once("options:\n").unwrap();
    own.lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.trim_start().split("  ").next())
        .filter(|option| option.starts_with('-'))
        .map(name)
        .collect()
}

/// The paragraphs of OPTIONS that have a title: `.BI "\-o size=" N`, `.BR \-d ", " "\-o debug"`.
fn described(page: &str) -> BTreeSet<String> {
    let (_, options) = page.split_once(".SH OPTIONS\n").unwrap();
    let (options, _) = options.split_once(".SH").unwrap();
    let titles = options
        .split(".TP\n")
        .skip(1)
        .filter_map(|paragraph| paragraph.lines().next()?.split_once(' '));
    titles
        .flat_map(|(_, title)| {
            let title = title.replace("\\-", "-").replace('"', "");
            title.split(" , ").map(name).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_pages_have_the_options_that_there_are() {
    for (name, program, page) in PROGRAMS {
        let own = own(&help(program));
        assert!(!own.is_empty(), "{name}");
        let described = described(page);
        let missing: Vec<_> = own.difference(&described).collect();
        assert!(missing.is_empty(), "{name}.1 does not have {missing:?}");
        let unknown: Vec<_> = described
            .difference(&own)
            .filter(|option| {
                name == "fuse3-passthrough-hp" || !LIBFUSE_S.contains(&option.as_str())
            })
            .collect();
        assert!(unknown.is_empty(), "{name} does not have {unknown:?}");
    }
}

#[test]
fn the_pages_have_the_names_of_the_programs() {
    for (name, program, page) in PROGRAMS {
        let roff = name.replace('-', "\\-");
        assert!(page.starts_with(&format!(".TH {} 1 ", roff.to_uppercase())));
        assert!(page.contains(&format!(".SH NAME\n{roff} \\- ")), "{name}");
        assert!(
            page.contains(&format!("mount \\-t fuse.{roff}\n")),
            "{name}"
        );
        let usage = help(program).lines().next().unwrap().to_owned();
        assert!(usage.contains(name), "{usage}");
    }
}

#[test]
fn the_pages_have_the_version() {
    for (name, _, page) in PROGRAMS {
        let version = format!("\"fuse3 {}\"", env!("CARGO_PKG_VERSION"));
        let title = page.lines().next().unwrap();
        assert!(title.contains(&version), "{name}: {title}");
    }
}

/// It is no file system, and has a form of its own.
#[test]
fn the_page_of_the_keeper_has_its_options() {
    let page = include_str!("../man/fuse3-keeper.1").replace("\\-", "-");
    let help = help(env!("CARGO_BIN_EXE_fuse3-keeper"));
    let words = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let options: BTreeSet<_> = words.filter(|word| word.starts_with('-')).collect();
    assert!(options.len() > 3, "{options:?}");
    for option in options {
        assert!(page.contains(option), "{option}");
    }
    assert!(page.contains(concat!("\"fuse3 ", env!("CARGO_PKG_VERSION"), "\"")));
}
