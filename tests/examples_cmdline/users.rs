//! An ordinary user's, through fusermount3: the examples that other files here do not mount so.

use crate::kernel::linux;
use crate::place::Place;
use crate::skip::skip;

/// `script`, run in the place by its user, prints `printed` while the example is mounted.
#[track_caller]
fn serves(example: &str, arguments: &[&str], script: &str, printed: &str) {
    let Some(place) = Place::of_nobody(example) else {
        return;
    };
    let arguments = [arguments, &["mnt"]].concat();
    let mut server = place.serve(place.example(arguments), &place.mount_point());
    assert_eq!(place.shell(script), printed, "{script}");
    let mount = place.mount(&place.mount_point());
    assert!(mount[2].contains("nosuid,nodev"), "{mount:?}");
    // C's passthrough_hp leaves the subtype out.
    let kind = match example {
        "passthrough_hp" => "fuse".to_owned(),
        _ => format!("fuse.{example}"),
    };
    assert_eq!(mount[0], kind);
    place.unmount(&place.mount_point());
    place.ended(&mut server).well();
}

/// Writes and reads; nobody else may look.
const ROUND: &str =
    "cd mnt && echo text >file && mkdir dir && mv file dir && cat dir/file && rm -r dir && ls -A";

#[test]
fn passthrough_ll() {
    let options = ["-f", "-o", "source=.,timeout=0.5,xattr,flock,cache=never"];
    let script = "mkdir mnt/made && cd mnt/made && echo text >file && cat file && ls ../file";
    serves("passthrough_ll", &options, script, "text\n../file\n");
}

#[test]
fn passthrough_hp() {
    let script =
        "ls mnt/passthrough_hp && mkdir mnt/made && echo text >mnt/made/file && cat made/file";
    let expected = "mnt/passthrough_hp\ntext\n";
    serves("passthrough_hp", &["--foreground", "."], script, expected);
}

#[test]
fn memfs_ll() {
    serves("memfs_ll", &["-f"], ROUND, "text\n");
}

/// An ordinary user gives a directory away only where, as in llfuse's tmpfs.py, nobody checks.
#[test]
fn tmpfs_sqlite() {
    let script = "mkdir mnt/d && test -w mnt/d && chown 1001 mnt/d 2>/dev/null; stat -c %u mnt/d";
    let unchecked = ["-o", "no_default_permissions"];
    serves("tmpfs_sqlite", &unchecked, script, "1001\n");
    let script = format!("{script} | sed \"s/^$(id -u)$/mine/\"");
    serves("tmpfs_sqlite", &[], &script, "mine\n");
}

#[test]
fn poll() {
    let script = "ls mnt | tr -d '\\n'; sleep 1; cat mnt/? | tr -d '0-9A-F' | wc -c";
    serves("poll", &["-f"], script, "0123456789ABCDEF0\n");
}

#[test]
fn ioctl_ll() {
    let script = "ls mnt; test $(stat -c %u mnt/fioc) = $(id -u) && echo mine; echo foobar >mnt/fioc; cat mnt/fioc";
    serves("ioctl_ll", &["-f"], script, "fioc\nmine\nfoobar\n");
}

const CLOCK: [&str; 2] = ["-f", "--update-interval=1"];

/// It goes on, which only notifications can make the kernel see.
const GOES_ON: &str = "before=$(cat mnt/current_time); echo \"$before\" | tr 0-9 9; \
    for i in $(seq 100); do sleep .1; test \"$(cat mnt/current_time)\" = \"$before\" || \
    { echo on; break; }; done";

#[test]
fn notify_inval_inode() {
    let printed = "The current time is 99:99:99\non\n";
    serves("notify_inval_inode", &CLOCK, GOES_ON, printed);
}

#[test]
fn notify_store_retrieve() {
    let printed = "The current time is 99:99:99\non\n";
    serves("notify_store_retrieve", &CLOCK, GOES_ON, printed);
}

#[test]
fn notify_prune() {
    if !linux(6, 18) {
        return skip("notify_prune", "this kernel cannot be told to prune");
    }
    let printed = "The current time is 99:99:99\non\n";
    serves("notify_prune", &CLOCK, GOES_ON, printed);
}

#[test]
fn notify_prune_without_notifications() {
    let arguments = [&CLOCK[..], &["--no-notify"]].concat();
    let script = "cat mnt/current_time | tr 0-9 9";
    serves(
        "notify_prune",
        &arguments,
        script,
        "The current time is 99:99:99\n",
    );
}

#[test]
fn notify_inval_entry() {
    let arguments = [&CLOCK[..], &["--timeout=1000"]].concat();
    let script = "for i in $(seq 100); do file=mnt/$(ls mnt); stat $file >known 2>&1 && break; \
        sleep .1; done; for i in $(seq 100); do sleep .1; test -e $file || { echo gone; break; }; done";
    serves("notify_inval_entry", &arguments, script, "gone\n");
}
