//! The programs that are in part C: their answers byte by byte, over a socket pair in place of /dev/fuse, and mounted.

#[path = "../../../../tests/common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

mod catalog;
mod layout;
#[path = "../../../../tests/common/served.rs"]
#[expect(
    dead_code,
    reason = "the programs here say nothing on stdout before they end"
)]
mod served;
mod visits;

#[test]
fn the_guide_shows_the_build_script() {
    let guide = include_str!("../../../../fuse3/src/guide/c_interop.md");
    let (_, shown) = include_str!("../../build.rs").split_once("\n\n").unwrap();
    assert!(guide.contains(shown));
}
