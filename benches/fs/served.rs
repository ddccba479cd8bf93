//! A server process, its mount, and what it has used.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::processors::Processors;

/// How long a server may take to mount, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Dropped, it is unmounted and has ended.
pub(crate) struct Served {
    process: Child,
    /// Of the process's CPU time.
    clock: libc::clockid_t,
    mount_point: PathBuf,
}

impl Served {
    /// Runs `command`, followed by the style and the mount point, an empty directory that this makes.
    pub(crate) fn start(
        command: &[OsString],
        style: &str,
        mount_point: PathBuf,
    ) -> Result<Self, Failure> {
        let command = [command, &[style.into()]].concat();
        Self::start_with(&command, "0", mount_point)
    }

    /// Runs `command`, followed by the mount point, an empty directory that this makes, until there is the file `ready`.
    pub(crate) fn start_with(
        command: &[OsString],
        ready: &str,
        mount_point: PathBuf,
    ) -> Result<Self, Failure> {
        fs::create_dir_all(&mount_point)?;
        let process = Command::new(&command[0])
            .args(&command[1..])
            .arg(&mount_point)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut served = Self {
            clock: cpu_clock(&process)?,
            process,
            mount_point,
        };
        let file = served.mount_point.join(ready);
        let begun = Instant::now();
        while !file.exists() {
            if let Some(status) = served.process.try_wait()? {
                return Err(format!("{command:?} ended: {status}").into());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{command:?} did not mount").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(served)
    }

    pub(crate) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Has all threads of the server run on these processors.
    pub(crate) fn keep_on(&self, processors: &Processors) -> Result<(), Failure> {
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let name = task?.file_name();
            let thread = name.to_str().ok_or("a thread has no number")?.parse()?;
            processors.keep(thread)?;
        }
        Ok(())
    }

    pub(crate) fn usage(&self) -> io::Result<Usage> {
        Ok(Usage {
            cpu: read(self.clock)?,
            switches: switches(self.process.id())?,
        })
    }

    fn unmount(&mut self) -> io::Result<()> {
        Command::new("fusermount3")
            .args(["-u", "-z", "-q"])
            .arg(&self.mount_point)
            .status()?;
        let begun = Instant::now();
        while self.process.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                self.process.kill()?;
                self.process.wait()?;
                return Err(io::Error::other("it did not end after it was unmounted"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        fs::remove_dir(&self.mount_point)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("{}: {error}", self.mount_point.display());
        }
    }
}

/// What a process has used.
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// How often its threads went to sleep.
    pub(crate) switches: u64,
}

impl Usage {
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            switches: self.switches.saturating_sub(before.switches),
        }
    }
}

/// The scheduler's own clock: nanoseconds, where /proc/PID/stat has hundredths of a second.
fn cpu_clock(process: &Child) -> io::Result<libc::clockid_t> {
    let pid = libc::pid_t::try_from(process.id()).map_err(io::Error::other)?;
    let mut clock = 0;
    // SAFETY: `clock` lives.
    match unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } {
        0 => Ok(clock),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn read(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` lives.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    Ok(seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs()))
}

/// The voluntary context switches of all threads of a process.
fn switches(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .and_then(|count| count.trim().parse::<u64>().ok());
        sum += count.unwrap_or(0);
    }
    Ok(sum)
}
