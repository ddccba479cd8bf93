//! `-o size=64M`.

use std::fs;
use std::str::FromStr;

/// Bytes, more than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(u64);

impl Size {
    pub(crate) fn bytes(self) -> u64 {
        self.0
    }

    /// As with the kernel's tmpfs.
    pub(crate) fn half_of_memory() -> Self {
        let kilobytes = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        });
        Self(kilobytes.map_or(1 << 30, |kilobytes| kilobytes * 1024 / 2))
    }
}

impl FromStr for Size {
    type Err = &'static str;

    /// `64`, `64K`, `64M`, `64G`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, factor) = match text.char_indices().last() {
            Some((end, 'k' | 'K')) => (&text[..end], 1 << 10),
            Some((end, 'm' | 'M')) => (&text[..end], 1 << 20),
            Some((end, 'g' | 'G')) => (&text[..end], 1 << 30),
            _ => (text, 1),
        };
        let number = number.parse::<u64>().ok();
        number
            .and_then(|number| number.checked_mul(factor))
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or("a size is a number, and K, M, G or nothing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("64", 64),
            ("3k", 3 << 10),
            ("3M", 3 << 20),
            ("1G", 1 << 30),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        assert!(Size::half_of_memory().bytes() > 0);
    }

    #[test]
    fn no_sizes() {
        for text in ["", "0", "M", "1T", "-1", "99999999999G"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
