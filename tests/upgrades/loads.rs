//! What clients do while a file system goes on by another program, and all that they notice: each answer, each byte, and how long
//! they waited.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::held::Held;
use crate::mount::skip::skip;

/// What a client noticed that it should not have.
#[derive(Debug)]
pub(crate) enum Noticed {
    /// A call or a program failed.
    Error(String),
    /// Bytes are others than were written.
    Bytes(String),
}

type Load = fn(&Place<'_>) -> Result<(), Noticed>;

/// What a load knows.
pub(crate) struct Place<'p> {
    /// Its folder in the mount, the same folder in the source, and one elsewhere.
    dir: PathBuf,
    source: PathBuf,
    scratch: &'p Path,
    over: &'p AtomicBool,
    rounds: AtomicUsize,
}

/// What came of it all.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) changes: usize,
    /// How long a client waited at each, sorted.
    pub(crate) pauses: Vec<Duration>,
    pub(crate) noticed: Vec<(&'static str, Noticed)>,
    /// How often each load went through.
    pub(crate) rounds: Vec<(&'static str, usize)>,
}

/// Which loads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Those that need no program.
    Own,
}

/// How often it is changed, and the time between the changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) times: usize,
    pub(crate) between: Duration,
}

/// How long clients may wait for an answer before they are taken to be hung.
const HUNG: Duration = Duration::from_secs(60);

impl Place<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn round(&self) {
        self.rounds.fetch_add(1, Ordering::SeqCst);
    }
}

impl Report {
    fn pause(&self, percent: usize) -> Duration {
        let last = self.pauses.len().saturating_sub(1);
        let at = (self.pauses.len() * percent).div_ceil(100);
        let at = at.saturating_sub(1).min(last);
        self.pauses.get(at).copied().unwrap_or_default()
    }

    /// A row of the table that scripts/handover shows, and whether all is well.
    pub(crate) fn finish(&self, what: &str) {
        let wrong = self.noticed.iter();
        let wrong = wrong.filter(|(_, noticed)| matches!(noticed, Noticed::Bytes(_)));
        let wrong = wrong.count();
        let row = format!(
            "\n| {} | {} | {} | {wrong} | {:.1?} | {:.1?} | {:.1?} | {} |\n",
            what.trim(),
            self.changes,
            self.noticed.len() - wrong,
            self.pause(50),
            self.pause(99),
            self.pause(100),
            self.rounds
                .iter()
                .map(|(name, rounds)| format!("{name} {rounds}"))
                .collect::<Vec<_>>()
                .join(", "),
        );
        print!("{row}");
        for (name, noticed) in &self.noticed {
            let (Noticed::Error(said) | Noticed::Bytes(said)) = noticed;
            println!("{name}: {said}");
        }
        assert!(self.noticed.is_empty(), "{what}: clients noticed it");
    }
}

/// Runs the loads in `mount`, which shows `source`, and `change` among them.
pub(crate) fn while_clients_work(
    mount: &Path,
    source: &Path,
    which: Which,
    pace: Pace,
    mut change: impl FnMut(),
) -> Report {
    let scratch = source.with_extension("scratch");
    fs::create_dir_all(&scratch).unwrap();
    let mut loads: Vec<(&str, Load)> = vec![("writes", writes), ("names", names)];
    if which == Which::All {
        loads.push(("tar", tar));
        match git_repository(&scratch) {
            Ok(()) => loads.push(("git", git)),
            Err(why) => skip("git clone while a server is replaced", why),
        }
        match fsx_program() {
            Some(_) => loads.push(("fsx", fsx)),
            None => skip(
                "fsx while a server is replaced",
                "FUSE3_FSX names none, and there is none in target/tools: scripts/handover installs it",
            ),
        }
    }
    let over = AtomicBool::new(false);
    let places = loads.iter().map(|(name, _)| {
        fs::create_dir_all(mount.join(name)).unwrap();
        Place {
            dir: mount.join(name),
            source: source.join(name),
            scratch: &scratch,
            over: &over,
            rounds: AtomicUsize::new(0),
        }
    });
    let places: Vec<_> = places.collect();
    let mut held = Held::new(mount);
    let (asked, longest) = (AtomicUsize::new(0), AtomicU64::new(0));
    let mut report = Report::default();
    thread::scope(|scope| {
        let threads: Vec<_> = loads
            .iter()
            .zip(&places)
            .map(|((name, load), place)| (*name, scope.spawn(move || load(place))))
            .collect();
        let client = scope.spawn(|| ask(mount, &over, &asked, &longest));
        let is_hung = |start: Instant| start.elapsed() > HUNG;
        let answers = |more: usize| {
            let (before, start) = (asked.load(Ordering::SeqCst), Instant::now());
            while asked.load(Ordering::SeqCst) < before + more && !client.is_finished() {
                assert!(!is_hung(start), "a client has had no answer for {HUNG:?}");
                thread::sleep(Duration::from_micros(200));
            }
        };
        let begun = |place: &Place<'_>| place.rounds.load(Ordering::SeqCst) > 0;
        for _ in 0..pace.times {
            let start = Instant::now();
            answers(3);
            longest.store(0, Ordering::SeqCst);
            change();
            answers(3);
            let pause = Duration::from_micros(longest.swap(0, Ordering::SeqCst));
            report.pauses.push(pause);
            report.changes += 1;
            if let Err(noticed) = held.check() {
                report.noticed.push(("held", noticed));
            }
            thread::sleep(pace.between.saturating_sub(start.elapsed()));
        }
        // However slow the machine is, each of them has been through once.
        let start = Instant::now();
        let are_all_through = || {
            let mut all = threads.iter().zip(&places);
            all.all(|((_, thread), place)| begun(place) || thread.is_finished())
        };
        while !are_all_through() {
            assert!(!is_hung(start), "a load does not get on");
            thread::sleep(Duration::from_millis(1));
        }
        over.store(true, Ordering::SeqCst);
        for (name, thread) in threads {
            if let Err(noticed) = thread.join().unwrap() {
                report.noticed.push((name, noticed));
            }
        }
        if let Err(noticed) = client.join().unwrap() {
            report.noticed.push(("asks", noticed));
        }
    });
    if let Err(noticed) = held.end() {
        report.noticed.push(("held", noticed));
    }
    report.pauses.sort();
    let rounds = |place: &Place<'_>| place.rounds.load(Ordering::SeqCst);
    let names = loads.iter().map(|(name, _)| *name);
    report.rounds = names.zip(places.iter().map(rounds)).collect();
    report
}

/// Asks for what is not there, which no cache answers, and tells how long it took.
fn ask(
    mount: &Path,
    over: &AtomicBool,
    asked: &AtomicUsize,
    longest: &AtomicU64,
) -> Result<(), Noticed> {
    let missing = mount.join("missing");
    while !over.load(Ordering::SeqCst) {
        let start = Instant::now();
        match fs::symlink_metadata(&missing) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            other => {
                return Err(Noticed::Error(format!(
                    "stat of what is missing: {other:?}"
                )));
            }
        }
        let waited = u64::try_from(start.elapsed().as_micros()).unwrap();
        longest.fetch_max(waited, Ordering::SeqCst);
        asked.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

pub(crate) fn failed<T, E: Display>(
    what: impl Display,
    result: Result<T, E>,
) -> Result<T, Noticed> {
    result.map_err(|error| Noticed::Error(format!("{what}: {error}")))
}

pub(crate) fn same(what: impl Display, is: &[u8], should: &[u8]) -> Result<(), Noticed> {
    if is == should {
        return Ok(());
    }
    let at = is.iter().zip(should).position(|(is, should)| is != should);
    let at = at.unwrap_or(is.len().min(should.len()));
    let lengths = format!("{} bytes, and not {}", is.len(), should.len());
    Err(Noticed::Bytes(format!(
        "{what}: {lengths}; the first difference is at {at}"
    )))
}

/// Pseudo-random numbers: xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let bytes = (0..length.div_ceil(8)).flat_map(|_| {
            self.below(u64::MAX);
            self.0.to_le_bytes()
        });
        bytes.take(length).collect()
    }
}

/// Writes, appends and truncates, and compares each byte, in the mount and in the end in the source.
fn writes(place: &Place<'_>) -> Result<(), Noticed> {
    const MOST: u64 = 1 << 20;
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let path = place.dir.join("data");
    let open = |options: &mut OpenOptions, path: &Path| failed(path.display(), options.open(path));
    let file = open(
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true),
        &path,
    )?;
    let log_path = place.dir.join("log");
    let mut log_file = open(File::options().append(true).create(true), &log_path)?;
    let (mut data, mut log) = (Vec::new(), Vec::new());
    while !place.is_over() {
        for _ in 0..32 {
            let at = numbers.below(MOST);
            let length = numbers.below(40_000);
            let at_in_data = usize::try_from(at).unwrap();
            let bytes = numbers.bytes(usize::try_from(length).unwrap());
            failed("write", file.write_all_at(&bytes, at))?;
            if !bytes.is_empty() && data.len() < at_in_data + bytes.len() {
                data.resize(at_in_data + bytes.len(), 0);
            }
            if !bytes.is_empty() {
                data[at_in_data..][..bytes.len()].copy_from_slice(&bytes);
            }
            let line = format!("{} of {}\n", log.len(), bytes.len());
            failed("append", log_file.write_all(line.as_bytes()))?;
            log.extend(line.as_bytes());
            if numbers.below(8) == 0 {
                let length = numbers.below(MOST);
                failed("ftruncate", file.set_len(length))?;
                data.resize(usize::try_from(length).unwrap(), 0);
            }
            if numbers.below(8) == 0 {
                failed("fsync", file.sync_all())?;
                // It is there now, whatever becomes of the server.
                let kept = failed("read of the source", fs::read(place.source.join("data")))?;
                same("what was synced, in the source", &kept, &data)?;
            }
            let mut read = vec![0; bytes.len()];
            let read_at = numbers.below(MOST);
            let count = failed("read", file.read_at(&mut read, read_at))?;
            let should = data
                .get(usize::try_from(read_at).unwrap()..)
                .unwrap_or_default();
            same("read", &read[..count], &should[..count.min(should.len())])?;
        }
        same("data", &failed("read", fs::read(&path))?, &data)?;
        same("log", &failed("read", fs::read(&log_path))?, &log)?;
        place.round();
    }
    failed("fsync", file.sync_all())?;
    failed("fsync", log_file.sync_all())?;
    for (name, should) in [("data", &data), ("log", &log)] {
        let is = failed("read of the source", fs::read(place.source.join(name)))?;
        same(format!("{name} in the source"), &is, should)?;
    }
    Ok(())
}

/// Makes, renames, links and removes, where none may fail or be done twice.
fn names(place: &Place<'_>) -> Result<(), Noticed> {
    let path = |name: &str| place.dir.join(name);
    let [file, other, dir, moved, link, new] =
        ["file", "other", "dir", "moved", "link", "new"].map(path);
    let attribute = |path: &Path| failed("listing", fs::read_dir(path)).map(Iterator::count);
    while !place.is_over() {
        for round in 0..8 {
            let text = format!("round {round}");
            failed("mkdir", fs::create_dir(&dir))?;
            let exclusive = File::options().write(true).create_new(true).open(&file);
            failed(
                "write",
                failed("create", exclusive)?.write_all(text.as_bytes()),
            )?;
            failed("link", fs::hard_link(&file, &other))?;
            failed("symlink", symlink("other", &link))?;
            failed("rename of a directory", fs::rename(&dir, &moved))?;
            let within = moved.join("within");
            failed("rename into it", fs::rename(&file, &within))?;
            same("file", &failed("read", fs::read(&within))?, text.as_bytes())?;
            same("link", &failed("read", fs::read(&link))?, text.as_bytes())?;
            failed("write", fs::write(&new, "new"))?;
            failed("rename over another", fs::rename(&new, &other))?;
            same("new", &failed("read", fs::read(&link))?, b"new")?;
            for made in [&dir, &file, &new] {
                if failed("exists", made.try_exists())? {
                    return Err(Noticed::Error(format!("{} is there", made.display())));
                }
            }
            for gone in [&within, &link, &other] {
                failed("unlink", fs::remove_file(gone))?;
            }
            failed("rmdir", fs::remove_dir(&moved))?;
            let left = attribute(&place.dir)?;
            if left != 0 {
                return Err(Noticed::Error(format!("{left} names are left")));
            }
        }
        place.round();
    }
    Ok(())
}

/// Runs it, and what it says is an error if it fails.
fn run(command: &mut Command) -> Result<(), Noticed> {
    let ran = failed(
        format!("{command:?}"),
        command.stdin(Stdio::null()).output(),
    )?;
    if ran.status.success() {
        return Ok(());
    }
    let said = [&*ran.stdout, &*ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Err(Noticed::Error(format!(
        "{command:?}: {}: {said}",
        ran.status
    )))
}

/// Copies a tree by tar(1), and compares.
fn tar(place: &Place<'_>) -> Result<(), Noticed> {
    let [from, to] = ["from", "to"].map(|name| place.dir.join(name));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for dir in 0..5 {
        let dir = from.join(format!("dir{dir}"));
        failed("mkdir", fs::create_dir_all(&dir))?;
        for file in 0..12 {
            let length = usize::try_from(numbers.below(30_000)).unwrap();
            let bytes = numbers.bytes(length);
            failed("write", fs::write(dir.join(format!("file{file}")), bytes))?;
        }
    }
    while !place.is_over() {
        failed("mkdir", fs::create_dir(&to))?;
        let archive = place.scratch.join("tar");
        run(Command::new("tar")
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .args([&from])
            .arg("."))?;
        run(Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&to))?;
        let compared = Command::new("diff").arg("-r").args([&from, &to]).output();
        let compared = failed("diff", compared)?;
        if !compared.status.success() {
            let said = String::from_utf8_lossy(&compared.stdout).into_owned();
            return Err(Noticed::Bytes(said));
        }
        run(Command::new("rm").arg("-r").arg(&to))?;
        place.round();
    }
    Ok(())
}

fn git_command(scratch: &Path) -> Command {
    let mut git = Command::new("git");
    git.env("HOME", scratch)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
        .args(["-c", "safe.directory=*"]);
    git
}

/// A small repository to clone.
///
/// # Errors
///
/// There is no git.
fn git_repository(scratch: &Path) -> Result<(), String> {
    let repository = scratch.join("repository");
    let found = Command::new("git").arg("--version").output();
    found.map_err(|error| format!("git: {error}"))?;
    let git = |arguments: &[&str]| {
        let mut command = git_command(scratch);
        let command = command.arg("-C").arg(&repository).args(arguments);
        run(command).unwrap();
    };
    fs::create_dir_all(repository.join("src")).unwrap();
    git(&["init", "-q"]);
    let mut numbers = Numbers(0xdead_beef_cafe);
    for commit in 0..5 {
        for file in 0..10 {
            let bytes = numbers.bytes(3000);
            fs::write(repository.join(format!("src/{file}")), bytes).unwrap();
        }
        git(&["add", "."]);
        git(&["commit", "-q", "-m", &format!("Commit {commit}")]);
    }
    Ok(())
}

/// Clones it, and has git check what came.
fn git(place: &Place<'_>) -> Result<(), Noticed> {
    let clone = place.dir.join("clone");
    let repository = place.scratch.join("repository");
    while !place.is_over() {
        let mut git = git_command(place.scratch);
        run(git
            .args(["clone", "-q", "--no-local"])
            .arg(&repository)
            .arg(&clone))?;
        for arguments in [
            &["fsck", "--no-progress", "--strict"][..],
            &["diff", "--exit-code", "HEAD"],
        ] {
            run(git_command(place.scratch)
                .arg("-C")
                .arg(&clone)
                .args(arguments))?;
        }
        run(Command::new("rm").arg("-rf").arg(&clone))?;
        place.round();
    }
    Ok(())
}

fn fsx_program() -> Option<PathBuf> {
    let program = match std::env::var_os("FUSE3_FSX") {
        Some(program) => program.into(),
        None => {
            let this = std::env::current_exe().ok()?;
            this.ancestors().nth(3)?.join("tools/bin/fsx")
        }
    };
    program.exists().then_some(program)
}

fn fsx(place: &Place<'_>) -> Result<(), Noticed> {
    let Some(program) = fsx_program() else {
        return Ok(());
    };
    let config = place.scratch.join("fsx.toml");
    // The same as in scripts/conformance.
    failed("write", fs::write(&config, "[opsize]\nmin = 1\n"))?;
    for seed in 1.. {
        let file = place.dir.join(format!("fsx{seed}"));
        let mut fsx = Command::new(&program);
        fsx.arg("-f").arg(&config).arg("-P").arg(place.scratch);
        fsx.args(["-N", "300", "-S", &format!("{seed}")]).arg(&file);
        run(&mut fsx)?;
        failed("unlink", fs::remove_file(&file))?;
        place.round();
        if place.is_over() {
            break;
        }
    }
    Ok(())
}
