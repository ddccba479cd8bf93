//! What goes along with the descriptor, as text: a line each, the first one with the version of this format.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::conn::connection::Capabilities;
use crate::conn::incoming::Message;
use crate::session::handover::agreed::Agreed;
use crate::session::handover::error::HandoverError;

/// What a process has to know of a session to go on with it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// `fuse_version()` of the libfuse that made the session.
    pub(crate) libfuse: u32,
    /// The kernel's INIT, and what came of it; `None` where that has not been read yet.
    pub(crate) begun: Option<(Message, Agreed)>,
    /// `None` for a mount that somebody else has made, and ends.
    pub(crate) mount: Option<Mounted>,
}

/// Which mount it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// As /proc/self/mountinfo has them.
    pub(crate) id: u64,
    pub(crate) device: String,
    pub(crate) point: PathBuf,
    /// From Linux 6.8 on.
    pub(crate) unique: Option<u64>,
}

const FIRST: &str = "fuse3 hand-over 1";

impl Record {
    pub(crate) fn to_text(&self) -> String {
        let mut lines = vec![FIRST.to_owned(), format!("libfuse {}", self.libfuse)];
        if let Some((init, agreed)) = &self.begun {
            lines.push(format!("init {}", hex(&init.to_bytes())));
            lines.push(format!("granted {:x}", agreed.granted.bits()));
            lines.push(format!("splices {}", agreed.splices));
            let numbers = agreed.numbers.iter();
            lines.extend(numbers.map(|(name, value)| format!("agreed {name} {value}")));
        }
        if let Some(mount) = &self.mount {
            let (id, device) = (mount.id, &mount.device);
            let unique = mount.unique.unwrap_or(0);
            let point = hex(mount.point.as_os_str().as_bytes());
            lines.push(format!("mount {id} {device} {unique} {point}"));
        }
        lines.push("end\n".to_owned());
        lines.join("\n")
    }

    pub(crate) fn from_text(text: &str) -> Result<Self, HandoverError> {
        let broken = |what: String| HandoverError::Broken(what);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if first != FIRST {
            let what = format!("it begins with {:?}, not with {FIRST:?}", cut(first));
            return Err(broken(what));
        }
        let (mut libfuse, mut init, mut granted, mut mount) = (None, None, None, None);
        let mut splices = false;
        let mut numbers = Vec::new();
        let mut is_whole = false;
        for line in lines {
            let wrong = || broken(format!("the line {:?} is wrong", cut(line)));
            let mut words = line.split(' ');
            let key = words.next().unwrap_or_default();
            let words: Vec<_> = words.collect();
            match (key, &*words) {
                ("end", []) => is_whole = true,
                ("libfuse", [version]) => libfuse = Some(version.parse().map_err(|_| wrong())?),
                ("init", [bytes]) => {
                    let bytes = unhex(bytes).and_then(|bytes| Message::from_bytes(&bytes));
                    init = Some(bytes.ok_or_else(wrong)?);
                }
                ("granted", [bits]) => {
                    let bits = u64::from_str_radix(bits, 16).map_err(|_| wrong())?;
                    granted = Some(Capabilities::from_bits_retain(bits));
                }
                ("splices", [word]) => splices = word.parse().map_err(|_| wrong())?,
                ("agreed", [name, value]) => {
                    let value = value.parse().map_err(|_| wrong())?;
                    numbers.push(((*name).to_owned(), value));
                }
                ("mount", [id, device, unique, point]) => {
                    let unique = unique.parse().map_err(|_| wrong())?;
                    mount = Some(Mounted {
                        id: id.parse().map_err(|_| wrong())?,
                        device: (*device).to_owned(),
                        point: PathBuf::from(OsString::from_vec(unhex(point).ok_or_else(wrong)?)),
                        unique: (unique != 0).then_some(unique),
                    });
                }
                _ => return Err(wrong()),
            }
        }
        let lacks = |what: &str| broken(format!("it has no line {what:?}"));
        if !is_whole {
            return Err(lacks("end"));
        }
        let begun = match (init, granted) {
            (Some(init), Some(granted)) => {
                let agreed = Agreed {
                    granted,
                    splices,
                    numbers,
                };
                Some((init, agreed))
            }
            (None, None) => None,
            (None, Some(_)) => return Err(lacks("init")),
            (Some(_), None) => return Err(lacks("granted")),
        };
        Ok(Self {
            libfuse: libfuse.ok_or_else(|| lacks("libfuse"))?,
            begun,
            mount,
        })
    }
}

/// For an error.
fn cut(line: &str) -> String {
    line.chars().take(80).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let is_hex = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
        let pair = std::str::from_utf8(pair).ok().filter(|_| is_hex)?;
        u8::from_str_radix(pair, 16).ok()
    };
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let init: Vec<u8> = (0..104).collect();
        Record {
            libfuse: 314,
            begun: Some((
                Message::from_bytes(&init).unwrap(),
                Agreed {
                    granted: Capabilities::ASYNC_READ | Capabilities::POSIX_ACL,
                    splices: true,
                    numbers: vec![("max_write".to_owned(), 4096)],
                },
            )),
            mount: Some(Mounted {
                id: 36,
                device: "0:98".to_owned(),
                point: PathBuf::from(OsString::from_vec(b"/a b\n\xff".to_vec())),
                unique: Some(1 << 40),
            }),
        }
    }

    #[test]
    fn a_record_survives_being_written_out() {
        let parts = |record: &Record| {
            let begun = record.begun.as_ref();
            let begun = begun.map(|(init, agreed)| (init.to_bytes(), agreed.clone()));
            (record.libfuse, begun, record.mount.clone())
        };
        let mut others = [record(), record(), record()];
        others[1].mount = None;
        others[2].begun = None;
        for record in others {
            let read = Record::from_text(&record.to_text()).unwrap();
            assert_eq!(parts(&read), parts(&record));
        }
    }

    #[test]
    fn what_is_wrong_with_one_is_said() {
        let text = record().to_text();
        let said = |text: &str| Record::from_text(text).unwrap_err().to_string();
        for length in 0..text.len() - 1 {
            if let Some(text) = text.get(..length) {
                assert!(said(text).contains("no hand-over"), "{length}");
            }
        }
        let newer = text.replacen('1', "2", 1);
        assert!(
            said(&newer).contains("fuse3 hand-over 2"),
            "{}",
            said(&newer)
        );
        for (was, is) in [
            ("libfuse 314", "libfuse many"),
            ("init 00", "init 0"),
            ("init 00", "init +1"),
            ("granted ", "granted x"),
            ("agreed max_write 4096", "agreed max_write -1"),
            ("mount 36", "mount x"),
            ("mount 36 ", "mount "),
            ("end", "odd\nend"),
        ] {
            let changed = text.replacen(was, is, 1);
            let line = is.lines().next().unwrap();
            assert!(said(&changed).contains(line), "{is}: {}", said(&changed));
        }
        for lacking in ["libfuse", "init", "granted"] {
            let lines = text.lines().filter(|line| !line.starts_with(lacking));
            let without: Vec<_> = lines.collect();
            assert!(said(&without.join("\n")).contains(lacking));
        }
    }
}
