//! llfuse's lltest and pyfuse3's hello, ported: `lltest` and `hello_async`, through the kernel.

#[path = "ported/lltest.rs"]
mod lltest;
#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;
