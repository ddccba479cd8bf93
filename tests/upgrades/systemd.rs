//! The mount is with systemd between two starts. A stand-in speaks the protocol of its store (sd_notify(3)) wherever the
//! tests run; systemd itself is asked where there is one.

use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process};

use crate::hello::{TEXT, while_clients_read};
use crate::mount::program::built;
use crate::mount::{Mounted, within};

const DEADLINE: Duration = Duration::from_secs(120);

type Stored = Arc<Mutex<Vec<(String, OwnedFd)>>>;

/// A service manager that does nothing but keep descriptors.
struct StandIn {
    socket: PathBuf,
    stored: Stored,
}

impl StandIn {
    fn new(dir: &Path) -> Self {
        let socket = dir.join("notify");
        let server = UnixDatagram::bind(&socket).unwrap();
        let stored = Stored::default();
        let its = Arc::clone(&stored);
        thread::spawn(move || {
            while let Some((text, files)) = receive(&server) {
                let value = |key: &str| {
                    let mut lines = text.lines();
                    lines
                        .find_map(|line| line.strip_prefix(key))
                        .map(str::to_owned)
                };
                let name = value("FDNAME=").unwrap_or_default();
                let mut stored = its.lock().unwrap();
                if value("FDSTORE=").is_some() {
                    stored.extend(files.into_iter().map(|file| (name.clone(), file)));
                } else if value("FDSTOREREMOVE=").is_some() {
                    stored.retain(|(it, _)| *it != name);
                }
            }
        });
        Self { socket, stored }
    }

    /// Has the command find what is stored, as systemd gives it: from 3 on.
    fn prepare(&self, command: &Command) -> Command {
        let stored = self.stored.lock().unwrap();
        let names: Vec<_> = stored.iter().map(|(name, _)| name.clone()).collect();
        let files: Vec<OwnedFd> = stored
            .iter()
            .map(|(_, file)| rustix::io::fcntl_dupfd_cloexec(file, 200).unwrap())
            .collect();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "export LISTEN_PID=$$; exec \"$@\"", "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .env("NOTIFY_SOCKET", &self.socket);
        if !files.is_empty() {
            shell
                .env("LISTEN_FDS", files.len().to_string())
                .env("LISTEN_FDNAMES", names.join(":"));
        }
        let give = move || {
            for (file, number) in files.iter().zip(3..) {
                let number: RawFd = number;
                // SAFETY: in the child, no memory is involved; what had the number is std's, and closed on exec as well.
                if unsafe { libc::dup2(file.as_raw_fd(), number) } < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        };
        // SAFETY: dup2(2) is async-signal-safe.
        unsafe { shell.pre_exec(give) };
        shell
    }
}

fn receive(socket: &UnixDatagram) -> Option<(String, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 4096];
    let into = &mut [IoSliceMut::new(&mut text)];
    let received = recvmsg(socket, into, &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            files.extend(more);
        }
    }
    let text = String::from_utf8_lossy(&text[..received.bytes]).into_owned();
    Some((text, files))
}

/// Restarts and crashes in turns; each time the service is started again by the stand-in.
#[test]
fn a_service_is_restarted_and_killed_under_its_clients_with_a_stand_in_for_systemd() {
    let mut stand_in = None;
    let start = |command: &mut Command, dir: &Path| {
        *command = stand_in.insert(StandIn::new(dir)).prepare(command);
    };
    let Some(mounted) = Mounted::start("hello", &[], DEADLINE, start) else {
        return;
    };
    let stand_in = stand_in.unwrap();
    let point = mounted.path().to_owned();
    let mut last: Option<Child> = None;
    let mut kill = false;
    let pauses = while_clients_read(&point, 20, || {
        let pid = last.as_ref().map_or(mounted.id(), Child::id);
        let signal = if kill { Signal::KILL } else { Signal::INT };
        kill = !kill;
        kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
        match &mut last {
            Some(child) => drop(child.wait().unwrap()),
            None => {
                while mounted.is_running() {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
        let mut hello = Command::new(built("hello"));
        last = Some(stand_in.prepare(hello.arg(&point)).spawn().unwrap());
    });
    println!(
        "20 restarts and crashes, a stand-in for systemd: median and longest pause {pauses:?}"
    );
    assert_eq!(fs::read(point.join("hello")).unwrap(), TEXT);
    // One deposit is there at last, and nothing else.
    let names = || {
        let stored = stand_in.stored.lock().unwrap();
        stored
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    assert!(within(DEADLINE, || names().len() == 3), "{:?}", names());
    assert!(crate::mount::unmount(&point, false));
    assert!(last.unwrap().wait().unwrap().success());
}

/// A service manager of the test's own: `systemd --user`, in a mount namespace with a /run of its own.
struct Systemd {
    manager: Child,
    runtime: PathBuf,
}

impl Systemd {
    /// `None`, loudly, where it is not installed, or does not run.
    fn start(dir: &Path) -> Option<Self> {
        let skip = |why: &str| crate::mount::skip::skip("a service of systemd", why);
        let program = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
        let Some(program) = program.into_iter().find(|it| Path::new(it).exists()) else {
            skip("systemd is not installed");
            return None;
        };
        let runtime = dir.join("run");
        fs::create_dir(&runtime).unwrap();
        // It wants to be told that the system has been booted with systemd.
        let script =
            "mount -t tmpfs run /run && mkdir -p /run/systemd/system && exec \"$0\" --user";
        let log = fs::File::create(dir.join("systemd")).unwrap();
        let manager = Command::new("unshare")
            .args([
                "--mount",
                "--propagation=slave",
                "sh",
                "-c",
                script,
                program,
            ])
            .env("XDG_RUNTIME_DIR", &runtime)
            .env_remove("NOTIFY_SOCKET")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let systemd = Self {
            manager: manager.unwrap(),
            runtime,
        };
        let runs = within(Duration::from_secs(10), || {
            systemd.ctl(&["is-system-running"]).0
        });
        if !runs {
            skip(&fs::read_to_string(dir.join("systemd")).unwrap());
            return None;
        }
        Some(systemd)
    }

    /// systemctl(1): whether it succeeded, and what it said.
    fn ctl(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(arguments);
        let output = command
            .env("XDG_RUNTIME_DIR", &self.runtime)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).trim().to_owned(),
        )
    }

    /// A path as the services see it.
    fn path(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!(
            "/proc/{}/root{}",
            self.manager.id(),
            path.display()
        ))
    }

    fn is_mounted(&self, point: &Path) -> bool {
        let mounts = format!("/proc/{}/mountinfo", self.manager.id());
        let mounts = fs::read_to_string(mounts).unwrap();
        let mut points = mounts.lines().map(|line| line.split(' ').nth(4));
        points.any(|it| it == point.to_str())
    }

    #[track_caller]
    fn must(&self, arguments: &[&str]) -> String {
        let (succeeded, said) = self.ctl(arguments);
        assert!(succeeded, "{arguments:?}: {said}");
        said
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        self.ctl(&["exit"]);
        if !within(Duration::from_secs(10), || {
            self.manager.try_wait().unwrap().is_some()
        }) {
            self.manager.kill().unwrap();
            self.manager.wait().unwrap();
        }
    }
}

/// The unit of the package, with the paths of this test.
#[test]
fn systemd_itself_restarts_a_service_under_its_clients() {
    let dir = crate::tempdir::TempDir::new();
    let point = dir.path().join("mnt");
    fs::create_dir(&point).unwrap();
    if !crate::mount::is_root() {
        return crate::mount::skip::skip("a service of systemd", "needs root, for unshare(1)");
    }
    let Some(systemd) = Systemd::start(dir.path()) else {
        return;
    };
    let unit = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packaging/fuse3-examples/systemd/fuse3-tmpfs@.service"
    );
    let Ok(unit) = fs::read_to_string(unit) else {
        return crate::mount::skip::skip("a service of systemd", "the unit is not in this package");
    };
    let start = format!(
        "ExecStart={} -f {}",
        built("tmpfs").display(),
        point.display()
    );
    let unit = unit.replace("ExecStart=/usr/bin/fuse3-tmpfs -f /%I", &start);
    // More often than anybody restarts it by hand.
    let unit = unit.replace("[Unit]", "[Unit]\nStartLimitIntervalSec=0");
    assert!(unit.contains(&start), "{unit}");
    fs::create_dir_all(systemd.runtime.join("systemd/user")).unwrap();
    fs::write(systemd.runtime.join("systemd/user/tmpfs.service"), unit).unwrap();
    systemd.must(&["daemon-reload"]);
    systemd.must(&["start", "tmpfs"]);
    assert!(
        within(DEADLINE, || systemd.is_mounted(&point)),
        "{}",
        systemd.ctl(&["status", "tmpfs"]).1
    );
    let pid = || systemd.must(&["show", "-P", "MainPID", "tmpfs"]);
    let file = systemd.path(&point.join("file"));
    fs::write(&file, b"what was written before").unwrap();
    let open = fs::File::open(&file).unwrap();
    let content = || {
        let mut content = [0; 100];
        let length = std::os::unix::fs::FileExt::read_at(&open, &mut content, 0).unwrap();
        content[..length].to_vec()
    };
    for _ in 0..5 {
        let before = pid();
        systemd.must(&["restart", "tmpfs"]);
        assert_eq!(content(), b"what was written before");
        assert_ne!(pid(), before);
        // In the same process.
        let before = pid();
        systemd.must(&["reload", "tmpfs"]);
        assert_eq!(content(), b"what was written before");
        assert_eq!(pid(), before);
    }
    assert_eq!(systemd.must(&["show", "-P", "NRestarts", "tmpfs"]), "0");
    drop(open);
    systemd.must(&["stop", "tmpfs"]);
    assert!(within(DEADLINE, || !systemd.is_mounted(&point)));
    assert_eq!(systemd.must(&["show", "-P", "Result", "tmpfs"]), "success");
}
