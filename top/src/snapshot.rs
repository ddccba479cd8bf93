//! What the socket says: see `Builder::monitor` of the crate `fuse3`.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// The version of the format that this program knows.
const VERSION: u32 = 1;

/// How long a snapshot may take. It is written as a whole.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is longer is none.
const LONGEST: u64 = 4 << 20;

/// What a session did until a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) program: String,
    pub(crate) pid: u32,
    pub(crate) mount: String,
    pub(crate) uptime: Duration,
    pub(crate) workers: usize,
    pub(crate) not_taken: u64,
    pub(crate) panics: u64,
    pub(crate) notifications: u64,
    pub(crate) operations: Vec<Operation>,
    pub(crate) requests: Vec<Request>,
    /// `None` of a file system without a global lock.
    pub(crate) lock: Option<Lock>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) count: u64,
    pub(crate) errors: u64,
    /// p50, p99, p99.9 and the longest.
    pub(crate) times: [Duration; 4],
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) thread: u32,
    pub(crate) operation: String,
    pub(crate) ino: u64,
    pub(crate) time: Duration,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Lock {
    pub(crate) acquisitions: u64,
    pub(crate) holder: Option<Party>,
    pub(crate) waiters: Vec<Party>,
}

/// Who holds the lock, or waits for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Party {
    pub(crate) thread: u32,
    /// `None` for an application thread.
    pub(crate) operation: Option<String>,
    pub(crate) time: Duration,
    /// `None` where the library took it for a handler.
    pub(crate) site: Option<String>,
}

/// The columns of a line, from left to right.
struct Columns<'l>(&'l str);

impl<'l> Columns<'l> {
    fn next(&mut self) -> Result<&'l str, String> {
        let (column, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        match column {
            "" => Err("a column is missing".to_owned()),
            column => Ok(column),
        }
    }

    fn number<T: FromStr>(&mut self) -> Result<T, String> {
        let column = self.next()?;
        column
            .parse()
            .map_err(|_| format!("{column:?} is no number"))
    }

    fn time(&mut self) -> Result<Duration, String> {
        let seconds: f64 = self.number()?;
        Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
    }

    /// `None` for "-".
    fn optional(&mut self) -> Result<Option<String>, String> {
        Ok(Some(self.next()?.to_owned()).filter(|it| it != "-"))
    }

    /// What is left, with its spaces.
    fn rest(self) -> String {
        self.0.to_owned()
    }
}

impl Snapshot {
    /// What the socket says now.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let client = UnixStream::connect(path).map_err(named)?;
        client.set_read_timeout(Some(PATIENCE))?;
        let mut text = String::new();
        client
            .take(LONGEST)
            .read_to_string(&mut text)
            .map_err(named)?;
        let wrong = |what| named(io::Error::new(io::ErrorKind::InvalidData, what));
        Self::parse(&text).map_err(wrong)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let version = first.strip_prefix("fuse3-monitor ");
        match version.and_then(|version| version.parse::<u32>().ok()) {
            Some(VERSION) => {}
            Some(version) => {
                return Err(format!(
                    "it speaks version {version} of the format, and this fuse3-top knows {VERSION}; use the one that \
                     belongs to the file system's fuse3"
                ));
            }
            None => return Err("no fuse3 file system speaks there".to_owned()),
        }
        let mut snapshot = Self::default();
        let mut is_whole = false;
        for line in lines {
            is_whole |= line == "end";
            snapshot
                .take(line)
                .map_err(|what| format!("{what} in {line:?}"))?;
        }
        if !is_whole {
            return Err("the snapshot was cut off".to_owned());
        }
        Ok(snapshot)
    }

    /// What is not known is left out.
    fn take(&mut self, line: &str) -> Result<(), String> {
        let mut columns = Columns(line);
        match columns.next()? {
            "program" => self.program = columns.rest(),
            "mount" => self.mount = columns.rest(),
            "pid" => self.pid = columns.number()?,
            "uptime" => self.uptime = columns.time()?,
            "workers" => self.workers = columns.number()?,
            "not_taken" => self.not_taken = columns.number()?,
            "panics" => self.panics = columns.number()?,
            "notifications" => self.notifications = columns.number()?,
            "operation" => self.operations.push(Operation {
                name: columns.next()?.to_owned(),
                count: columns.number()?,
                errors: columns.number()?,
                times: [
                    columns.time()?,
                    columns.time()?,
                    columns.time()?,
                    columns.time()?,
                ],
            }),
            "request" => self.requests.push(Request {
                thread: columns.number()?,
                operation: columns.next()?.to_owned(),
                ino: columns.number()?,
                time: columns.time()?,
            }),
            "lock" => self.lock.get_or_insert_default().acquisitions = columns.number()?,
            "holder" => self.lock.get_or_insert_default().holder = Some(party(columns)?),
            "waiter" => {
                let waiter = party(columns)?;
                self.lock.get_or_insert_default().waiters.push(waiter);
            }
            _ => {}
        }
        Ok(())
    }
}

fn party(mut columns: Columns<'_>) -> Result<Party, String> {
    Ok(Party {
        thread: columns.number()?,
        operation: columns.optional()?,
        time: columns.time()?,
        site: Some(columns.rest()).filter(|it| it != "-"),
    })
}

#[cfg(test)]
pub(crate) const EXAMPLE: &str = "fuse3-monitor 1
program tmpfs
pid 4698
mount /mnt/my files
uptime 86.412093344
workers 4
not_taken 3
panics 0
notifications 2
operation lookup 9034 12 0.000012410 0.000801000 0.000919000 0.002050000
operation read 11079 0 0.000095000 0.001200000 0.004010000 0.012500000
request 4711 lookup 1 2.310000000
request 4712 getattr 7 2.300000000
lock 20113 12 3
holder 4699 - 2.310000000 src/my commit.rs:41:27
waiter 4711 lookup 2.310000000 -
waiter 4712 getattr 2.300000000 src/fs.rs:7:9
end
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_understood() {
        let snapshot = Snapshot::parse(EXAMPLE).unwrap();
        assert_eq!((&*snapshot.program, snapshot.pid), ("tmpfs", 4698));
        assert_eq!(snapshot.mount, "/mnt/my files");
        assert_eq!((snapshot.workers, snapshot.notifications), (4, 2));
        assert_eq!((snapshot.not_taken, snapshot.panics), (3, 0));
        assert_eq!(snapshot.operations.len(), 2);
        let lookup = &snapshot.operations[0];
        assert_eq!((lookup.count, lookup.errors), (9034, 12));
        assert_eq!(lookup.times[0], Duration::from_nanos(12_410));
        assert_eq!(snapshot.requests[1].ino, 7);
        let lock = snapshot.lock.unwrap();
        let holder = lock.holder.unwrap();
        assert_eq!((holder.thread, holder.operation), (4699, None));
        assert_eq!(holder.site.as_deref(), Some("src/my commit.rs:41:27"));
        assert_eq!(lock.waiters[0].operation.as_deref(), Some("lookup"));
        assert_eq!(lock.waiters[0].site, None);
        assert_eq!(lock.acquisitions, 20_113);
    }

    #[test]
    fn what_is_new_in_the_format_is_left_out() {
        let newer = EXAMPLE.replace("pid 4698", "pid 4698 and more\nsomething new");
        let known = Snapshot::parse(EXAMPLE).unwrap();
        assert_eq!(Snapshot::parse(&newer).unwrap(), known);
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        for (text, what) in [
            (String::new(), "no fuse3 file system"),
            ("SSH-2.0-OpenSSH".to_owned(), "no fuse3 file system"),
            (EXAMPLE.replace("monitor 1", "monitor 2"), "version 2"),
            (EXAMPLE.replace("end\n", ""), "cut off"),
            (EXAMPLE.replace("9034", "many"), "\"many\" is no number"),
            (EXAMPLE.replace("4711 lookup 1", "4711"), "missing"),
            (EXAMPLE.replace("pid 4698", "pid"), "missing"),
            (EXAMPLE.replace("86.412093344", "-1"), "negative"),
        ] {
            let mistake = Snapshot::parse(&text).unwrap_err();
            assert!(mistake.contains(what), "{mistake}");
        }
    }
}
