//! What is written down of an inode and of an open directory, for a process that goes on with the mount.
//!
//! Nothing says how long a record is: a process reads all, or what it does not understand is an error.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuse3::{Fh, Ino};

use crate::bytes::{Malformed, Reader, Writer};
use crate::mirror::Directory;
use crate::node::Listed;
use crate::open::Access;
use crate::repeated::{Before, Step};
use crate::tree::{Inode, Name, Source};

/// What a record begins with.
mod kind {
    pub(super) const INODE: u8 = 1;
    pub(super) const GONE: u8 = 2;
    pub(super) const DIRECTORY: u8 = 3;
    pub(super) const CLOSED: u8 = 4;
    pub(super) const LAST: u8 = 5;
}

/// How an inode is open, as bits.
mod bit {
    pub(super) const READ: u8 = 1;
    pub(super) const WRITE: u8 = 2;
    pub(super) const QUIET: u8 = 4;
}

/// What was begun in a directory.
mod step {
    pub(super) const MAKE: u8 = 1;
    pub(super) const REMOVE: u8 = 2;
    pub(super) const RENAME: u8 = 3;
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Record {
    Inode(Ino, Box<Known>),
    /// The kernel knows it no more.
    Gone(Ino),
    Directory(Fh, Listing),
    /// The directory is open no more.
    Closed(Fh),
    /// The last number that was given to something open.
    Last(u64),
}

/// An inode, without its descriptors.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) inode: Inode,
    pub(crate) open: Option<WasOpen>,
    /// It has no name any more.
    pub(crate) is_held: bool,
}

/// How an inode was open.
#[derive(Debug)]
pub(crate) struct WasOpen {
    pub(crate) access: Access,
    pub(crate) is_quiet: bool,
    pub(crate) handles: BTreeSet<Fh>,
}

/// A directory that was open, and what it has listed.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) ino: Ino,
    pub(crate) listed: Arc<[Listed]>,
}

pub(crate) fn write_inode(out: &mut Writer, ino: Ino, inode: &Inode) {
    out.byte(kind::INODE);
    out.number(ino.0);
    write_source(out, &inode.source);
    out.number(inode.lookups);
    out.count(inode.names.len());
    for name in &inode.names {
        write_name(out, name);
    }
    out.byte(inode.held.is_some().into());
    out.byte(inode.open.is_some().into());
    if let Some(open) = &inode.open {
        let bits = [
            (open.access.read, bit::READ),
            (open.access.write, bit::WRITE),
            (open.quiet.is_some(), bit::QUIET),
        ];
        out.byte(
            bits.iter()
                .map(|(is, bit)| if *is { *bit } else { 0 })
                .sum(),
        );
        out.count(open.handles.len());
        for handle in &open.handles {
            out.number(handle.0);
        }
    }
    out.byte(inode.step.is_some().into());
    if let Some(step) = &inode.step {
        write_step(out, step);
    }
}

fn write_step(out: &mut Writer, step: &Step) {
    out.string(step.name.as_bytes());
    out.byte(step.is_known.into());
    match &step.before {
        Before::Make => out.byte(step::MAKE),
        Before::Remove(was) => {
            out.byte(step::REMOVE);
            write_source(out, was);
        }
        Before::Rename {
            to,
            moved,
            exchanged,
        } => {
            out.byte(step::RENAME);
            write_name(out, to);
            write_source(out, moved);
            out.byte(exchanged.is_some().into());
            if let Some(exchanged) = exchanged {
                write_source(out, exchanged);
            }
        }
    }
}

pub(crate) fn write_gone(out: &mut Writer, ino: Ino) {
    out.byte(kind::GONE);
    out.number(ino.0);
}

pub(crate) fn write_directory(out: &mut Writer, handle: Fh, directory: &Directory) {
    out.byte(kind::DIRECTORY);
    out.number(handle.0);
    out.number(directory.ino.0);
    out.count(directory.listed.len());
    for entry in &*directory.listed {
        out.string(entry.name.as_bytes());
        out.number(entry.number);
        out.number(entry.mode.into());
    }
}

pub(crate) fn write_closed(out: &mut Writer, handle: Fh) {
    out.byte(kind::CLOSED);
    out.number(handle.0);
}

pub(crate) fn write_last(out: &mut Writer, last: u64) {
    out.byte(kind::LAST);
    out.number(last);
}

fn write_source(out: &mut Writer, source: &Source) {
    for number in source.numbers() {
        out.number(number);
    }
}

fn write_name(out: &mut Writer, (parent, name): &Name) {
    out.number(parent.0);
    out.string(name.as_bytes());
}

impl Record {
    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match from.byte()? {
            kind::INODE => {
                let ino = Ino(from.number()?);
                Ok(Self::Inode(ino, Box::new(Known::read(from)?)))
            }
            kind::GONE => Ok(Self::Gone(Ino(from.number()?))),
            kind::DIRECTORY => {
                let handle = Fh(from.number()?);
                Ok(Self::Directory(handle, Listing::read(from)?))
            }
            kind::CLOSED => Ok(Self::Closed(Fh(from.number()?))),
            kind::LAST => Ok(Self::Last(from.number()?)),
            other => Err(from.malformed(format!("there is no record of kind {other}"))),
        }
    }
}

impl Known {
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let source = read_source(from)?;
        let lookups = from.number()?;
        let mut names = BTreeSet::new();
        for _ in 0..from.count()? {
            let (parent, name) = read_name(from)?;
            if names.contains(&(parent, name.clone())) {
                return Err(from.malformed(format!("the name {name:?} in {parent} twice")));
            }
            names.insert((parent, name));
        }
        let is_held = read_flag(from)?;
        let open = match read_flag(from)? {
            true => Some(WasOpen::read(from)?),
            false => None,
        };
        let mut inode = Inode::new(source);
        (inode.lookups, inode.names) = (lookups, names);
        if read_flag(from)? {
            inode.step = Some(read_step(from)?);
        }
        Ok(Self {
            inode,
            open,
            is_held,
        })
    }
}

impl WasOpen {
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bits = from.byte()?;
        if bits & !(bit::READ | bit::WRITE | bit::QUIET) != 0 {
            return Err(from.malformed(format!("{bits:#x} is no way to be open")));
        }
        let access = Access {
            read: bits & bit::READ != 0,
            write: bits & bit::WRITE != 0,
        };
        let mut handles = BTreeSet::new();
        for _ in 0..from.count()? {
            let handle = Fh(from.number()?);
            if !handles.insert(handle) {
                return Err(from.malformed(format!("the handle {} twice", handle.0)));
            }
        }
        if handles.is_empty() {
            return Err(from.malformed("a file that is open 0 times"));
        }
        Ok(Self {
            access,
            is_quiet: bits & bit::QUIET != 0,
            handles,
        })
    }
}

impl Listing {
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let ino = Ino(from.number()?);
        let mut listed = Vec::new();
        for _ in 0..from.count()? {
            let name = from.string()?;
            let number = from.number()?;
            let mode = from.number()?;
            let mode =
                u32::try_from(mode).map_err(|_| from.malformed(format!("mode {mode:#o}")))?;
            listed.push(Listed {
                name: OsStr::from_bytes(name).to_owned(),
                number,
                mode,
            });
        }
        Ok(Self {
            ino,
            listed: listed.into(),
        })
    }
}

fn read_source(from: &mut Reader<'_>) -> Result<Source, Malformed> {
    let mut numbers = [0; 4];
    for number in &mut numbers {
        *number = from.number()?;
    }
    Source::of_numbers(numbers)
        .ok_or_else(|| from.malformed(format!("{:#o} is no type of file", numbers[2])))
}

fn read_step(from: &mut Reader<'_>) -> Result<Step, Malformed> {
    let name = read_component(from)?;
    let is_known = read_flag(from)?;
    let before = match from.byte()? {
        step::MAKE => Before::Make,
        step::REMOVE => Before::Remove(read_source(from)?),
        step::RENAME => Before::Rename {
            to: read_name(from)?,
            moved: read_source(from)?,
            exchanged: match read_flag(from)? {
                true => Some(read_source(from)?),
                false => None,
            },
        },
        other => return Err(from.malformed(format!("nothing that is begun is {other}"))),
    };
    Ok(Step {
        name,
        before,
        is_known,
    })
}

fn read_name(from: &mut Reader<'_>) -> Result<Name, Malformed> {
    let parent = Ino(from.number()?);
    Ok((parent, read_component(from)?))
}

fn read_component(from: &mut Reader<'_>) -> Result<OsString, Malformed> {
    let name = from.string()?;
    // Whatever else it is, it is looked up in a directory, and not followed.
    if matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        let name = OsStr::from_bytes(name);
        return Err(from.malformed(format!("{name:?} is no name")));
    }
    Ok(OsStr::from_bytes(name).to_owned())
}

fn read_flag(from: &mut Reader<'_>) -> Result<bool, Malformed> {
    match from.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(from.malformed(format!("{other} is neither yes nor no"))),
    }
}
