//! The same of many more calls, of C's programs, too: `scripts/conformance differential`.
//!
//! A table says how many answers there were, and how many of them differ from the source's. What differs has to be in
//! `expected.txt` with the reason, and what is there has to differ.

mod access;
mod cookies;
mod expected;
mod holes;
mod locks;
mod maps;
mod renames;
mod times;
mod xattrs;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::mount::skip::skip;
use crate::mount::{Mounted, is_root};
use crate::numbers::{self, OWN, Said};
use crate::place::{Compared, Place, Source, WAYS};
use crate::{acls, attributes, bits, umask};

use expected::Expected;

/// After so long a file system is killed.
const DEADLINE: Duration = Duration::from_secs(600);

type Script = fn(&mut Place);

const TOPICS: &[(&str, &[Script])] = &[
    (
        "access",
        &[
            access::files,
            access::directories,
            access::owners,
            access::sticky,
            acls::acls,
            acls::acls_that_are_set,
        ],
    ),
    ("umask", &[umask::made_with_umask]),
    (
        "set-id",
        &[
            bits::bits_after_changes,
            bits::bits_given_to_what_is_open,
            bits::bits_after_chown,
            bits::set_group_id,
        ],
    ),
    ("set-id, no x", &[bits::bits_without_execution]),
    ("locks", &[locks::whole_files, locks::records]),
    ("locks, source", &[locks::seen_from_the_source]),
    (
        "times",
        &[times::rules, times::read_after_write, times::setters],
    ),
    (
        "xattrs",
        &[
            xattrs::edges,
            xattrs::holders,
            attributes::names_of_attributes,
        ],
    ),
    (
        "rename",
        &[renames::kinds, renames::open_ones, renames::renamers],
    ),
    ("holes", &[holes::seeks, holes::allocations]),
    ("cookies", &[cookies::places, cookies::changes]),
    ("mmap", &[maps::shared, maps::private, maps::opened]),
];

/// A program in one of its modes.
struct Mode {
    /// As `scripts/conformance` calls it.
    name: String,
    example: String,
    options: Vec<String>,
    /// One of C, and not the example of that name.
    program: Option<PathBuf>,
}

impl Mode {
    fn new(name: &str) -> Self {
        let (is_c, words) = match name.strip_prefix("C ") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let mut words = words.split_whitespace().map(str::to_owned);
        let example = words.next().expect("a program");
        let folder = || {
            PathBuf::from(env::var_os("FUSE3_DIFFERENTIAL_C").expect("the folder of C's programs"))
        };
        let mut options: Vec<_> = words.collect();
        match &*example {
            "passthrough_hp" if is_c => {}
            "passthrough_hp" => options.push("--foreground".to_owned()),
            "passthrough_ll" => {
                options.extend(["-f", "-o", "default_permissions"].map(str::to_owned))
            }
            _ => {}
        }
        Self {
            name: name.to_owned(),
            program: is_c.then(|| folder().join(&example)),
            example,
            options,
        }
    }

    /// Those that the script asks for, one a line; the tests' own if it does not.
    fn all() -> Vec<Self> {
        match env::var("FUSE3_DIFFERENTIAL") {
            Ok(names) => names.lines().map(Self::new).collect(),
            Err(_) => WAYS
                .iter()
                .map(|(example, options, _)| Self::new(&format!("{example} {}", options.join(" "))))
                .collect(),
        }
    }

    /// What `expected.txt` calls it: from libfuse 3.17 on the kernel may be asked for more.
    fn key(&self) -> String {
        let is_new = fuse3::sys::header_version() >= [3, 17, 0];
        format!("{} ~{}", self.name, if is_new { "new" } else { "old" })
    }

    fn has_xattrs(&self) -> bool {
        self.example != "passthrough_ll" || self.name.contains("xattr")
    }

    fn mount(&self, source: &Source) -> Mounted {
        let of = source.0.to_str().unwrap();
        let mut arguments: Vec<_> = self.options.iter().map(String::as_str).collect();
        let given = format!("allow_other,source={of}");
        match (&*self.example, &self.program) {
            // It has allow_other by itself.
            ("passthrough_hp", Some(_)) => arguments.push(of),
            ("passthrough_ll", _) => arguments.extend(["-o", &given]),
            _ => arguments.extend(["-o", "allow_other", of]),
        }
        let change = |_: &mut std::process::Command, _: &std::path::Path| {};
        let mounted = match &self.program {
            Some(program) => {
                Mounted::start_program(&self.example, &arguments, DEADLINE, change, || {
                    program.clone()
                })
            }
            None => Mounted::new(&self.example, &arguments, DEADLINE),
        };
        mounted.expect("this was asked for where nothing can be mounted")
    }
}

/// What numbers and handles lead to, as if the source had said that it is right.
fn own(said: Vec<Said>) -> Compared {
    let answers = said.len();
    let pairs = said
        .into_iter()
        .map(|(what, said)| [format!("{what}: {OWN}"), format!("{what}: {said}")]);
    Compared {
        answers,
        different: pairs.filter(|[right, said]| right != said).collect(),
        left_out: true,
    }
}

fn given_again(mode: &Mode) -> Vec<Said> {
    let source = Source::new();
    let mounted = mode.mount(&source);
    let by_name = mode.example == "passthroughfs";
    let said = numbers::given_again_in(if by_name { 20 } else { 1 }, &source, &mounted);
    // The others hold descriptors, and so the numbers are not given again.
    assert!(said.is_some() || !by_name, "no number was given again");
    let mut said = said.unwrap_or_default();
    said.extend(ended(mounted).map(|how| ("the end".to_owned(), how)));
    said
}

fn ended(mounted: Mounted) -> Option<String> {
    let ended = mounted.unmount();
    (!ended.status.success()).then(|| format!("{ended:?}"))
}

/// Whether `topic` is one of those that were asked for, by how they begin.
fn is_wanted(only: Option<&str>, topic: &str) -> bool {
    only.is_none_or(|only| only.split(',').any(|start| topic.starts_with(start)))
}

/// All topics in one mode, one after the other.
fn compare(mode: &Mode, only: Option<&str>, each: &mut dyn FnMut(&'static str, Compared)) {
    let wanted = |topic: &str| is_wanted(only, topic);
    for (topic, scripts) in TOPICS.iter().filter(|(topic, _)| wanted(topic)) {
        let source = Source::new();
        let mounted = mode.mount(&source);
        let mut sum = Compared {
            answers: 0,
            different: Vec::new(),
            left_out: true,
        };
        for (number, script) in scripts.iter().enumerate() {
            let one = Compared::new(
                &source,
                &mounted,
                mode.has_xattrs(),
                &number.to_string(),
                *script,
            );
            sum.answers += one.answers;
            sum.different.extend(one.different);
            sum.left_out &= one.left_out;
        }
        if let Some(how) = ended(mounted) {
            sum.different
                .push(["the program ends well".to_owned(), how]);
        }
        each(topic, sum);
    }
    for topic in ["numbers", "handles"]
        .into_iter()
        .filter(|topic| wanted(topic))
    {
        // A program of C's may end here, and then there is no answer.
        let said = catch_unwind(AssertUnwindSafe(|| match topic {
            "numbers" => given_again(mode),
            _ => numbers::handles(&Source::new(), &|source| mode.mount(source)),
        }));
        let ended = |_| vec![("all".to_owned(), "it cannot go on".to_owned())];
        each(topic, own(said.unwrap_or_else(ended)));
    }
}

#[test]
#[ignore = "takes minutes: scripts/conformance differential"]
fn differential() {
    if !is_root() {
        return skip("the differential test", "only root can act as other users");
    }
    assert!(
        numbers::are_given_again(&Source::new()),
        "TMPDIR has to be on ext4"
    );
    let only = env::var("FUSE3_DIFFERENTIAL_ONLY").ok();
    let mut expected = Expected::read();
    let mut wrong = 0;
    println!(
        "{:<44} {:<14} {:>7} {:>9} {:>10} {:>7}",
        "program", "topic", "answers", "different", "unexpected", "seconds"
    );
    for mode in Mode::all() {
        let mut started = Instant::now();
        compare(&mode, only.as_deref(), &mut |topic, compared| {
            assert!(compared.answers > 0 || compared.left_out, "{topic}");
            let (answers, different) = (compared.answers, compared.different.len());
            let mut unexpected = compared.different;
            unexpected.retain(|[right, said]| {
                !expected.is(&mode.key(), topic, &format!("{right} => {said}"))
            });
            println!(
                "{:<44} {topic:<14} {answers:>7} {different:>9} {:>10} {:>7}",
                mode.name,
                unexpected.len(),
                started.elapsed().as_secs()
            );
            for [right, said] in &unexpected {
                println!("    source: {right}\n    mount:  {said}");
            }
            wrong += unexpected.len();
            started = Instant::now();
        });
        for row in expected.missing(&mode.key(), only.as_deref()) {
            println!("    did not come: {row}");
            wrong += 1;
        }
    }
    println!("\nExpected, and so:\n{}", expected.reasons());
    assert_eq!(
        wrong, 0,
        "unexpected differences, or expected ones that did not come"
    );
}
