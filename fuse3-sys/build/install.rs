//! What is to be typed where something is missing. The build says it, and the tests expect it.

/// What installs it on Debian and Ubuntu, Fedora, Arch, and Alpine.
pub(crate) type Commands = [&'static str; 4];

pub(crate) const PKG_CONFIG: Commands = [
    "apt install pkg-config libfuse3-dev",
    "dnf install pkgconf-pkg-config fuse3-devel",
    "pacman -S pkgconf fuse3",
    "apk add pkgconf fuse3-dev",
];
pub(crate) const LIBFUSE: Commands = [
    "apt install libfuse3-dev",
    "dnf install fuse3-devel",
    "pacman -S fuse3",
    "apk add fuse3-dev",
];
pub(crate) const LIBFUSE_ANEW: Commands = [
    "apt install --reinstall libfuse3-dev",
    "dnf reinstall fuse3-devel",
    "pacman -S fuse3",
    "apk fix fuse3-dev",
];
pub(crate) const LIBCLANG: Commands = [
    "apt install libclang-dev",
    "dnf install clang-devel",
    "pacman -S clang",
    "apk add clang-dev",
];
pub(crate) const COMPILER: Commands = [
    "apt install gcc libc6-dev",
    "dnf install gcc",
    "pacman -S gcc",
    "apk add build-base",
];

/// That something is missing, and what installs it.
pub(crate) fn told(what: &str, [debian, fedora, arch, alpine]: Commands) -> String {
    format!(
        "{what}. To install it: `{debian}` (Debian, Ubuntu), `{fedora}` (Fedora), `{arch}` (Arch), `{alpine}` (Alpine)"
    )
}
