//! Who calls.

use std::thread;

use rustix::fs::{Gid, Mode, Uid};

/// Who does something.
#[derive(Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: &'static [u32],
    pub(crate) umask: u32,
}

pub(crate) const ROOT: User = user(0, 0, &[]);
pub(crate) const ONE: User = user(2001, 2001, &[]);
pub(crate) const TWO: User = user(2002, 2002, &[]);
pub(crate) const USERS: [(&str, User); 3] = [("root", ROOT), ("the owner", ONE), ("another", TWO)];

pub(crate) const fn user(uid: u32, gid: u32, groups: &'static [u32]) -> User {
    User {
        uid,
        gid,
        groups,
        umask: 0o022,
    }
}

impl User {
    /// Does `what` on a thread that is this user's.
    pub(crate) fn does<T: Send>(self, what: impl FnOnce() -> T + Send) -> T {
        let thread = || {
            // SAFETY: it has no precondition.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FS) }, 0);
            rustix::process::umask(Mode::from_raw_mode(self.umask));
            let groups: Vec<_> = self.groups.iter().copied().map(Gid::from_raw).collect();
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            rustix::thread::set_thread_groups(&groups).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            what()
        };
        thread::scope(|scope| scope.spawn(thread).join().unwrap())
    }
}
