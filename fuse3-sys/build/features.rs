//! What some libfuse 3 headers have and others have not.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// The name of each feature, and an expression of C that compiles only where the headers have it. Versions are not compared,
/// since distributions backport.
pub(crate) const FEATURES: &[(&str, &str)] = &[
    ("noflush", "fi->noflush"),
    ("parallel_direct_writes", "fi->parallel_direct_writes"),
    ("kill_suidgid", "fi->kill_suidgid"),
    ("loop_cfg", "&fuse_loop_cfg_create"),
    ("want_ext", "conn->want_ext"),
    ("feature_flags", "&fuse_set_feature_flag"),
    ("request_timeout", "conn->request_timeout"),
    ("no_interrupt", "conn->no_interrupt"),
    ("buf_mem_size", "buf->mem_size"),
    ("expire_entry", "&fuse_lowlevel_notify_expire_entry"),
    ("expire_entry_flags", EXPIRE_ENTRY_FLAGS),
    ("custom_io", "sizeof(struct fuse_custom_io)"),
    ("custom_io_317", "&fuse_session_custom_io_317"),
    ("tmpfile", "ops->tmpfile"),
    ("statx", "ops->statx"),
    ("syncfs", "ops->syncfs"),
    ("passthrough", "&fuse_passthrough_open"),
    ("io_uring", "&fuse_req_is_uring"),
    ("increment_epoch", "&fuse_lowlevel_notify_increment_epoch"),
    ("prune", "&fuse_lowlevel_notify_prune"),
    ("secctx", "&fuse_req_secctx_next"),
    ("teardown_watchdog", "&fuse_session_start_teardown_watchdog"),
];

/// Its fifth argument.
const EXPIRE_ENTRY_FLAGS: &str =
    "fuse_lowlevel_notify_expire_entry(0, 1, \"\", 0, FUSE_LL_EXPIRE_ONLY)";

/// The features that these headers have: those in which the compiler finds no mistake. All are compiled together, and once
/// more without those that have one, since a compiler stops after so many.
///
/// # Errors
///
/// What the compiler said where it was not about a feature, or why it did not run.
pub(crate) fn probe(compiler: &mut Command) -> Result<Vec<&'static str>, String> {
    let mut features = FEATURES.to_vec();
    compiler.args(["-fsyntax-only", "-w", "-x", "c", "-"]);
    loop {
        let output = compile(compiler, &features)
            .map_err(|error| format!("{}: {error}", compiler.get_program().to_string_lossy()))?;
        if output.status.success() {
            return Ok(features.into_iter().map(|(name, _)| name).collect());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let before = features.len();
        features.retain(|(name, _)| !said.contains(&format!("feature_{name}:")));
        if features.len() == before {
            return Err(said);
        }
    }
}

/// Nothing is written, linked or run, so that any cross compiler will do.
fn compile(compiler: &mut Command, features: &[(&str, &str)]) -> io::Result<Output> {
    let mut source = String::from("#include <fuse_lowlevel.h>\n");
    for (name, expression) in features {
        // The mistakes of each come under a file name of its own.
        let _ = writeln!(
            source,
            "#line 1 \"feature_{name}\"\nvoid {name}(struct fuse_file_info *fi, struct fuse_conn_info *conn, \
             struct fuse_buf *buf, struct fuse_lowlevel_ops *ops) {{ (void)({expression}); }}"
        );
    }
    compiler
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = compiler.spawn()?;
    let mut stdin = child.stdin.take().expect("it is a pipe");
    let written = stdin.write_all(source.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    // A compiler that ends before it has read all says why.
    if output.status.success() {
        written?;
    }
    Ok(output)
}
