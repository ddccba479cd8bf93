use std::num::NonZeroU32;
use std::os::unix::ffi::OsStringExt;

use super::*;

#[derive(Clone, Debug, Default, PartialEq)]
struct Own {
    source: Option<PathBuf>,
    directory: PathBuf,
    writeback: bool,
    timeout: f64,
    interval: Option<NonZeroU32>,
    name: String,
    seen: Vec<&'static str>,
}

fn command_line() -> CommandLine<Own> {
    CommandLine::new(Own {
        timeout: 1.0,
        ..Own::default()
    })
    .source("SOURCE", |own, source| own.source = Some(source))
    .flag("writeback", "", |own| own.writeback = true)
    .flag("no_writeback", "", |own| own.writeback = false)
    .path("directory=DIR", "", |own, directory| {
        own.directory = directory
    })
    .value("timeout=SECONDS", "", |own, timeout| own.timeout = timeout)
    .value("--interval=N", "", |own, interval| {
        own.interval = Some(interval)
    })
    .value("-n NAME", "", |own, name| own.name = name)
    .flag("cache=never", "", |own| own.seen.push("never"))
    .flag("--debug", "", |own| own.seen.push("own debug"))
}

fn parse(arguments: &[&str]) -> Result<Command<Own>, CommandLineError> {
    command_line().parse([&["prog"], arguments].concat())
}

fn own(arguments: &[&str]) -> Own {
    parse(&[arguments, &["/"]].concat()).unwrap().options
}

fn wrong(arguments: &[&str]) -> String {
    parse(&[arguments, &["/"]].concat())
        .unwrap_err()
        .to_string()
}

#[test]
fn own_options_have_defaults_and_types() {
    assert_eq!(own(&[]), command_line().command.options);
    let given = own(&[
        "-o",
        r"writeback,directory=/a\,b,timeout=2.5",
        "--interval=7",
        "-nx",
    ]);
    assert!(given.writeback && given.timeout == 2.5 && given.name == "x");
    assert_eq!(given.directory, PathBuf::from("/a,b"));
    assert_eq!(given.interval, NonZeroU32::new(7));
    assert_eq!(own(&["--interval", "7"]).interval, NonZeroU32::new(7));
    assert_eq!(own(&["-n", "-f"]).name, "-f");
}

#[test]
fn the_last_one_counts() {
    assert!(!own(&["-owriteback,no_writeback"]).writeback);
    assert!(own(&["-ono_writeback", "-o", "writeback"]).writeback);
    assert_eq!(own(&["-otimeout=2,timeout=3"]).timeout, 3.0);
}

#[test]
fn an_own_option_goes_before_libfuse_s() {
    let command = parse(&["--debug", "-ocache=never", "/"]).unwrap();
    assert!(!command.debug);
    assert_eq!(command.options.seen, ["own debug", "never"]);
}

#[test]
fn mistakes_name_the_option_and_the_value() {
    for (arguments, parts) in [
        (
            &["-otimeout=soon"][..],
            &["timeout", "\"soon\"", "float"][..],
        ),
        (&["--interval=0"], &["--interval", "\"0\"", "zero"]),
        (&["--interval=-1"], &["--interval", "\"-1\"", "digit"]),
        (&["-omax_threads=5x"], &["max_threads", "\"5x\"", "digit"]),
        (
            &["-omax_idle_threads="],
            &["max_idle_threads", "\"\"", "empty"],
        ),
        (&["--nonsense=1"], &["unknown", "--nonsense=1"]),
        (&["-x", "--interval=0"], &["unknown", "-x"]),
        (&["--interval=0", "-x"], &["--interval", "\"0\""]),
        (&["/a", "/b"], &["too many", "/b"]),
        // One that has a value is not one without.
        (&["-o", "--interval"], &["unknown", "--interval"]),
    ] {
        let error = wrong(arguments);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    for last in ["-o", "-n", "--interval"] {
        let error = parse(&["/", last]).unwrap_err().to_string();
        assert!(
            error.contains(last) && error.contains("needs a value"),
            "{error}"
        );
    }
    assert_eq!(parse(&[]).unwrap_err(), CommandLineError::NoMountPoint);
}

#[test]
fn bytes_that_are_no_text() {
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_owned());
    let arguments = [b"prog", &b"-odirectory=/\xff,fsname=\xfe"[..], b"/\xfd"];
    let command = command_line().parse(arguments.map(bytes)).unwrap();
    assert_eq!(command.options.directory, PathBuf::from(bytes(b"/\xff")));
    assert_eq!(command.mount_options, [bytes(b"fsname=\xfe")]);
    assert_eq!(command.mount_point, PathBuf::from(bytes(b"/\xfd")));
    let arguments = [&b"prog"[..], b"-n\xff", b"/"].map(bytes);
    let error = command_line().parse(arguments).unwrap_err().to_string();
    assert!(error.contains("-n") && error.contains("UTF-8"), "{error}");
}

#[test]
fn a_source_is_what_comes_before_the_mount_point() {
    let command = parse(&["remote:", "/mnt", "-o", "dev,suid"]).unwrap();
    assert_eq!(command.options.source, Some("remote:".into()));
    assert_eq!(command.mount_point, PathBuf::from("/mnt"));
    assert_eq!(command.mount_options, ["dev", "suid", "subtype=prog"]);
    assert_eq!(parse(&["/mnt"]).unwrap().options.source, None);
    let none = CommandLine::new(()).parse(["prog", "remote:", "/mnt"]);
    assert_eq!(none.unwrap_err(), CommandLineError::Extra("/mnt".into()));
}

#[test]
fn a_mount_point_that_may_be_left_out() {
    let parse = |arguments: &[&str]| {
        let command_line = CommandLine::new(()).optional_mount_point();
        command_line.parse(arguments)
    };
    assert_eq!(parse(&["prog", "-f"]).unwrap().mount_point, PathBuf::new());
    let given = parse(&["prog", "/mnt", "-f"]).unwrap();
    assert_eq!(given.mount_point, PathBuf::from("/mnt"));
    let error = parse(&["prog", "/mnt", "/b"]).unwrap_err();
    assert_eq!(error, CommandLineError::Extra("/b".into()));
}

#[test]
fn a_program_without_a_mount_point() {
    let parse = |arguments: &[&str]| {
        let command_line = CommandLine::new(()).without_mount_point();
        command_line.parse(arguments)
    };
    assert_eq!(parse(&["prog", "-f"]).unwrap().mount_point, PathBuf::new());
    let error = parse(&["prog", "/"]).unwrap_err();
    assert_eq!(error, CommandLineError::Extra("/".into()));
}
