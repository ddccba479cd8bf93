//! The table as bytes, which a successor reads.
//!
//! All numbers are little-endian. The header is the magic bytes, the version (4 bytes), the first generation (8) and the number
//! of pieces (8). A piece is the generation of its unused slots (4) and the number of slots that follow (2). A slot is a byte
//! that says what it is, and what [`Slot`] has: of a vacant one the generation (4); of an inode generation (4), lookups (8), names
//! (4), opens (4), the length of the value (4) and the value.

use std::io::{self, BufReader, ErrorKind, Read, Write};

use crate::kit::inodes::chunk::{CHUNK, Chunk, Inode, Slot, USED_UP, Used};
use crate::kit::inodes::table::{InodeTable, number_of};
use crate::types::ino::Ino;

const MAGIC: [u8; 8] = *b"fuse3ino";
const VERSION: u32 = 1;

// What a slot is.
const VACANT: u8 = 0;
const INODE: u8 = 1;
const EXHAUSTED: u8 = 2;

/// The table as bytes.
///
/// While a file system stays mounted and another process takes it over, the kernel keeps the node ids, the generations, the
/// lookup counts and the file handles that it was given. The successor has to know them: an inode that it does not know is
/// ESTALE to whoever has it open, and one that it counts wrongly goes too early or never.
impl<T> InodeTable<T> {
    /// Writes down all inodes with their numbers, generations and counts, for [`load`](Self::load).
    ///
    /// `value` appends the bytes of an inode's value to the vector it is given, at most 4 GiB. Of a value that has descriptors
    /// it writes their numbers, and the descriptors go beside: they are inherited over execve(2), or sent by `SCM_RIGHTS`.
    ///
    /// Save when no handler runs and none will: each answer that the kernel takes afterwards changes a count.
    ///
    /// The table says how often an inode is open and not by which handles. Handles that stand for more than an inode (the
    /// place in a listing, a descriptor) are written beside the table, by number, with the last number that was given out; those
    /// that are the inode's own number, as in `examples/tmpfs`, need nothing.
    ///
    /// ```
    /// use fuse3::Ino;
    /// use fuse3::kit::InodeTable;
    ///
    /// let mut inodes = InodeTable::new(String::from("root"));
    /// let ino = inodes.insert(String::from("file"));
    /// let generation = inodes.lookup(ino).unwrap(); // the kernel has been told of it
    ///
    /// let mut bytes = Vec::new();
    /// inodes.save(&mut bytes, |name, out| out.extend(name.as_bytes()))?;
    ///
    /// // In the successor:
    /// let mut inodes = InodeTable::load(&bytes[..], |bytes| {
    ///     String::from_utf8(bytes.to_vec()).map_err(std::io::Error::other)
    /// })?;
    /// assert_eq!(inodes.get(ino).unwrap(), "file");
    /// assert_eq!(inodes.lookups(ino), 1);
    /// assert_eq!(inodes.forget(ino, 1).as_deref(), Some("file"));
    /// let next = inodes.insert(String::from("another"));
    /// assert_eq!((next, inodes.lookup(next)), (ino, Ok(generation + 1)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `out`; `InvalidInput` for a value of more than 4 GiB.
    pub fn save(
        &self,
        mut out: impl Write,
        mut value: impl FnMut(&T, &mut Vec<u8>),
    ) -> io::Result<()> {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.first_generation.to_le_bytes());
        bytes.extend((self.chunks.len() as u64).to_le_bytes());
        for (number, chunk) in self.chunks.iter().enumerate() {
            let result = save_chunk(chunk, &mut bytes, &mut value);
            result.map_err(|(slot, size)| {
                let ino = number_of(number, slot);
                let what = format!("the value of inode {ino} has {size} bytes, more than 4 GiB");
                io::Error::new(ErrorKind::InvalidInput, what)
            })?;
            out.write_all(&bytes)?;
            bytes.clear();
        }
        out.flush()
    }

    /// Reads what [`save`](Self::save) has written. Generations go on where they were: no number is given out again with a generation
    /// that it has had.
    ///
    /// `value` makes the value of an inode from the bytes that were written for it. `from` is read to its end; where more follows
    /// the table, it is to be [limited](Read::take).
    ///
    /// # Errors
    ///
    /// Those of `from` and of `value`, the latter with the inode's number; `UnexpectedEof` where bytes are missing; `Unsupported` for
    /// a table that a newer version of this crate has written; `InvalidData` for what is no table or is damaged, with what is
    /// wrong and where. Memory is taken for what has been read, and never for what a number promises.
    pub fn load(
        from: impl Read,
        mut value: impl FnMut(&[u8]) -> io::Result<T>,
    ) -> io::Result<InodeTable<T>> {
        let from = BufReader::new(from);
        let mut from = Source { from, at: 0 };
        let magic = from.array()?;
        if magic != MAGIC {
            let begins = magic.escape_ascii();
            return Err(invalid(format!(
                "this is no table of inodes: it begins with \"{begins}\", not \"fuse3ino\""
            )));
        }
        match u32::from_le_bytes(from.array()?) {
            VERSION => {}
            0 => {
                return Err(invalid(
                    "the table of inodes has version 0, which there is not",
                ));
            }
            newer => {
                let what = format!(
                    "the table of inodes has version {newer}, and this program knows version {VERSION} and no newer one"
                );
                return Err(io::Error::new(ErrorKind::Unsupported, what));
            }
        }
        let mut table = InodeTable {
            chunks: Vec::new(),
            roomy: Vec::new(),
            spare: None,
            len: 0,
            first_generation: u64::from_le_bytes(from.array()?),
        };
        for _ in 0..u64::from_le_bytes(from.array()?) {
            let number = table.chunks.len();
            let chunk = load_chunk(&mut from, |slot, bytes| {
                let wrong = |error: io::Error| {
                    let ino = number_of(number, slot);
                    io::Error::new(error.kind(), format!("the value of inode {ino}: {error}"))
                };
                value(bytes).map_err(wrong)
            })?;
            table.len += chunk.iter().count();
            table.chunks.push(chunk);
        }
        if table.inode(Ino::ROOT).is_none() {
            return Err(invalid("the table of inodes has no root"));
        }
        from.end()?;
        let with_room = table.chunks.iter().enumerate().rev();
        let with_room = with_room.filter(|(_, chunk)| chunk.has_room());
        table.roomy = with_room.map(|(number, _)| number).collect();
        Ok(table)
    }
}

/// An error says which slot has a value that is too long, and how long it is.
fn save_chunk<T>(
    chunk: &Chunk<T>,
    out: &mut Vec<u8>,
    value: &mut impl FnMut(&T, &mut Vec<u8>),
) -> Result<(), (usize, usize)> {
    out.extend(chunk.generation.to_le_bytes());
    let slots = u16::try_from(chunk.slots.len()).expect("they are CHUNK at most");
    out.extend(slots.to_le_bytes());
    for (number, slot) in chunk.slots.iter().enumerate() {
        match slot {
            Slot::Vacant(_, USED_UP) => out.push(EXHAUSTED),
            Slot::Vacant(generation, _) => {
                out.push(VACANT);
                out.extend(generation.to_le_bytes());
            }
            Slot::Used(inode) => {
                out.push(INODE);
                out.extend(inode.generation.to_le_bytes());
                out.extend(inode.lookups.to_le_bytes());
                out.extend(inode.names.to_le_bytes());
                out.extend(inode.opens.to_le_bytes());
                let length = out.len();
                out.extend([0; 4]);
                let start = out.len();
                value(&inode.value, out);
                let size = out.len() - start;
                let size = u32::try_from(size).map_err(|_| (number, size))?;
                out[length..start].copy_from_slice(&size.to_le_bytes());
            }
        }
    }
    Ok(())
}

fn load_chunk<T>(
    from: &mut Source<impl Read>,
    mut value: impl FnMut(usize, &[u8]) -> io::Result<T>,
) -> io::Result<Chunk<T>> {
    let mut chunk = Chunk::new();
    chunk.generation = u32::from_le_bytes(from.array()?);
    let slots = u16::from_le_bytes(from.array()?);
    if usize::from(slots) > CHUNK {
        return Err(from.damaged(format!(
            "a piece has {slots} slots, and {CHUNK} is the most"
        )));
    }
    let mut bytes = Vec::new();
    for number in 0..slots {
        let slot = match from.array()? {
            [VACANT] => {
                let generation = u32::from_le_bytes(from.array()?);
                let next = std::mem::replace(&mut chunk.free, number.into());
                Slot::Vacant(generation, next)
            }
            [EXHAUSTED] => Slot::Vacant(u32::MAX, USED_UP),
            [INODE] => Slot::Used(Inode {
                generation: u32::from_le_bytes(from.array()?),
                lookups: u64::from_le_bytes(from.array()?),
                names: u32::from_le_bytes(from.array()?),
                opens: u32::from_le_bytes(from.array()?),
                value: {
                    from.fill(&mut bytes)?;
                    value(number.into(), &bytes)?
                },
                _used: Used::Used,
            }),
            [other] => {
                return Err(
                    from.damaged(format!("a slot is of kind {other}, and 2 is the highest"))
                );
            }
        };
        chunk.used += u32::from(!matches!(slot, Slot::Vacant(_, next) if next != USED_UP));
        chunk.slots.push(slot);
    }
    if chunk.is_empty() {
        chunk.give_back();
    }
    Ok(chunk)
}

/// Where the table is read from, and how far that has come.
struct Source<R> {
    from: R,
    at: u64,
}

impl<R: Read> Source<R> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(|error| {
            let is_end = error.kind() == ErrorKind::UnexpectedEof;
            if is_end {
                self.cut_off(N as u64)
            } else {
                error
            }
        })?;
        self.at += N as u64;
        Ok(bytes)
    }

    /// A value, with its length before it.
    fn fill(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let length = u32::from_le_bytes(self.array()?).into();
        bytes.clear();
        let read = (&mut self.from).take(length).read_to_end(bytes)? as u64;
        if read < length {
            return Err(self.cut_off(length));
        }
        self.at += length;
        Ok(())
    }

    fn cut_off(&self, wanted: u64) -> io::Error {
        let at = self.at;
        let what =
            format!("the table of inodes is cut off: at byte {at} there are to be {wanted} more");
        io::Error::new(ErrorKind::UnexpectedEof, what)
    }

    fn end(&mut self) -> io::Result<()> {
        match (&mut self.from).take(1).read_to_end(&mut Vec::new())? {
            0 => Ok(()),
            _ => Err(self.damaged("it should end there, and more follows".to_owned())),
        }
    }

    fn damaged(&self, what: String) -> io::Error {
        let at = self.at;
        invalid(format!(
            "the table of inodes is damaged before byte {at}: {what}"
        ))
    }
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_without_a_generation_left_stays_so() {
        let mut table = InodeTable::new(0_u8);
        table.chunks[0].slots.pop();
        table.chunks[0].used = 0;
        table.chunks[0].generation = u32::MAX;
        let [root, gone] = [table.insert(0), table.insert(1)];
        assert_eq!((root, table.remove(gone)), (Ino::ROOT, Some(1)));
        let mut bytes = Vec::new();
        table
            .save(&mut bytes, |value, out| out.push(*value))
            .unwrap();
        let mut table = InodeTable::load(&bytes[..], |bytes| Ok(bytes[0])).unwrap();
        let next = table.insert(2);
        assert_eq!((gone, next), (Ino(2), Ino(3)));
        assert_eq!(table.remove(next), Some(2));
        assert_eq!(table.insert(3), Ino(4));
    }

    #[test]
    fn a_piece_that_is_empty_takes_no_memory() {
        let mut table = InodeTable::new(0_u8);
        let inos: Vec<Ino> = (1..2 * CHUNK).map(|_| table.insert(1)).collect();
        for ino in &inos[CHUNK - 1..] {
            assert_eq!(table.remove(*ino), Some(1));
        }
        let mut bytes = Vec::new();
        table
            .save(&mut bytes, |value, out| out.push(*value))
            .unwrap();
        let table = InodeTable::load(&bytes[..], |bytes| Ok(bytes[0])).unwrap();
        assert_eq!((table.chunks[1].room(), table.len()), (0, CHUNK));
        // A generation that no slot of it has had.
        assert_eq!(table.chunks[1].generation, 1);
    }
}
