//! What the README shows is what there is.

#[test]
fn hello_is_shown_as_it_is() {
    let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    assert!(readme.contains(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/hello.rs"
    ))));
}
