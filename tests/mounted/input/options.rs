//! Options that cannot be used, and those that can.

use super::*;

#[test]
fn options_that_cannot_be_used_are_named() {
    require_mount!();
    let dir = TempDir::new();
    for (options, parts) in [
        ("nosuch", &["refused", "nosuch"][..]),
        ("ro,nosuch=7,allow_other", &["refused", "nosuch=7"]),
    ] {
        let error = refused(bad().options(options), dir.path(), parts);
        assert!(matches!(error, MountError::Refused(_)), "{error:?}");
    }
    // What follows a comma would be an option of its own somewhere on the way to the kernel.
    for injected in [
        "nosuch,ro",
        "subtype=x,allow_other",
        "max_read=4096,allow_other",
    ] {
        let error = refused(bad().option(injected), dir.path(), &[injected, "comma"]);
        assert!(matches!(error, MountError::Option(OptionError::Comma(_))));
    }
    refused(
        bad().subtype("x,allow_other"),
        dir.path(),
        &["subtype=x,allow_other"],
    );
    works_on(dir.path());
}

#[test]
fn options_that_are_empty_no_number_or_cut_are_named() {
    require_mount!();
    let dir = TempDir::new();
    for empty in ["", ",", "ro,", ",ro", "ro,,noatime"] {
        let error = refused(bad().options(empty), dir.path(), &["empty", "remove"]);
        assert!(matches!(error, MountError::Option(OptionError::Empty)));
    }
    refused(bad().option(""), dir.path(), &["empty"]);
    for option in [
        "max_write=many",
        "max_background=-1",
        "time_gran=",
        "max_read=many",
    ] {
        let options = format!("ro,{option}");
        refused(bad().options(options), dir.path(), &[option, "number"]);
    }
    for builder in [bad().fsname("a\0b"), bad().options("ro,fsname=a\0b")] {
        let error = refused(builder, dir.path(), &[r"fsname=a\0b", "NUL"]);
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    }
    // The first mistake is the one that is told.
    let two = bad().option("max_write=many").option("").option("ro");
    refused(two, dir.path(), &["max_write"]);
    works_on(dir.path());
}

#[test]
fn commas_and_backslashes_are_kept() {
    require_mount!();
    for name in [r"a,b\c", r"\,\\,", "a b#c", r"a\040b", r"ends in \", ",ro"] {
        let mount = Mount::new(Probe::new().builder().fsname(name));
        assert_eq!(shown(mount.path()), ("fuse".to_owned(), name.to_owned()));
        mount.end();
        let builder = Probe::new().builder().fsname(name).subtype("x");
        let mount = Mount::new(builder);
        let kind = "fuse.x".to_owned();
        assert_eq!(shown(mount.path()), (kind, name.to_owned()));
        mount.end();
    }
    // As `-o` has them.
    let builder = Probe::new().builder().options(r"ro,fsname=a\,b\\c");
    let mount = Mount::new(builder);
    assert_eq!(shown(mount.path()).1, r"a,b\c");
    mount.end();
}

#[test]
fn llfuse_s_default_options_are_taken() {
    require_mount!();
    let options = "big_writes,default_permissions,no_splice_read,splice_write,splice_move";
    let mount = Mount::new(Probe::new().builder().options(options));
    File::open(mount.join("file")).unwrap();
    let lines = mounts_on(mount.path());
    assert!(lines[0].contains("default_permissions"), "{lines:?}");
    let granted = mount.handle().connection().unwrap().granted;
    let splice = Capabilities::SPLICE_WRITE | Capabilities::SPLICE_MOVE;
    assert!(granted.contains(splice), "{granted:?}");
    assert!(
        !granted.intersects(Capabilities::SPLICE_READ),
        "{granted:?}"
    );
    mount.end();
}

#[test]
fn options_of_libfuse_2_are_left_out() {
    require_mount!();
    let options = "nonempty,use_ino,readdir_ino,hard_remove,large_read,big_writes";
    let mount = Mount::new(Probe::new().builder().options(options));
    File::open(mount.join("file")).unwrap();
    mount.end();
}

#[test]
fn options_of_the_connection_have_the_last_word() {
    require_mount!();
    let options = "max_write=65536,max_background=7,writeback_cache,sync_read,no_auto_inval_data";
    let mount = Mount::new(Probe::new().builder().options(options));
    File::open(mount.join("file")).unwrap();
    let connection = mount.handle().connection().unwrap();
    assert_eq!(connection.max_write, 65536);
    assert_eq!(connection.max_background, 7);
    let granted = connection.granted;
    assert!(
        granted.contains(Capabilities::WRITEBACK_CACHE),
        "{granted:?}"
    );
    let not = Capabilities::ASYNC_READ | Capabilities::AUTO_INVAL_DATA;
    assert!(!granted.intersects(not), "{granted:?}");
    mount.end();
}

#[test]
fn a_number_that_is_out_of_range_ends_the_session() {
    require_mount!();
    let mut mount = Mount::new(Probe::new().builder().option("max_write=1"));
    let error = mount.outcome().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("max_write=1\""), "{error}");
}
