//! The program as a user runs it, against a socket that a test serves.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fuse3-top");

/// Two looks, two seconds apart by the session's own clock.
const SNAPSHOTS: [&str; 2] = [
    "fuse3-monitor 1\nprogram tmpfs\npid 7\nmount /mnt\nuptime 10.0\nworkers 1\nnot_taken 0\npanics 0\nnotifications 0\n\
     operation read 100 0 0.000001 0.000002 0.000003 0.000004\nend\n",
    "fuse3-monitor 1\nprogram tmpfs\npid 7\nmount /mnt\nuptime 12.0\nworkers 1\nnot_taken 0\npanics 0\nnotifications 0\n\
     operation read 500 1 0.000001 0.000002 0.000003 0.000004\nend\n",
];

/// Dropped, it is removed.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-top-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.0);
        assert!(removed.is_ok() || thread::panicking(), "{removed:?}");
    }
}

/// Says these to whoever comes, one after the other; with the last of them the socket is closed.
fn serve(path: &Path, texts: &'static [&'static str]) {
    let mut listener = Some(UnixListener::bind(path).unwrap());
    thread::spawn(move || {
        for (number, text) in texts.iter().enumerate() {
            let (mut client, _) = listener.as_ref().unwrap().accept().unwrap();
            if number + 1 == texts.len() {
                listener = None;
            }
            client.write_all(text.as_bytes()).unwrap();
        }
    });
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn one_screen_is_printed() {
    let dir = Dir::new();
    let socket = dir.join("socket");
    serve(&socket, &SNAPSHOTS);
    let output = run(&["--once", "-d", "0.05", socket.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let expected = "\
tmpfs on /mnt   pid 7   up 0:00:12
200 requests/s   1 workers, 0 busy   0 notifications queued   0 answers not taken   0 panics

operation            rate/s        count   errors       p50       p99     p99.9   longest
read                    200          500        1    1.00µs    2.00µs    3.00µs    4.00µs
";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn a_session_that_ends_in_between_is_said() {
    let dir = Dir::new();
    let socket = dir.join("socket");
    serve(&socket, &SNAPSHOTS[..1]);
    let output = run(&["--once", "-d", "0.5", socket.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.ends_with(" the session has ended: this is the last that was seen\n"),
        "{text}"
    );
}

#[test]
fn what_is_not_there_is_said_in_one_line() {
    let dir = Dir::new();
    let socket = dir.join("socket");
    let output = run(&[socket.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said(&output).lines().count(), 1, "{output:?}");
    assert!(
        said(&output).contains(socket.to_str().unwrap()),
        "{output:?}"
    );
}

#[test]
fn what_is_no_session_is_said() {
    let dir = Dir::new();
    let socket = dir.join("socket");
    serve(&socket, &["220 mail.example.org\n"]);
    let output = run(&[socket.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("no fuse3 file system"), "{output:?}");
}

/// Standard output is a pipe here.
#[test]
fn without_a_terminal_it_says_what_to_do() {
    let dir = Dir::new();
    let socket = dir.join("socket");
    serve(&socket, &SNAPSHOTS);
    let output = run(&[socket.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--once"), "{output:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_wrong_command_line_has_its_usage() {
    let output = run(&["--nothing"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("usage: fuse3-top"), "{output:?}");
}

#[test]
fn the_manual_page_has_the_options_and_the_version() {
    let page = include_str!("../man/fuse3-top.1").replace("\\-", "-");
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let options = help.split_whitespace();
    let options = options.map(|word| word.trim_matches(['[', ']', ',']));
    let options: Vec<_> = options.filter(|word| word.starts_with('-')).collect();
    assert!(options.len() >= 7, "{help}");
    for option in options {
        assert!(page.contains(option), "{option}");
    }
    let version = format!("\"fuse3 {}\"", env!("CARGO_PKG_VERSION"));
    assert!(page.lines().next().unwrap().contains(&version), "{page}");
}
