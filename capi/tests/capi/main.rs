//! The library as C sees it: the header, what is exported, its errors, and the examples, mounted.

#[path = "../../../tests/common/mount.rs"]
#[expect(dead_code, reason = "the programs here are none of cargo's")]
mod mount;

mod compiler;
mod header;
mod layout;
mod mounted;
#[path = "../../../tests/common/other.rs"]
#[expect(dead_code, reason = "no error here names the version")]
mod other;
mod program;
#[path = "../../../tests/common/served.rs"]
#[expect(dead_code, reason = "the programs here say nothing on stderr")]
mod served;
mod wire;
