//! How the state is written down for the next program, and read: numbers of 8 bytes, little-endian, and bytes with their number before
//! them.

use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;

/// A number that grows, by one at a time: it does not come to this.
pub(crate) const MANY: RangeInclusive<u64> = 0..=1 << 62;
/// A number of which all values are right.
pub(crate) const ANY: RangeInclusive<u64> = 0..=u64::MAX;

/// Why a state cannot be read: where it is wrong, and what is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the state that was handed over is wrong: {}", self.0)
    }
}

impl Error for Wrong {}

/// A state that is written down.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, number: impl Into<u64>) {
        self.0.extend(number.into().to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// A list, of which `put` writes the items.
    pub(crate) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        self.number(items.len() as u64);
        items.for_each(|item| put(self, item));
    }
}

/// A state that is read. What is wrong, is an error; nothing is taken for granted.
#[derive(Debug)]
pub(crate) struct Reader<'s> {
    rest: &'s [u8],
    length: usize,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(state: &'s [u8]) -> Self {
        Self {
            rest: state,
            length: state.len(),
        }
    }

    /// What is wrong here.
    pub(crate) fn wrong(&self, what: impl fmt::Display) -> Wrong {
        let at = self.length - self.rest.len();
        Wrong(format!("before byte {at}, {what}"))
    }

    fn take(&mut self, count: u64, what: &str) -> Result<&'s [u8], Wrong> {
        let taken = usize::try_from(count).ok();
        let Some((taken, rest)) = taken.and_then(|count| self.rest.split_at_checked(count)) else {
            let left = self.rest.len();
            return Err(self.wrong(format_args!(
                "{what}: {count} bytes, of which there are {left}"
            )));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next number, which has to be in `allowed`. Errors say that it is `what`.
    pub(crate) fn number(
        &mut self,
        what: &str,
        allowed: RangeInclusive<u64>,
    ) -> Result<u64, Wrong> {
        let bytes = self.take(8, what)?.try_into().expect("8 of them");
        let number = u64::from_le_bytes(bytes);
        if !allowed.contains(&number) {
            return Err(self.wrong(format_args!("{what}: {number}, and not in {allowed:?}")));
        }
        Ok(number)
    }

    /// The next number, which has to fit into 32 bits.
    pub(crate) fn small(&mut self, what: &str) -> Result<u32, Wrong> {
        let number = self.number(what, 0..=u32::MAX.into())?;
        Ok(u32::try_from(number).expect("it was looked at"))
    }

    pub(crate) fn bytes(&mut self, what: &str) -> Result<&'s [u8], Wrong> {
        let count = self.number(what, ANY)?;
        self.take(count, what)
    }

    /// A list, of which `item` reads the next item. No memory is taken for what is not there.
    pub(crate) fn list<T>(
        &mut self,
        what: &str,
        mut item: impl FnMut(&mut Self) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, Wrong> {
        let count = self.number(what, ANY)?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(item(self)?);
        }
        Ok(list)
    }

    /// That it begins with `mark`, of which nothing else is said.
    pub(crate) fn begins_with(&mut self, mark: &[u8]) -> Result<(), Wrong> {
        let Some(rest) = self.rest.strip_prefix(mark) else {
            let found = self.rest[..self.rest.len().min(40)].escape_ascii();
            let what = format!(
                "it begins with \"{found}\", not with \"{}\"",
                mark.escape_ascii()
            );
            return Err(Wrong(what));
        };
        self.rest = rest;
        Ok(())
    }

    /// That nothing follows.
    pub(crate) fn ends(&self) -> Result<(), Wrong> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(self.wrong(format_args!("it should end, and has {more} more bytes"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Writer::default();
        out.number(u64::MAX);
        out.bytes(b"name");
        out.list([3_u32, 4].iter(), |out, item| out.number(*item));
        let mut from = Reader::new(&out.0);
        assert_eq!(from.number("a number", ANY), Ok(u64::MAX));
        assert_eq!(from.bytes("a name"), Ok(&b"name"[..]));
        assert_eq!(
            from.list("a list", |from| from.small("an item")),
            Ok(vec![3, 4])
        );
        assert_eq!(from.ends(), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut out = Writer::default();
        out.number(u64::MAX);
        let said = |read: &dyn Fn(&mut Reader<'_>) -> Result<(), Wrong>| {
            read(&mut Reader::new(&out.0)).unwrap_err().0
        };
        let max = u64::MAX;
        assert_eq!(
            said(&|from| from.number("mode", 1..=7).map(drop)),
            format!("before byte 8, mode: {max}, and not in 1..=7")
        );
        assert_eq!(
            said(&|from| from.bytes("a name").map(drop)),
            format!("before byte 8, a name: {max} bytes, of which there are 0")
        );
        // One of as many items as there are bytes would not fit into any memory.
        assert_eq!(
            said(&|from| from.list("names", |from| from.small("a name")).map(drop)),
            "before byte 8, a name: 8 bytes, of which there are 0"
        );
        assert_eq!(
            said(&|from| from.ends()),
            "before byte 0, it should end, and has 8 more bytes"
        );
        assert_eq!(
            said(&|from| from.begins_with(b"me\n")),
            r#"it begins with "\xff\xff\xff\xff\xff\xff\xff\xff", not with "me\n""#
        );
    }
}
