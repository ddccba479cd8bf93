//! SHA-256 of a file: slow work with the global lock released.

use std::fmt;
use std::sync::Arc;

use fuse3::{Context, Errno, Ino};

use crate::fs::Tmpfs;
use crate::inodes::Inodes;
use crate::store::{BLOCK, Store};

/// Bytes that are hashed between two holds of the lock: some milliseconds.
const CHUNK: u64 = 1 << 20;
/// Bytes that are hashed for anybody at any time.
const FEW: u64 = 64 << 10;
/// Bytes of holes that are hashed, as the zeros they are. They take no space, so that a file may have 8 EiB of them.
const HOLES: u64 = 64 << 20;
/// How often a file may change before its digest is given up.
const ATTEMPTS: u32 = 10;

/// A SHA-256 sum; printed as sha256sum(1) prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u32; 8]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, "{word:08x}"))
    }
}

/// The digest of a file's data. **Releases the lock**, as `cx` in the parameters says.
///
/// Other handlers run while this one hashes. What they may do to the file is why it is written so:
///
/// - No reference into the state lives across `released`; rustc sees to it. What is needed of it is *taken along*: where the
///   bytes are, which stay there, or become zeros, whatever is written or truncated meanwhile.
/// - Afterwards the inode is *looked up anew*, and its version compared: if the data changed, the hash so far is of
///   neither file, and it starts again.
/// - The lock is taken again after each chunk rather than once at the end, so that little is hashed in vain, and an interrupted
///   caller does not wait.
///
/// # Errors
///
/// EAGAIN when the file changes all the time, and, of a file with more than [`FEW`] bytes, as [`Computing`] has it; EFBIG when it has
/// more holes than [`HOLES`]; EINTR when the caller was interrupted.
///
/// [`Computing`]: crate::computing::Computing
pub(crate) fn of_file(cx: &mut Context<'_, Tmpfs>, ino: Ino) -> Result<Digest, Errno> {
    let (uid, mut is_long) = (cx.uid(), false);
    let digest = compute(cx, ino, |cx| {
        if !is_long {
            cx.computing.begin(uid)?;
            is_long = true;
        }
        Ok(())
    });
    if is_long {
        cx.computing.end(uid);
    }
    digest
}

/// The digest; `takes_long` is called before more than [`FEW`] bytes are hashed.
fn compute(
    cx: &mut Context<'_, Tmpfs>,
    ino: Ino,
    mut takes_long: impl FnMut(&mut Inodes) -> Result<(), Errno>,
) -> Result<Digest, Errno> {
    'anew: for _ in 0..ATTEMPTS {
        let node = cx.get(ino)?;
        let version = node.version;
        if let Some((of, digest)) = node.digest {
            if of == version {
                return Ok(digest);
            }
        }
        if node.data()?.holes() > HOLES {
            return Err(Errno::EFBIG);
        }
        let mut sha = Sha256::new();
        let mut next = 0;
        loop {
            let node = cx.get(ino)?;
            if node.version != version {
                continue 'anew;
            }
            let pieces: Vec<_> = node.data()?.pieces(next..next + CHUNK).collect();
            if pieces.is_empty() {
                break;
            }
            if cx.interrupted() {
                return Err(Errno::EINTR);
            }
            next += pieces.iter().map(|(_, count)| *count as u64).sum::<u64>();
            if next > FEW {
                takes_long(cx)?;
            }
            let store = Arc::clone(&cx.store);
            cx.released(|_| {
                let mut pieces = pieces.into_iter();
                pieces.try_for_each(|(at, count)| sha.take(&store, at, count))
            })?;
        }
        let digest = sha.finish();
        cx.get_mut(ino)?.digest = Some((version, digest));
        return Ok(digest);
    }
    Err(Errno::EAGAIN)
}

/// FIPS 180-4, 6.2.
struct Sha256 {
    state: [u32; 8],
    /// Bytes so far.
    len: u64,
    /// The last `len % 64` of them.
    rest: [u8; 64],
}

#[rustfmt::skip]
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

impl Sha256 {
    fn new() -> Self {
        Self {
            state: [
                0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                0x5be0cd19,
            ],
            len: 0,
            rest: [0; 64],
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let start = usize::try_from(self.len % 64).expect("less than 64");
            let count = bytes.len().min(64 - start);
            self.rest[start..start + count].copy_from_slice(&bytes[..count]);
            self.len += count as u64;
            bytes = &bytes[count..];
            if start + count == 64 {
                self.compress();
            }
        }
    }

    /// The `count` bytes that are `at` in the store; `None` is zeros.
    fn take(&mut self, store: &Store, mut at: Option<u64>, mut count: usize) -> Result<(), Errno> {
        let mut bytes = [0; 4 * BLOCK];
        while count > 0 {
            let part = count.min(bytes.len());
            if let Some(at) = &mut at {
                store.read(*at, &mut bytes[..part])?;
                *at += part as u64;
            }
            self.update(&bytes[..part]);
            count -= part;
        }
        Ok(())
    }

    fn finish(mut self) -> Digest {
        let bits = self.len * 8;
        let zeros = usize::try_from((119 - self.len % 64) % 64).expect("less than 64");
        self.update(&[0x80]);
        self.update(&[0; 64][..zeros]);
        self.update(&bits.to_be_bytes());
        Digest(self.state)
    }

    fn compress(&mut self) {
        let mut w = [0; 64];
        for (word, bytes) in w.iter_mut().zip(self.rest.chunks_exact(4)) {
            *word = u32::from_be_bytes(bytes.try_into().expect("chunks of 4"));
        }
        for t in 16..64 {
            let (x, y): (u32, u32) = (w[t - 15], w[t - 2]);
            let s0 = x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
            let s1 = y.rotate_right(17) ^ y.rotate_right(19) ^ (y >> 10);
            w[t] = s1
                .wrapping_add(w[t - 7])
                .wrapping_add(s0)
                .wrapping_add(w[t - 16]);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = self.state;
        for (k, w) in K.iter().zip(w) {
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let one = h
                .wrapping_add(s1)
                .wrapping_add((e & f) ^ (!e & g))
                .wrapping_add(*k)
                .wrapping_add(w);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let two = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            (h, g, f, e, d, c, b, a) =
                (g, f, e, d.wrapping_add(one), c, b, a, one.wrapping_add(two));
        }
        for (word, add) in self.state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = word.wrapping_add(add);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(pieces: &[&[u8]]) -> String {
        let mut sha = Sha256::new();
        pieces.iter().for_each(|piece| sha.update(piece));
        sha.finish().to_string()
    }

    #[test]
    fn known_answers() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let two_blocks = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
        let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(digest(&[]), empty);
        assert_eq!(digest(&[b"a", b"", b"bc"]), abc);
        assert_eq!(
            digest(&[b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"]),
            two_blocks
        );
        assert_eq!(digest(&[&[b'a'; 1000][..]; 1000]), million);
    }
}
