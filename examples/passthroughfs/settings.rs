//! What both styles have in common.

use std::io;
use std::time::Duration;

use fuse3::{Attr, Capabilities, Connection, Entry};

use crate::caller;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// For how long the kernel may answer by itself. What is changed in the source is seen as late.
    pub(crate) timeout: Duration,
    /// Writes go to the page cache first, and the kernel keeps size and times.
    pub(crate) writeback: bool,
    /// Says on stderr what is looked up and opened.
    pub(crate) debug: bool,
}

impl Settings {
    pub(crate) fn debug(&self, what: impl FnOnce() -> String) {
        if self.debug {
            caller::say(&format!("DEBUG: {}\n", what()));
        }
    }

    pub(crate) fn entry(&self, entry: Entry) -> Entry {
        caller::entry(entry, self.timeout)
    }

    /// The attributes, and for how long the kernel may answer for them by itself.
    pub(crate) fn attr(&self, attr: Attr) -> (Attr, Duration) {
        let timeout = caller::attr_timeout(&attr, self.timeout);
        (attr, timeout)
    }

    /// What `init` does.
    pub(crate) fn negotiate(&self, connection: &mut Connection<'_>) -> io::Result<()> {
        if self.writeback {
            // Asked for by the user: it is there, or this fails.
            connection
                .want(Capabilities::WRITEBACK_CACHE)
                .map_err(io::Error::other)?;
        }
        // What there is of these; none is needed.
        let wanted = Capabilities::READDIRPLUS
        | Capabilities::READDIRPLUS_AUTO
        | Capabilities::PARALLEL_DIROPS
        | Capabilities::SPLICE_WRITE
        | Capabilities::SPLICE_MOVE
        // The source's ACLs count, and the umask does not where there is a default ACL.
        | Capabilities::POSIX_ACL
        | Capabilities::DONT_MASK
        // A file handle would lead nowhere once its inode is forgotten.
        | Capabilities::NO_EXPORT_SUPPORT;
        connection
            .want(wanted & connection.capable())
            .map_err(io::Error::other)?;
        caller::leave_to_the_kernel(connection);
        Ok(())
    }
}
