//! Numbers and strings as bytes, and back. Whatever the bytes are, reading them ends with a value or an error.

use std::fmt;
use std::io;

/// What was wrong with bytes, and the value that was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Malformed> for io::Error {
    fn from(error: Malformed) -> Self {
        Self::new(io::ErrorKind::InvalidData, error.0)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    /// How many of something follow.
    pub(crate) fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).expect("a length fits into 64 bits"));
    }

    pub(crate) fn string(&mut self, string: &[u8]) {
        self.count(string.len());
        self.0.extend(string);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[derive(Debug)]
pub(crate) struct Reader<'b> {
    all: usize,
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self {
            all: bytes.len(),
            rest: bytes,
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error that says where it is.
    pub(crate) fn malformed(&self, what: impl fmt::Display) -> Malformed {
        let at = self.all - self.rest.len();
        Malformed(format!("{what}, before byte {at} of {}", self.all))
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], Malformed> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            let left = self.rest.len();
            let what = format!("{length} bytes should follow, and {left} do");
            return Err(self.malformed(what));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = [0; 8];
        number.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(number))
    }

    /// How many follow. Each takes a byte at least, so that no more can than there are bytes.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.number()?;
        let fits = usize::try_from(count).ok();
        fits.filter(|count| *count <= self.rest.len())
            .ok_or_else(|| {
                let left = self.rest.len();
                self.malformed(format!("{count} of something in {left} bytes"))
            })
    }

    pub(crate) fn string(&mut self) -> Result<&'b [u8], Malformed> {
        let length = self.count()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Writer::default();
        out.byte(7);
        out.number(u64::MAX);
        out.string(b"name");
        let bytes = out.into_bytes();
        let mut it = Reader::new(&bytes);
        assert_eq!(it.byte(), Ok(7));
        assert_eq!(it.number(), Ok(u64::MAX));
        assert_eq!(it.string(), Ok(&b"name"[..]));
        assert!(it.is_at_end());
    }

    #[test]
    fn what_is_too_long_is_named() {
        let mut out = Writer::default();
        out.number(1 << 60);
        let bytes = out.into_bytes();
        let error = Reader::new(&bytes).string().unwrap_err();
        let said = "1152921504606846976 of something in 0 bytes, before byte 8 of 8";
        assert_eq!(error.0, said);
        let error = Reader::new(&bytes[..3]).number().unwrap_err();
        assert_eq!(
            error.0,
            "8 bytes should follow, and 3 do, before byte 0 of 3"
        );
    }
}
