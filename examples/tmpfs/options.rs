//! The command line.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

pub(crate) const USAGE: &str =
    "usage: tmpfs [-o OPTION[,OPTION..]] [--size=N[K|M|G]] [--workers=N] [--debug] MOUNTPOINT";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mount_point: PathBuf,
    /// `-o`: mount options, each as it was given.
    pub(crate) mount: Vec<String>,
    /// `--size`: bytes; half of the memory unless given, as with the kernel's tmpfs.
    pub(crate) size: u64,
    /// `--workers`: how many handlers may run at once.
    pub(crate) workers: u32,
    /// `--debug`, `-d`: libfuse logs each request.
    pub(crate) debug: bool,
}

impl Options {
    /// # Errors
    ///
    /// What is wrong with the arguments.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut mount_point = None;
        let mut options = Self {
            mount_point: PathBuf::new(),
            mount: Vec::new(),
            size: half_of_memory(),
            workers: 30,
            debug: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy().into_owned();
            let (name, value) = match text.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ if text.starts_with("-o") && text != "-o" => ("-o", Some(text[2..].to_owned())),
                _ => (text.as_str(), None),
            };
            let mut value = || match &value {
                Some(value) => Ok(value.clone()),
                None => arguments
                    .next()
                    .and_then(|value| value.into_string().ok())
                    .ok_or_else(|| format!("{name} needs a value")),
            };
            match name {
                "-o" => options.mount.push(value()?),
                "--size" => options.size = bytes(&value()?)?,
                "--workers" => {
                    let value = value()?;
                    options.workers = value
                        .parse()
                        .ok()
                        .filter(|workers| *workers > 0)
                        .ok_or_else(|| format!("{value} is no number of workers"))?;
                }
                "--debug" | "-d" => options.debug = true,
                _ if name.starts_with('-') && name.len() > 1 => {
                    return Err(format!("unknown option {text}"));
                }
                _ if mount_point.is_none() => mount_point = Some(PathBuf::from(argument)),
                _ => return Err(format!("one mount point, not {text} too")),
            }
        }
        options.mount_point = mount_point.ok_or("no mount point")?;
        Ok(options)
    }
}

/// `64`, `64K`, `64M`, `64G`.
fn bytes(text: &str) -> Result<u64, String> {
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
        .ok_or_else(|| format!("{text} is no size: a number, and K, M, G or nothing"))
}

fn half_of_memory() -> u64 {
    let kilobytes = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    kilobytes.map_or(1 << 30, |kilobytes| kilobytes * 1024 / 2)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn parse(arguments: &str) -> Result<Options, String> {
        Options::parse(
            arguments
                .split_whitespace()
                .map(|word| OsString::from_vec(word.into())),
        )
    }

    #[test]
    fn what_is_asked_for() {
        let options = parse("-o allow_other,ro -odev /mnt --size=3M --workers 7 --debug").unwrap();
        assert_eq!(options.mount, ["allow_other,ro", "dev"]);
        assert_eq!(
            (options.size, options.workers, options.debug),
            (3 << 20, 7, true)
        );
        assert_eq!(options.mount_point, PathBuf::from("/mnt"));
        let plain = parse("/mnt").unwrap();
        assert!(plain.size > 0 && plain.workers == 30 && !plain.debug && plain.mount.is_empty());
    }

    #[test]
    fn mistakes() {
        for arguments in [
            "",
            "a b",
            "--no a",
            "a -o",
            "a --size=",
            "a --size=0",
            "a --size=1T",
            "a --size=99999999999G",
            "a --workers=0",
            "a --workers=x",
        ] {
            assert!(parse(arguments).is_err(), "{arguments}");
        }
    }
}
