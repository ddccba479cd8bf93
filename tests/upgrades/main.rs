//! Programs that go on with a mount: by exec, and after crashes. Clients notice nothing but a pause.

mod hello;
#[path = "../common/mount.rs"]
#[expect(dead_code, reason = "shared by test programs that use different parts")]
mod mount;
#[cfg(feature = "systemd")]
mod systemd;
