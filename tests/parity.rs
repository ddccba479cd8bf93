//! Every name of llfuse and pyfuse3 is in the table of the documentation, and what the table names is there.

#[path = "common/sources.rs"]
mod sources;

use std::collections::BTreeSet;

use sources::{define, item};

/// What the module `fuse3::guide::parity` shows.
const TABLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/parity.md"));

/// Of llfuse 1.5: what the module has, then the data that go with it, then the methods of `Operations`.
const LLFUSE: &str = "
    init main close invalidate_inode invalidate_entry notify_store listdir setxattr getxattr get_sup_groups get_ino_t_bits
    get_off_t_bits lock lock_released ENOATTR ROOT_INODE default_options __version__

    EntryAttributes st_ino generation entry_timeout attr_timeout st_mode st_nlink st_uid st_gid st_rdev st_size st_blksize
    st_blocks st_atime_ns st_mtime_ns st_ctime_ns st_birthtime_ns SetattrFields update_atime update_mtime update_mode
    update_uid update_gid update_size RequestContext uid pid gid umask StatvfsData f_bsize f_frsize f_blocks f_bfree f_bavail
    f_files f_ffree f_favail f_namemax FUSEError

    destroy lookup forget getattr setattr readlink mknod mkdir unlink rmdir symlink rename link open create read write flush
    release fsync opendir readdir releasedir fsyncdir statfs stacktrace listxattr removexattr access
";

/// Of pyfuse3 3.5, in the same order.
const PYFUSE3: &str = "
    init main terminate trio_token close invalidate_inode invalidate_entry invalidate_entry_async notify_store readdir_reply
    syncfs listdir setxattr getxattr get_sup_groups ENOATTR ROOT_INODE RENAME_EXCHANGE RENAME_NOREPLACE default_options
    __version__ FileHandleT FileNameT FlagT InodeT ModeT XAttrNameT asyncio.enable asyncio.disable PollHandle.notify

    EntryAttributes st_ino generation entry_timeout attr_timeout st_mode st_nlink st_uid st_gid st_rdev st_size st_blksize
    st_blocks st_atime_ns st_mtime_ns st_ctime_ns st_birthtime_ns SetattrFields update_atime update_mtime update_ctime
    update_mode update_uid update_gid update_size RequestContext uid pid gid umask StatvfsData f_bsize f_frsize f_blocks
    f_bfree f_bavail f_files f_ffree f_favail f_namemax FUSEError FileInfo fh direct_io keep_cache nonseekable ReaddirToken

    supports_dot_lookup enable_writeback_cache enable_acl lookup forget getattr setattr readlink mknod mkdir unlink rmdir
    symlink rename link open create read write flush release fsync opendir readdir releasedir fsyncdir statfs stacktrace
    listxattr removexattr access poll
";

/// A line of the table.
#[derive(Debug)]
struct Row {
    names: [&'static str; 2],
    here: &'static str,
}

fn rows() -> Vec<Row> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| llfuse |");
    let row = |line: &'static str| {
        let line = line.strip_prefix("| ").unwrap();
        let columns: Vec<_> = line.split(" |").map(str::trim).collect();
        let [llfuse, pyfuse3, here, _difference, ""] = columns[..] else {
            panic!("{line}: {columns:?}");
        };
        let names = [llfuse, pyfuse3].map(|name| name.trim_matches('`'));
        Row { names, here }
    };
    TABLE.lines().filter(is_row).map(row).collect()
}

#[test]
fn every_name_is_in_the_table() {
    let rows = rows();
    for (column, names) in [LLFUSE, PYFUSE3].into_iter().enumerate() {
        let names: BTreeSet<_> = names.split_whitespace().collect();
        let listed = rows.iter().map(|row| row.names[column]);
        let listed: BTreeSet<_> = listed.filter(|name| *name != "-").collect();
        assert_eq!(listed, names, "column {column}");
    }
}

/// Handlers of both have one row each, and so has everything else: `setxattr` and `getxattr` are functions, too.
#[test]
fn no_name_is_there_twice() {
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = rows()
        .into_iter()
        .map(|row| row.names)
        .filter(|names| !seen.insert(*names))
        .collect();
    let both = [["init"; 2], ["setxattr"; 2], ["getxattr"; 2]];
    assert_eq!(twice, both);
}

#[test]
fn each_has_a_place_or_a_reason() {
    for row in rows() {
        let is_explained = row.here.starts_with('[') || row.here.starts_with("none: ");
        assert!(is_explained, "{row:?}");
    }
}

/// The same that rustdoc finds out by the links, without it.
#[test]
fn the_places_are_there() {
    let sources = sources::read();
    let mut places = 0;
    for row in rows() {
        for place in row.here.split("(crate::").skip(1) {
            let place = place.split(')').next().unwrap();
            if place.starts_with("sys::") {
                continue;
            }
            let (kind, member) = item(place);
            let is_type = ["struct", "enum", "trait", "type", "fn", "const"]
                .iter()
                .any(|what| define(&sources, what, kind));
            assert!(is_type, "{row:?}: there is no {kind}");
            let is_member = member.is_empty()
                || ["fn", "const", "pub"]
                    .iter()
                    .any(|what| define(&sources, what, member));
            // The constants of errors are written by a macro.
            assert!(is_member || kind == "Errno", "{row:?}: there is no {place}");
            places += 1;
        }
    }
    assert!(places > 100, "{places}");
}
