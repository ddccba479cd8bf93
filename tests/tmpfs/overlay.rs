//! overlayfs with its upper directory here, and what it needs of rename(2).

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::beside::{as_user, beside, mount, said, unmount};
use crate::calls::{getxattr, list, mknod, rename};

/// What is at `path`: its type, mode, owner, number of the device and links.
fn what(path: &Path) -> String {
    said(fs::symlink_metadata(path), |stat| {
        let (mode, uid, gid) = (stat.mode(), stat.uid(), stat.gid());
        format!("{mode:o} {uid}:{gid} {} {}", stat.rdev(), stat.nlink())
    })
}

#[test]
fn a_rename_leaves_a_whiteout() {
    beside("size=1M", |root| {
        let (whiteout, noreplace) = (libc::RENAME_WHITEOUT, libc::RENAME_NOREPLACE);
        let exchange = libc::RENAME_EXCHANGE;
        let mut answers = Vec::new();
        let [file, other, directory, pipe] =
            ["file", "other", "directory", "pipe"].map(|name| root.join(name));
        fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o2777)).unwrap();
        std::os::unix::fs::chown(root, None, Some(77)).unwrap();
        for (from, to, flags) in [
            (&file, &other, whiteout),
            (&file, &other, whiteout | noreplace),
            (&directory, &other, whiteout),
            (&directory, &root.join("new"), whiteout),
            (&pipe, &file, whiteout | exchange),
            (&pipe, &pipe, whiteout),
            (&pipe, &root.join("new"), whiteout),
        ] {
            fs::write(&file, "text").unwrap();
            fs::write(&other, "text").unwrap();
            // It may be there still.
            let _ = fs::create_dir(&directory);
            let _ = mknod(&pipe, libc::S_IFIFO | 0o640);
            let result = said(rename(from, to, flags), |()| "renamed".to_owned());
            answers.push(format!("{result}: {} -> {}", what(from), what(to)));
            answers.push(format!("{:?}, {}", list(root), what(root)));
            for path in [&file, &other, &directory, &pipe] {
                if fs::remove_file(path).is_err() {
                    let _ = fs::remove_dir(path);
                }
            }
        }
        fs::write(&file, "text").unwrap();
        let result = as_user(1234, &[1234], 0, || rename(&file, &other, whiteout));
        answers.push(said(result, |()| "renamed".to_owned()));
        answers
    });
}

/// The mounts of a test, which end with it.
struct Overlay<'a>(&'a Path);

impl Drop for Overlay<'_> {
    fn drop(&mut self) {
        unmount(self.0);
    }
}

#[test]
fn it_is_an_upper_directory() {
    beside("", |root| {
        let [lower, upper, work, merged] =
            ["lower", "upper", "work", "merged"].map(|name| root.join(name));
        for directory in [&lower, &upper, &work, &merged] {
            fs::create_dir(directory).unwrap();
        }
        for name in ["stays", "goes", "moves", "changes"] {
            fs::write(lower.join(name), name).unwrap();
        }
        fs::create_dir(lower.join("directory")).unwrap();
        fs::write(lower.join("directory/below"), "below").unwrap();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        mount("overlay", &merged, &options);
        let overlay = Overlay(&merged);
        let mut answers = vec![format!("{:?}", list(&merged))];
        fs::remove_file(merged.join("goes")).unwrap();
        fs::rename(merged.join("moves"), merged.join("moved")).unwrap();
        fs::write(merged.join("changes"), "changed").unwrap();
        fs::remove_dir_all(merged.join("directory")).unwrap();
        fs::create_dir(merged.join("directory")).unwrap();
        fs::write(merged.join("directory/new"), "new").unwrap();
        for place in [&merged, &merged.join("directory"), &upper, &lower] {
            answers.push(format!("{:?}", list(place)));
        }
        drop(overlay);
        for name in list(&upper) {
            let path = upper.join(&name);
            let kind = fs::symlink_metadata(&path).unwrap();
            let gone = kind.file_type().is_char_device() && kind.rdev() == 0;
            let opaque = said(getxattr(&path, "trusted.overlay.opaque"), |value| {
                format!("{value:?}")
            });
            answers.push(format!("{name}: gone {gone}, opaque {opaque}"));
        }
        // With what it keeps there, it comes up again.
        mount("overlay", &merged, &options);
        let _overlay = Overlay(&merged);
        answers.push(format!("{:?}", list(&merged)));
        answers.push(fs::read_to_string(merged.join("moved")).unwrap());
        answers
    });
}
