//! The ports implement what their originals do, handler by handler.

use std::fs;
use std::path::Path;

/// An original, by hand from its source package, and its handlers; and the files of its port.
type Port = (&'static str, &'static str, &'static [&'static str]);

const MESSAGE: &str = "getattr lookup opendir readdir open read";

/// tmpfs.py has the same in both.
const TMPFS: &str = "lookup getattr readlink opendir readdir unlink rmdir symlink rename link setattr mknod mkdir statfs open
    access create read write release";

/// passthroughfs.py, too.
const PASSTHROUGH: &str = "forget lookup getattr readlink opendir readdir unlink rmdir symlink rename link setattr mknod mkdir
    statfs open create read write release";

const PORTS: [Port; 6] = [
    (
        "llfuse 1.5.2, lltest.py",
        "getattr lookup opendir readdir statfs open read",
        &["lltest.rs"],
    ),
    ("pyfuse3 3.5.0, hello.py", MESSAGE, &["hello_async.rs"]),
    (
        "llfuse 1.5.2 and pyfuse3 3.5.0, tmpfs.py",
        TMPFS,
        &["tmpfs_sqlite/fs.rs"],
    ),
    (
        "llfuse 1.5.2 and pyfuse3 3.5.0, tmpfs.py",
        TMPFS,
        &["tmpfs/fs.rs"],
    ),
    (
        "llfuse 1.5.2, passthroughfs.py",
        PASSTHROUGH,
        &["passthroughfs/fs.rs"],
    ),
    (
        "pyfuse3 3.5.0, passthroughfs.py",
        PASSTHROUGH,
        &["passthroughfs/fs_async.rs"],
    ),
];

/// What a port has no need of.
const NOT_ASKED: [(&str, &str, &str); 1] = [(
    "tmpfs/fs.rs",
    "access",
    "the kernel checks by itself, and never asks",
)];

#[test]
fn each_handler_of_an_original_is_one_of_its_port() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (original, handlers, files) in PORTS {
        for file in files {
            let text = fs::read_to_string(examples.join(file)).unwrap();
            let text = text.split("impl Filesystem for ").nth(1).unwrap();
            for handler in handlers.split_whitespace() {
                let is_there = text.contains(&format!("\n    fn {handler}("));
                let mut others = NOT_ASKED.iter();
                let is_other = others.any(|(its, which, _)| its == file && *which == handler);
                assert_ne!(
                    is_there, is_other,
                    "{file}: {handler}, which {original} has"
                );
            }
        }
    }
}
