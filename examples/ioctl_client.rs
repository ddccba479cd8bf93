//! Asks for the size of the file of the example `ioctl_ll`, or sets it: `ioctl_client FILE [SIZE]`.

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use fuse3::ioctl::IoctlCommand;

/// `_IOR('E', 0, size_t)`.
const GET_SIZE: IoctlCommand = IoctlCommand::read::<usize>(b'E', 0);
/// `_IOW('E', 1, size_t)`.
const SET_SIZE: IoctlCommand = IoctlCommand::write::<usize>(b'E', 1);

const USAGE: &str = "Usage: ioctl_client FILE [SIZE]

Prints the size of the file, or sets it to SIZE.
";

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let Some(path) = arguments.next() else {
        eprint!("{USAGE}");
        std::process::exit(1);
    };
    if let Err(error) = run(path, arguments.next()) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn run(path: OsString, size: Option<OsString>) -> Result<(), Box<dyn Error>> {
    let mut options = File::options();
    let opened = options.read(true).write(true).open(path);
    let file = opened.map_err(|error| format!("open: {error}"))?;
    let (command, mut size) = match &size {
        None => (GET_SIZE, 0),
        Some(size) => (SET_SIZE, size.to_str().ok_or("SIZE is no number")?.parse()?),
    };
    ioctl(&file, command, &mut size).map_err(|error| format!("ioctl: {error}"))?;
    if command == GET_SIZE {
        println!("{size}");
    }
    Ok(())
}

fn ioctl(file: &File, command: IoctlCommand, size: &mut usize) -> io::Result<()> {
    // SAFETY: the descriptor is open, and `size` is what both commands say that they are given the address of.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), command.0 as _, size as *mut usize) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
