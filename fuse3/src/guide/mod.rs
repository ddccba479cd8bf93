//! Guides: how file systems are built with this crate, and how they are ported to it.
//!
//! | page | for |
//! |---|---|
//! | [`global_lock`] | what the lock of llfuse promises, which of its rules the compiler checks, and which are left to you |
//! | [`porting_from_llfuse`] | a small file system before and after, handler by handler |
#![cfg_attr(
    feature = "tokio",
    doc = "| [`porting_from_pyfuse3`] | the same with futures, on one thread |"
)]
//! | [`thread_safety`] | handlers without a lock, what the kernel serialises, calls from other threads |
//! | [`signals`] | how a session ends, and what may be called from handlers and signal handlers |
//! | [`capabilities`] | who turns each one on, and what your handlers then have to do |
//! | [`upgrades`] | a mount that outlives its server: live upgrades, crashes, systemd |
//! | [`errors`] | what the client sees for each mistake |
//! | [`performance`] | workers, caches, data without copies, and how to read the lock's figures |
//! | [`c_interop`] | C code that answers, sessions that C has made, who owns what |
//! | [`testing`] | handlers without a mount, bytes without a kernel, mounts with a deadline, other people's suites |
//!
//! The examples compile with the crate. Whole file systems are in the folder `examples`.

pub mod coverage;
pub mod parity;

#[doc = include_str!("global_lock.md")]
pub mod global_lock {}

#[doc = include_str!("porting_from_llfuse.md")]
pub mod porting_from_llfuse {}

#[cfg(feature = "tokio")]
#[doc = include_str!("porting_from_pyfuse3.md")]
pub mod porting_from_pyfuse3 {}

#[doc = include_str!("thread_safety.md")]
pub mod thread_safety {}

#[doc = include_str!("signals.md")]
pub mod signals {}

#[doc = include_str!("capabilities.md")]
pub mod capabilities {}

#[doc = include_str!("upgrades.md")]
pub mod upgrades {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("performance.md")]
///
/// # The screen of fuse3-top
///
/// A tmpfs at work:
///
/// <div>
#[doc = include_str!("fuse3-top.svg")]
/// </div>
pub mod performance {}

#[doc = include_str!("c_interop.md")]
pub mod c_interop {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[cfg(test)]
mod tests {
    use crate::types::capabilities::Capabilities;

    #[test]
    fn each_capability_has_a_row() {
        let page = include_str!("capabilities.md");
        for (name, _) in Capabilities::all().iter_names() {
            let rows = page.lines().filter(|line| line.starts_with('|'));
            let mut first = rows.filter_map(|row| row.split('|').nth(1));
            assert!(
                first.any(|cell| cell.contains(&format!("`{name}`"))),
                "{name}"
            );
        }
    }
}
