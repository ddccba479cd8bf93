//! Every option has a test that shows its effect: the tables name it, and what has none is found out by the source.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::leaks;

/// What an option is called, the file of its test, and the test.
type Row = (&'static str, &'static str, &'static str);

/// The methods of `Builder`. Not every kernel has CUSE, so that those of it are shown over a socket.
const METHODS: [Row; 37] = [
    (
        "allow_other",
        "mounted/effects.rs",
        "others_are_let_in_as_it_was_asked_for",
    ),
    (
        "allow_root",
        "mounted/effects.rs",
        "others_are_let_in_as_it_was_asked_for",
    ),
    (
        "auto_unmount",
        "mounted/effects.rs",
        "a_mount_goes_with_its_server_however_that_ended",
    ),
    ("character_device", "wire/cuse.rs", "what_is_no_device"),
    (
        "character_device_fd",
        "wire/cuse.rs",
        "the_number_and_the_name",
    ),
    ("clone_fd", "mounted/effects.rs", "options_of_the_loop"),
    (
        "debug",
        "mounted/effects.rs",
        "requests_are_logged_when_debugging",
    ),
    (
        "default_permissions",
        "mounted/effects.rs",
        "options_of_the_mount_are_shown_by_the_kernel_and_it_is_served",
    ),
    (
        "fsname",
        "mounted/effects.rs",
        "options_of_the_mount_are_shown_by_the_kernel_and_it_is_served",
    ),
    (
        "hand_over_patience",
        "mounted/handed.rs",
        "what_goes_wrong_on_the_way_leaves_the_session_as_it_was",
    ),
    (
        "handle_signals",
        "mounted/signals.rs",
        "each_ends_the_session_which_says_so_and_restores_the_handlers",
    ),
    (
        "interruption",
        "mounted/alarmed.rs",
        "a_signal_that_is_caught_interrupts_where_any_counts",
    ),
    ("io_uring", "mounted/setting.rs", "nothing_else_will_do"),
    (
        "io_uring_queue_depth",
        "mounted/setting.rs",
        "served_with_and_without",
    ),
    (
        "keep_mounted",
        "mounted/life.rs",
        "a_mount_point_that_is_kept_is_dead",
    ),
    ("keeper", "mounted/handed.rs", "a_keeper_has_the_mount"),
    (
        "max_idle_workers",
        "mounted/effects.rs",
        "options_of_the_loop",
    ),
    (
        "max_read",
        "mounted/effects.rs",
        "no_read_is_larger_than_was_asked_for",
    ),
    (
        "max_tasks",
        "mounted/spawned.rs",
        "no_more_futures_at_once_than_max_tasks",
    ),
    ("monitor", "mounted/observed.rs", "the_socket_of_a_mount"),
    (
        "mount",
        "mounted/life.rs",
        "a_mount_point_that_is_kept_is_dead",
    ),
    (
        "mount_fd",
        "mounted/given.rs",
        "what_is_in_force_is_served_whatever_else_is_mounted",
    ),
    (
        "observe",
        "mounted/observed.rs",
        "each_worker_is_registered_while_it_serves",
    ),
    (
        "on_notify_error",
        "mounted/notify.rs",
        "who_asked_for_it_is_told_what_the_kernel_did_not_take",
    ),
    ("on_panic", "mounted/panics.rs", "or_the_session_goes_on"),
    (
        "option",
        "mounted/effects.rs",
        "no_read_is_larger_than_was_asked_for",
    ),
    (
        "options",
        "mounted/effects.rs",
        "options_of_the_mount_are_shown_by_the_kernel_and_it_is_served",
    ),
    (
        "over_file",
        "mounted/input.rs",
        "a_file_is_a_mount_point_only_when_it_is_said_to_be",
    ),
    (
        "over_mount",
        "mounted/input/places.rs",
        "a_file_system_is_mounted_over_where_that_is_allowed",
    ),
    (
        "read_only",
        "mounted/effects.rs",
        "options_of_the_mount_are_shown_by_the_kernel_and_it_is_served",
    ),
    (
        "runtime",
        "mounted/spawned.rs",
        "futures_run_on_the_runtime_that_was_asked_for",
    ),
    (
        "stacktrace",
        "mounted/parity.rs",
        "stacktrace_tells_who_does_what",
    ),
    (
        "subtype",
        "mounted/effects.rs",
        "options_of_the_mount_are_shown_by_the_kernel_and_it_is_served",
    ),
    (
        "take_over",
        "mounted/handed.rs",
        "a_successor_that_does_not_fit_is_refused",
    ),
    (
        "task_patience",
        "mounted/tasks.rs",
        "the_end_with_a_future_in_flight",
    ),
    (
        "teardown_watchdog",
        "mounted/killed.rs",
        "a_teardown_watchdog_ends_a_server_that_hangs",
    ),
    (
        "workers",
        "mounted/workers.rs",
        "as_long_as_one_is_left_a_stat_is_answered",
    ),
];

/// What the command line takes, besides what it passes on to `Builder::option`.
const ARGUMENTS: [Row; 14] = [
    ("--debug", "mounted/cmdline.rs", "requests_are_logged"),
    (
        "--help",
        "examples_cmdline/foreground.rs",
        "help_and_version",
    ),
    (
        "--version",
        "examples_cmdline/foreground.rs",
        "help_and_version",
    ),
    ("-V", "examples_cmdline/foreground.rs", "help_and_version"),
    ("-d", "mounted/cmdline.rs", "requests_are_logged"),
    ("-f", "mounted/cmdline.rs", "who_stays_in_the_foreground"),
    ("-h", "examples_cmdline/foreground.rs", "help_and_version"),
    ("-n", "mounted/cmdline.rs", "options_of_the_mount"),
    ("-r", "mounted/cmdline.rs", "options_of_the_mount"),
    ("-s", "mounted/cmdline.rs", "workers"),
    (
        "clone_fd",
        "mounted/cmdline.rs",
        "workers_that_are_idle_and_their_descriptors",
    ),
    ("debug", "mounted/cmdline.rs", "requests_are_logged"),
    (
        "max_idle_threads=",
        "mounted/cmdline.rs",
        "workers_that_are_idle_and_their_descriptors",
    ),
    ("max_threads=", "mounted/cmdline.rs", "workers"),
];

/// What `Builder::option` does not pass on to libfuse: the tables that it has of them, and their test.
const KEPT: [Row; 3] = [
    (
        "FLAGS",
        "mounted/effects.rs",
        "options_of_the_connection_are_agreed_on",
    ),
    (
        "SETTINGS",
        "mounted/effects.rs",
        "options_of_the_connection_are_agreed_on",
    ),
    (
        "DROPPED",
        "mounted/cmdline.rs",
        "what_libfuse_2_had_is_left_out",
    ),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of the file, if it has the test.
#[track_caller]
fn file_of((option, file, test): Row) -> String {
    let text = read(&format!("tests/{file}"));
    let test = format!("#[test]\nfn {test}() {{");
    assert!(text.contains(&test), "{option}: {file} has no {test}");
    text
}

#[test]
fn every_method_of_the_builder_has_a_test_of_its_effect() {
    let sources = ["builder", "handover/take", "monitor", "tasks"]
        .map(|name| read(&format!("src/session/{name}.rs")));
    let blocks: Vec<_> = sources
        .iter()
        .flat_map(|source| source.split("\nimpl<F: Filesystem> Builder<F> {").skip(1))
        .collect();
    assert_eq!(blocks.len(), sources.len());
    let methods: BTreeSet<_> = blocks
        .iter()
        .flat_map(|block| {
            block
                .split("\n}\n")
                .next()
                .unwrap()
                .split("    pub fn ")
                .skip(1)
        })
        .map(|method| method.split(['(', '<']).next().unwrap())
        .collect();
    let listed: BTreeSet<_> = METHODS.iter().map(|(method, ..)| *method).collect();
    assert_eq!(methods, listed);
    for row in METHODS {
        let text = file_of(row);
        let is_used = [format!(".{}(", row.0), format!("Builder::{}", row.0)];
        assert!(is_used.iter().any(|it| text.contains(it)), "{row:?}");
    }
    // Nor does any leave something behind.
    let counted: BTreeSet<_> = leaks::OPTIONS.iter().map(|(option, _)| *option).collect();
    let elsewhere = BTreeSet::from(["character_device", "character_device_fd", "take_over"]);
    assert_eq!(&listed - &counted, elsewhere);
}

#[test]
fn every_argument_of_the_command_line_has_a_test_of_its_effect() {
    let source = read("src/session/cmdline/parse.rs");
    let body = source.split("fn libfuse_s(").nth(1).unwrap();
    let body = body.split("\n    }\n").next().unwrap();
    let names = body.split("b\"").skip(1);
    let names = names.map(|rest| rest.split('"').next().unwrap());
    // How any option begins.
    let names: BTreeSet<_> = names.filter(|name| *name != "-").collect();
    let listed: BTreeSet<_> = ARGUMENTS.iter().map(|(argument, ..)| *argument).collect();
    assert_eq!(names, listed);
    for row in ARGUMENTS {
        assert!(file_of(row).contains(row.0), "{row:?}");
    }
}

#[test]
fn every_option_that_libfuse_is_not_given_has_a_test_of_its_effect() {
    let sources = read("src/conn/options.rs") + &read("src/session/options.rs");
    for row in KEPT {
        let table = sources.split(&format!("const {}: ", row.0)).nth(1).unwrap();
        let table = table.split("\n];").next().unwrap();
        // Each line of it begins with the name.
        let names: Vec<_> = table
            .split("(\n        \"")
            .flat_map(|rest| rest.split("(\""))
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert!(names.len() > 4, "{row:?}: {names:?}");
        let text = file_of(row);
        for name in names {
            let is_used = [format!("\"{name}\""), format!("{name}=")];
            assert!(
                is_used.iter().any(|it| text.contains(it)),
                "{name}: {row:?}"
            );
        }
    }
}
