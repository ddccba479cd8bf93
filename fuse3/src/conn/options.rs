use std::io;
use std::num::ParseIntError;

use self::Wish::{Unwant, Want};
use crate::conn::{connection::Connection, uring::IoUring};
use crate::types::{capabilities::Capabilities, setting::SettingError};

/// `struct fuse_conn_info_opts`: what mount options ask of the connection, rather than of the mount.
///
/// They are those of `fuse_parse_conn_info_opts()`, most of which libfuse 2 took for itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnOptions {
    wishes: Vec<(String, Wish)>,
    /// libfuse has the option `io_uring`, which is not of the connection, but decides on a capability.
    over_io_uring: bool,
    /// Whatever was asked for: of a mount that is taken over, whose queues would be another process's.
    pub(crate) without_io_uring: bool,
    /// Another server goes on when this one is killed. A request that is being read into memory at that time, which the kernel
    /// finds no page for any more, would be answered with EIO; one that is spliced into a pipe is sent again.
    pub(crate) is_kept: bool,
    /// What the program asks for in place of the option.
    pub(crate) io_uring: IoUring,
    /// Of the mount's option, which libfuse wants to have here, too: it ends a session where the two differ.
    max_read: u32,
    /// The kernel checks permissions.
    default_permissions: bool,
}

/// What one option asks for.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Want(Capabilities),
    Unwant(Capabilities),
    Set(Setting, u32),
}

const LOCKS: Capabilities = Capabilities::POSIX_LOCKS.union(Capabilities::FLOCK_LOCKS);
const READDIRPLUS: Capabilities = Capabilities::READDIRPLUS.union(Capabilities::READDIRPLUS_AUTO);

/// The options that have none.
const FLAGS: &[(&str, Wish)] = &[
    ("async_read", Want(Capabilities::ASYNC_READ)),
    ("sync_read", Unwant(Capabilities::ASYNC_READ)),
    ("atomic_o_trunc", Want(Capabilities::ATOMIC_O_TRUNC)),
    ("no_remote_lock", Unwant(LOCKS)),
    ("no_remote_posix_lock", Unwant(Capabilities::POSIX_LOCKS)),
    ("no_remote_flock", Unwant(Capabilities::FLOCK_LOCKS)),
    ("splice_read", Want(Capabilities::SPLICE_READ)),
    ("no_splice_read", Unwant(Capabilities::SPLICE_READ)),
    ("splice_write", Want(Capabilities::SPLICE_WRITE)),
    ("no_splice_write", Unwant(Capabilities::SPLICE_WRITE)),
    ("splice_move", Want(Capabilities::SPLICE_MOVE)),
    ("no_splice_move", Unwant(Capabilities::SPLICE_MOVE)),
    ("auto_inval_data", Want(Capabilities::AUTO_INVAL_DATA)),
    ("no_auto_inval_data", Unwant(Capabilities::AUTO_INVAL_DATA)),
    ("async_dio", Want(Capabilities::ASYNC_DIO)),
    ("no_async_dio", Unwant(Capabilities::ASYNC_DIO)),
    ("writeback_cache", Want(Capabilities::WRITEBACK_CACHE)),
    ("no_writeback_cache", Unwant(Capabilities::WRITEBACK_CACHE)),
    ("readdirplus=no", Unwant(READDIRPLUS)),
    ("readdirplus=yes", Unwant(Capabilities::READDIRPLUS_AUTO)),
];

/// An option that has a number.
type Setting = fn(&mut Connection<'_>, u32) -> Result<(), SettingError>;

const SETTINGS: &[(&str, Setting)] = &[
    ("max_write", |c, n| c.set_max_write(n)),
    ("max_readahead", |c, n| c.set_max_readahead(n)),
    ("max_background", |c, n| c.set_max_background(n)),
    ("congestion_threshold", |c, n| c.set_congestion_threshold(n)),
    ("time_gran", |c, n| c.set_time_granularity(n)),
];

impl ConnOptions {
    /// Takes the option, if it is one of these; an error when its number is none.
    pub(crate) fn take(&mut self, option: &str) -> Option<Result<(), ()>> {
        let wish = if let Some((_, wish)) = FLAGS.iter().find(|(name, _)| *name == option) {
            *wish
        } else {
            let (name, value) = option.split_once('=')?;
            let (_, set) = SETTINGS.iter().find(|(known, _)| *known == name)?;
            let Ok(number) = value.parse() else {
                return Some(Err(()));
            };
            Wish::Set(*set, number)
        };
        self.wishes.push((option.to_owned(), wish));
        Some(Ok(()))
    }

    /// Is told of each option that is libfuse's; an error when its number is none.
    pub(crate) fn notice(&mut self, option: &str) -> Result<(), ParseIntError> {
        self.over_io_uring |= option == "io_uring";
        self.default_permissions |= option == "default_permissions";
        if let Some(bytes) = option.strip_prefix("max_read=") {
            self.max_read = bytes.parse()?;
        }
        Ok(())
    }

    /// What the program asks for, and whoever runs it.
    pub(crate) fn io_uring(&self) -> IoUring {
        match self.over_io_uring {
            true => self.io_uring.max(IoUring::WhereOffered),
            false => self.io_uring,
        }
    }

    /// `fuse_apply_conn_info_opts()`, after `init`: who runs a file system has the last word.
    ///
    /// What kernel or libfuse do not offer is not had, and logged.
    ///
    /// # Errors
    ///
    /// A number that is out of range, with the option; io_uring, where nothing else will do; ALLOW_IDMAP where nobody checks
    /// permissions.
    pub(crate) fn apply(&self, connection: &mut Connection<'_>) -> io::Result<()> {
        let asked = self.io_uring();
        if self.without_io_uring {
            connection.unwant(Capabilities::OVER_IO_URING);
        } else if asked == IoUring::On {
            connection.want(Capabilities::OVER_IO_URING)?;
        } else if IoUring::known().is_err() || asked == IoUring::Off && !is_forced_over_io_uring() {
            // libfuse wants it wherever the kernel offers it, and then asks for it only if it was told to.
            connection.unwant(Capabilities::OVER_IO_URING);
        }
        if self.is_kept {
            connection.want_offered(Capabilities::SPLICE_READ);
        }
        connection.set_max_read(self.max_read);
        for (option, wish) in &self.wishes {
            let result = match *wish {
                Wish::Want(capabilities) => connection.want(capabilities),
                Wish::Unwant(capabilities) => {
                    connection.unwant(capabilities);
                    Ok(())
                }
                Wish::Set(set, value) => set(connection, value),
            };
            match result {
                Ok(()) => {}
                Err(error @ (SettingError::NotOffered(_) | SettingError::Missing { .. })) => {
                    crate::base::log::warn!("the mount option {option:?} has no effect: {error}");
                }
                Err(error) => {
                    let what = format!("the mount option {option:?} cannot be used: {error}");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
                }
            }
        }
        Ok(self.check_idmap(connection.wanted())?)
    }

    /// The kernel refuses ALLOW_IDMAP, and with it the connection, where it does not check permissions itself
    /// (`process_init_reply()`, fs/fuse/inode.c).
    fn check_idmap(&self, wanted: Capabilities) -> Result<(), SettingError> {
        let checks = self.default_permissions || wanted.contains(Capabilities::POSIX_ACL);
        if !checks && wanted.contains(Capabilities::ALLOW_IDMAP) {
            return Err(SettingError::Missing {
                setting: "ALLOW_IDMAP",
                needs: "the mount option default_permissions",
            });
        }
        Ok(())
    }
}

/// libfuse takes the environment's word in place of the option, a number that is not 0.
fn is_forced_over_io_uring() -> bool {
    let value = std::env::var("FUSE_URING_ENABLE").unwrap_or_default();
    let number = value.trim_start().trim_start_matches(['+', '-']);
    let digits = number.trim_start_matches('0');
    digits.starts_with(|digit: char| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_io_uring_is_for_whoever_runs_it() {
        for (asked, option, result) in [
            (IoUring::Off, "ro", IoUring::Off),
            (IoUring::Off, "io_uring", IoUring::WhereOffered),
            (IoUring::WhereOffered, "ro", IoUring::WhereOffered),
            (IoUring::On, "io_uring", IoUring::On),
        ] {
            let mut options = ConnOptions {
                io_uring: asked,
                ..ConnOptions::default()
            };
            assert_eq!(options.notice(option), Ok(()));
            assert_eq!(options.io_uring(), result, "{asked:?} {option}");
        }
    }

    #[test]
    fn idmapped_mounts_are_for_file_systems_whose_permissions_the_kernel_checks() {
        let idmap = Capabilities::ALLOW_IDMAP;
        let mut options = ConnOptions::default();
        let refused = options.check_idmap(idmap).unwrap_err().to_string();
        assert_eq!(
            refused,
            "ALLOW_IDMAP needs the mount option default_permissions"
        );
        assert_eq!(options.check_idmap(Capabilities::all() - idmap), Ok(()));
        assert_eq!(options.check_idmap(idmap | Capabilities::POSIX_ACL), Ok(()));
        assert_eq!(options.notice("default_permissions"), Ok(()));
        assert_eq!(options.check_idmap(idmap), Ok(()));
    }

    #[test]
    fn what_is_taken() {
        let mut options = ConnOptions::default();
        assert_eq!(options.take("splice_write"), Some(Ok(())));
        assert_eq!(options.take("max_write=4096"), Some(Ok(())));
        assert_eq!(options.take("max_write=many"), Some(Err(())));
        assert_eq!(options.take("max_write=-1"), Some(Err(())));
        for other in ["ro", "fsname=max_write=4096", "max_write", "splice_write=1"] {
            assert_eq!(options.take(other), None, "{other}");
        }
        let wishes = [&options.wishes[0].1, &options.wishes[1].1];
        assert!(matches!(
            wishes,
            [Want(Capabilities::SPLICE_WRITE), Wish::Set(_, 4096)]
        ));
    }
}
