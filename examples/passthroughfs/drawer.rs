//! Where the descriptors of files are that have lost their last name, so that they outlive a server that is killed.
//!
//! A descriptor that was sent over a Unix socket stays open as long as nobody takes it out and somebody has the socket: here, both
//! ends of it, the server and its keeper. So nobody has to receive it. There are two sockets: what is still needed is
//! sent over the other one before the first is emptied, so that it is in one of them at any time.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use fuse3::Ino;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    sockopt,
};

use crate::tree::Tree;

/// Two pairs of sockets.
#[derive(Debug)]
pub(crate) struct Drawer {
    sockets: [OwnedFd; 4],
    /// Which pair is in use.
    current: usize,
    /// What is in it that is needed, and how much that is not.
    inside: BTreeSet<Ino>,
    useless: usize,
}

/// As much room as root gets, in bytes: a message takes less than 1 KiB.
const ROOM: usize = 64 << 20;

impl Drawer {
    pub(crate) fn new() -> io::Result<Self> {
        let pair = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (to, from) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            // Others have what there is: about 200 messages.
            if sockopt::set_socket_send_buffer_size_force(&to, ROOM).is_err() {
                sockopt::set_socket_send_buffer_size(&to, ROOM)?;
            }
            Ok::<_, io::Error>((to, from))
        };
        let (first, second) = (pair()?, pair()?);
        Ok(Self::of([first.0, first.1, second.0, second.1]))
    }

    /// That of a server that is gone; [`all`](Self::all) says what is inside.
    pub(crate) fn of(sockets: [OwnedFd; 4]) -> Self {
        Self {
            sockets,
            current: 0,
            inside: BTreeSet::new(),
            useless: 0,
        }
    }

    pub(crate) fn sockets(&self) -> &[OwnedFd; 4] {
        &self.sockets
    }

    fn to(&self, pair: usize) -> &OwnedFd {
        &self.sockets[2 * pair]
    }

    fn from(&self, pair: usize) -> &OwnedFd {
        &self.sockets[2 * pair + 1]
    }

    /// # Errors
    ///
    /// There is no room.
    pub(crate) fn put(&mut self, ino: Ino, file: impl AsFd) -> io::Result<()> {
        send(self.to(self.current), ino, file)?;
        if !self.inside.insert(ino) {
            self.useless += 1;
        }
        Ok(())
    }

    /// `changed` are inodes that may not need it any more. When more is useless than useful, it is taken out.
    pub(crate) fn tidy(&mut self, tree: &Tree, changed: &BTreeSet<Ino>) -> io::Result<()> {
        let held = |ino: Ino| tree.get(ino).ok().and_then(|inode| inode.held.as_ref());
        for ino in changed {
            if held(*ino).is_none() && self.inside.remove(ino) {
                self.useless += 1;
            }
        }
        if self.useless <= self.inside.len() {
            return Ok(());
        }
        let old = self.current;
        for ino in &self.inside {
            if let Some(file) = held(*ino) {
                send(self.to(1 - old), *ino, file)?;
            }
        }
        (self.current, self.useless) = (1 - old, 0);
        while take_out(self.from(old))? {}
        Ok(())
    }

    /// What a server has left inside. It is all in one of the sockets then.
    pub(crate) fn all(&mut self) -> io::Result<Vec<(Ino, File)>> {
        let mut all = Vec::new();
        for (from, to) in [(0, 1), (1, 0)] {
            all.clear();
            while let Some((ino, file)) = look(self.from(from))? {
                send(self.to(to), ino, &file)?;
                take_out(self.from(from))?;
                all.push((ino, file));
            }
        }
        self.current = 0;
        self.inside = all.iter().map(|(ino, _)| *ino).collect();
        self.useless = all.len() - self.inside.len();
        Ok(all)
    }
}

fn send(to: &OwnedFd, ino: Ino, file: impl AsFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file.as_fd()];
    // There is room for one.
    let _ = control.push(SendAncillaryMessage::ScmRights(&files));
    let bytes = ino.0.to_le_bytes();
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(to, &[IoSlice::new(&bytes)], &mut control, flags)?;
    Ok(())
}

/// The first message, which stays there.
fn look(from: &OwnedFd) -> io::Result<Option<(Ino, File)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 8];
    let flags = RecvFlags::PEEK | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(
        from,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        flags,
    );
    match received {
        Err(rustix::io::Errno::AGAIN) => return Ok(None),
        received => received?,
    };
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    // The kernel leaves out what this process may not have.
    let file = file.ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))?;
    Ok(Some((Ino(u64::from_le_bytes(bytes)), file.into())))
}

/// Drops the first message, if there is one.
fn take_out(from: &OwnedFd) -> io::Result<bool> {
    let mut bytes = [0; 8];
    let mut none = RecvAncillaryBuffer::default();
    let bytes = &mut [IoSliceMut::new(&mut bytes)];
    match recvmsg(from, bytes, &mut none, RecvFlags::CMSG_CLOEXEC) {
        Err(rustix::io::Errno::AGAIN) => Ok(false),
        received => received.map(|_| true).map_err(io::Error::from),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::{env, fs, process};

    use super::*;
    use crate::mirror::Mirror;

    /// As many messages as are there.
    fn count(drawer: &Drawer) -> usize {
        let sockets = drawer.sockets.each_ref().map(|it| it.try_clone().unwrap());
        let all = Drawer::of(sockets).all().unwrap();
        all.len()
    }

    #[test]
    fn what_is_needed_stays_and_the_rest_goes() {
        let dir = env::temp_dir().join(format!("passthroughfs-drawer-{}", process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut mirror = Mirror::new(&dir, false).unwrap();
        mirror.keep().unwrap();
        let inos = (0..500).map(|number| {
            let name = format!("file{number}");
            fs::write(dir.join(&name), "").unwrap();
            let ino = mirror.look_up(Ino::ROOT, OsStr::new(&name)).unwrap().ino;
            let none = rustix::fs::AtFlags::empty();
            mirror
                .remove(false, Ino::ROOT, OsStr::new(&name), none)
                .unwrap();
            // Two of them stay.
            if number > 1 {
                mirror.forgotten([(ino, 1)]);
            }
            ino
        });
        let inos: Vec<_> = inos.collect();
        let kept = mirror.kept.as_mut().unwrap();
        let drawer = kept.drawer();
        assert_eq!(drawer.inside, BTreeSet::from([inos[0], inos[1]]));
        assert!(count(drawer) <= 5, "{}", count(drawer));
        fs::remove_dir(&dir).unwrap();
    }

    /// Killed while it was tidied: it is in both.
    #[test]
    fn what_is_in_both_sockets_is_found_once() {
        let mut drawer = Drawer::new().unwrap();
        let file = File::open("/dev/null").unwrap();
        drawer.put(Ino(7), &file).unwrap();
        send(drawer.to(1), Ino(7), &file).unwrap();
        send(drawer.to(1), Ino(8), &file).unwrap();
        let all = drawer.all().unwrap();
        let all: BTreeSet<_> = all.into_iter().map(|(ino, _)| ino).collect();
        assert_eq!(all, BTreeSet::from([Ino(7), Ino(8)]));
        assert_eq!((drawer.inside.len(), drawer.useless), (2, 1));
        assert!(look(drawer.from(1)).unwrap().is_none());
    }
}
