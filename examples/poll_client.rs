//! Waits for the files of the example `poll`: run it in its mount point.
//!
//! It opens all sixteen, waits sixteen times until something can be read, and prints how much it has read from which.
//! Each file can be open once.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;

const NAMES: [&str; 16] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F",
];
const ROUNDS: usize = 16;

fn main() {
    if let Err(error) = watch() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn watch() -> Result<(), Box<dyn Error>> {
    let open = |name| File::open(name).map_err(|error| format!("open: {error}"));
    let mut files = NAMES.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut waits: Vec<_> = files.iter().map(wait_for).collect();
    for _ in 0..ROUNDS {
        // SAFETY: `waits` has as many elements as said, and lives.
        let count = unsafe { libc::poll(waits.as_mut_ptr(), waits.len() as libc::nfds_t, -1) };
        if count < 0 {
            return Err(format!("poll: {}", io::Error::last_os_error()).into());
        }
        let mut line = String::new();
        for (index, (file, wait)) in files.iter_mut().zip(&waits).enumerate() {
            if wait.revents == 0 {
                line += "_:   ";
                continue;
            }
            let read = file.read(&mut [0; 4096]);
            let read = read.map_err(|error| format!("read: {error}"))?;
            line += &format!("{index:X}:{read:02} ");
        }
        println!("{line}");
    }
    Ok(())
}

fn wait_for(file: &File) -> libc::pollfd {
    libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    }
}
