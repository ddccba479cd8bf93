//! Whether the kernel can run a file.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, io};

/// ENOEXEC of execve(2), found out before. Where execve(2) fails with it, execvp(3), which std calls, runs the file as a script of
/// /bin/sh, which knows nothing of a mount: that would be lost. This finds a file that is empty, a text, for another processor, or
/// only the beginning of a program: what is at a path while a program is being installed there.
///
/// A file that cannot be found or read is left to execve(2).
pub(super) fn check(program: &OsStr) -> io::Result<()> {
    let file = find(program).and_then(|path| File::open(path).ok());
    match file {
        Some(file) if !is_executable(&file)? => Err(io::Error::from_raw_os_error(libc::ENOEXEC)),
        _ => Ok(()),
    }
}

/// As execvp(3) does.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let folders = env::var_os("PATH")?;
    let mut paths = env::split_paths(&folders).map(|folder| folder.join(program));
    let can_run = |path: &Path| {
        let metadata = path.metadata();
        metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    paths.find(|path| can_run(path))
}

/// `Elf64_Ehdr`, `Elf64_Phdr` (elf.h): their sizes, and where in them the members are.
const HEADER: usize = 64;
const SEGMENT: usize = 56;

fn is_executable(file: &File) -> io::Result<bool> {
    let header: [u8; HEADER] = beginning(file)?;
    if header.starts_with(b"#!") {
        return Ok(true);
    }
    let own: [u8; HEADER] = beginning(&File::open("/proc/self/exe")?)?;
    // The magic number, the class and the byte order; the processor.
    if header[..6] != own[..6] || header[18..20] != own[18..20] {
        return Ok(false);
    }
    if header[4] != libc::ELFCLASS64 {
        return Ok(true);
    }
    // `e_phoff`, `e_phnum`: the segments have to be in the file.
    let length = file.metadata()?.len();
    if length < HEADER as u64 {
        return Ok(false);
    }
    let (first, count) = (
        word(&header, 32),
        u16::from_ne_bytes([header[56], header[57]]),
    );
    for number in 0..u64::from(count) {
        let at = first.saturating_add(number * SEGMENT as u64);
        let mut segment = [0; SEGMENT];
        if file.read_exact_at(&mut segment, at).is_err() {
            return Ok(false);
        }
        // `p_offset`, `p_filesz`
        let end = word(&segment, 8).saturating_add(word(&segment, 32));
        if end > length {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first bytes, and zeros for those that the file does not have.
fn beginning<const N: usize>(file: &File) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes[at..at + 8].try_into();
    u64::from_ne_bytes(word.expect("8 bytes"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_no_program_is_refused() {
        let own = fs::read("/proc/self/exe").unwrap();
        let mut foreign = own.clone();
        foreign[18] ^= 1;
        let dir = env::temp_dir().join(format!("fuse3-executable-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("program");
        let checked = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            check(path.as_os_str()).map_err(|error| error.raw_os_error())
        };
        let refused = Err(Some(libc::ENOEXEC));
        assert_eq!(checked(&own), Ok(()));
        assert_eq!(checked(b"#!/bin/sh\n"), Ok(()));
        for wrong in [
            &b""[..],
            b"no program",
            &foreign,
            &own[..50],
            &own[..100],
            // What follows what the kernel loads, debugging information above all, may be missing.
            &own[..own.len() / 20],
        ] {
            assert_eq!(checked(wrong), refused, "{} bytes", wrong.len());
        }
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(checked_name("sh"), Ok(()));
        assert_eq!(checked_name("no such program"), Ok(()));
    }

    fn checked_name(name: &str) -> Result<(), Option<i32>> {
        check(OsStr::new(name)).map_err(|error| error.raw_os_error())
    }
}
