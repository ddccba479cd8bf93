//! How libfuse is linked: dynamically, unless the build was asked for something else.

use std::fs;

#[test]
fn libfuse_is_static_on_request_only() {
    let asked = option_env!("FUSE3_STATIC").is_some_and(|value| !value.is_empty() && value != "0");
    // With musl whole programs may be static.
    let is_static = asked || cfg!(target_feature = "crt-static");
    assert!(fuse3_sys::library_version() >= [3, 10, 0]);
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert_eq!(maps.contains("/libfuse3.so"), !is_static, "{maps}");
}
