//! Names that are there when a file is to be made.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::mount::{is_root, skip::skip};
use crate::place::{Place, Source, WAYS, everywhere};
use crate::user::{ONE, USERS};

/// A name that the kernel has looked up in vain has a file when it is opened.
fn made_meanwhile(place: &mut Place) {
    for (mode, what) in [(0o600, "private"), (0o666, "public"), (0o644, "readable")] {
        for (flags, how) in [
            (libc::O_CREAT, "O_CREAT"),
            (libc::O_CREAT | libc::O_TRUNC, "O_CREAT and O_TRUNC"),
            (libc::O_CREAT | libc::O_EXCL, "O_CREAT and O_EXCL"),
        ] {
            for (who, user) in USERS {
                let name = format!("{what} opened with {how} by {who}");
                let path = place.seen.join(&name);
                assert!(!path.exists());
                place.file(&name, (0, 0), mode);
                let opened = user.does(|| {
                    let file = File::options()
                        .read(true)
                        .write(true)
                        .custom_flags(flags)
                        .open(&path)?;
                    let mut bytes = [0; 4];
                    let count = file.read_at(&mut bytes, 0)?;
                    file.write_all_at(b"mine", 0)?;
                    Ok(format!("{:?}", &bytes[..count]))
                });
                place.say(&name, opened);
                place.state(&name);
            }
        }
    }
}

#[test]
fn what_was_made_meanwhile_is_not_opened_unchecked() {
    everywhere("made meanwhile", WAYS, made_meanwhile);
}

/// The same as a race: root makes the file and takes it away, and another user opens it.
///
/// What is taken away is kept elsewhere: its number is not to be another file's, which the kernel could take for this one.
#[test]
fn the_race_for_a_name_gives_nobody_a_file_of_another() {
    if !is_root() {
        return skip("a race for a name", "only root can act as other users");
    }
    let mut all = 0;
    for way in WAYS {
        let source = Source::new();
        let Some(mounted) = source.mounted(*way) else {
            return;
        };
        let place = Place::new(&source, "here", Some(&mounted), way.2);
        let (seen, behind) = (place.seen.join("x"), place.behind.join("x"));
        let kept = source.0.join("kept");
        fs::create_dir(&kept).unwrap();
        let over = AtomicBool::new(false);
        let (mut own, mut refused, mut stale) = (0, 0, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0_u32.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let made = File::options()
                        .write(true)
                        .create_new(true)
                        .mode(0o600)
                        .open(&behind);
                    if let Ok(mut file) = made {
                        file.write_all(b"root's").unwrap();
                    }
                    // Either this one, or what the user has made, or nothing.
                    let _ = fs::rename(&behind, kept.join(number.to_string()));
                }
            });
            ONE.does(|| {
                for _ in 0..1500 {
                    let mut open = File::options();
                    let open = open
                        .read(true)
                        .write(true)
                        .custom_flags(libc::O_CREAT)
                        .mode(0o600);
                    let opened = open.open(&seen);
                    match opened.map(|file| file.metadata().unwrap()) {
                        Ok(of) => {
                            use std::os::unix::fs::MetadataExt;
                            if of.uid() != 2001 {
                                over.store(true, Ordering::Relaxed);
                            }
                            assert_eq!(of.uid(), 2001, "{way:?}");
                            own += 1;
                        }
                        Err(error) => match error.raw_os_error() {
                            Some(libc::EACCES | libc::ENOENT) => refused += 1,
                            // The name changed hands twice while it was opened once.
                            Some(libc::ESTALE) => stale += 1,
                            _ => panic!("{way:?}: {error}"),
                        },
                    }
                }
            });
            over.store(true, Ordering::Relaxed);
        });
        assert_eq!(own + refused + stale, 1500);
        all += own;
        mounted.unmount();
    }
    assert!(all > 0);
}
