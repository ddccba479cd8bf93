//! Programs that go on with a mount: by exec, and after crashes. Clients notice nothing but a pause.

mod held;
mod hello;
mod loads;
#[path = "../common/mount.rs"]
#[expect(dead_code, reason = "shared by test programs that use different parts")]
mod mount;
mod passthroughfs;
mod servers;
#[cfg(feature = "systemd")]
mod systemd;
