//! Programs that go on with a mount: by exec, and after crashes. Clients notice nothing but a pause.

#[path = "../common/calls.rs"]
#[expect(dead_code, reason = "shared by test programs that use different parts")]
mod calls;
#[path = "../common/handle.rs"]
mod handle;
mod held;
mod hello;
mod loads;
#[path = "../common/map.rs"]
mod map;
#[path = "../common/mount.rs"]
#[expect(dead_code, reason = "shared by test programs that use different parts")]
mod mount;
mod passthroughfs;
mod replaced;
mod servers;
#[cfg(feature = "systemd")]
mod systemd;
#[cfg(feature = "systemd")]
#[path = "../common/tempdir.rs"]
mod tempdir;
mod tmpfs;
