//! The processes that serve a mount.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Pid;

/// Those whose program is `name`, which serve `point`.
pub(crate) fn servers(name: &str, point: &Path) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    let is_it = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut arguments = line.split(|byte| *byte == 0);
        let program = arguments.next().unwrap_or_default();
        program.ends_with(name.as_bytes())
            && arguments.any(|it| it == point.as_os_str().as_encoded_bytes())
    };
    pids.filter(is_it).filter_map(Pid::from_raw).collect()
}

pub(crate) fn server(name: &str, point: &Path) -> Option<Pid> {
    servers(name, point).first().copied()
}

/// Has `command` be run by fuse3-keeper.
pub(crate) fn keeper(command: &mut Command, options: &[&str]) {
    let mut kept = Command::new(crate::mount::program::built("keeper"));
    kept.args(options)
        .arg(command.get_program())
        .args(command.get_args());
    *command = kept;
}
