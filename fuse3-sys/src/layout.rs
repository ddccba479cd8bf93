// Of build.rs, too, which tells dependents the class.

/// The layouts of `struct fuse_file_info` that libfuse's releases have, in the order of their appearance.
///
/// Code that was compiled for one of them may share structures with code and libraries of the same only (libfuse issue 1029).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutClass {
    /// Up to 3.14.0.
    A,
    /// 3.14.1 to 3.16.2, under the same soname: `parallel_direct_writes` was put before `flush`.
    B,
    /// From 3.17 on, under another soname: the first order, and 64 bytes in place of 40.
    C,
}

impl LayoutClass {
    /// That of libfuse major.minor.patch.
    pub const fn of(version: [u32; 3]) -> Self {
        match version {
            [3, 0..=13, _] | [3, 14, 0] => Self::A,
            [3, 14..=16, _] => Self::B,
            _ => Self::C,
        }
    }
}
