//! How it ends: unmounted, by a signal, or before it began.

use std::fs::{self, File};
use std::process::Command;

use crate::DEADLINE;
use crate::ignored::heed_signals;
use crate::mount::Mounted;

/// With an unmount the kernel drops what it was about to send, and may do so while a worker is just reading it.
#[test]
fn an_unmount_in_the_midst_of_things() {
    for _ in 0..20 {
        let Some(mounted) = Mounted::new("tmpfs", &["-f", "-s"], DEADLINE) else {
            return;
        };
        let path = |number| mounted.path().join(format!("f{number}"));
        let files: Vec<_> = (0..500)
            .map(|number| File::create(path(number)).unwrap())
            .collect();
        (0..500)
            .step_by(2)
            .for_each(|number| fs::remove_file(path(number)).unwrap());
        drop(files);
        let ended = mounted.unmount();
        assert!(
            ended.status.success() && ended.stdout.contains("everything adds up"),
            "{ended:?}"
        );
    }
}

#[test]
fn signals_end_it() {
    heed_signals();
    for signal in ["INT", "TERM"] {
        let Some(mounted) = Mounted::new("tmpfs", &["-f"], DEADLINE) else {
            return;
        };
        fs::write(mounted.path().join("file"), "left behind").unwrap();
        let ended = mounted.signal(signal);
        assert!(
            ended.status.success() && ended.stdout.contains("everything adds up"),
            "{ended:?}"
        );
        assert!(ended.stdout.contains("inodes: 2 left"), "{ended:?}");
    }
}

#[test]
fn mistakes_on_the_command_line() {
    let Some(mounted) = Mounted::new("tmpfs", &["-f"], DEADLINE) else {
        return;
    };
    let program = fs::read_link(format!("/proc/{}/exe", mounted.id())).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(&program).args(arguments).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let here = mounted.path().to_str().unwrap();
    let above = mounted.path().parent().unwrap().to_str().unwrap();
    for (arguments, what) in [
        (&[][..], "mount point is missing"),
        (&["-o", "size=none", here], "\"none\": a size is"),
        (&["-o", "nosuchoption", above], "nosuchoption"),
        (&["/no/such/directory"], "/no/such/directory"),
        (&[here], "mounted"),
    ] {
        let (got, said) = run(arguments);
        assert!(
            got == 1 && said.contains(what),
            "{arguments:?}: {got} {said}"
        );
    }
    assert!(mounted.unmount().status.success());
}
