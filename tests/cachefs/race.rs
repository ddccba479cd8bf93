//! The commit thread against clients that write, rename and unlink.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::{Backend, Random, check, control, long, say};

const CLIENTS: u64 = 6;

/// What a client knows of its files.
type Files = BTreeMap<String, Vec<u8>>;

#[test]
fn commits_and_unlinks() {
    let backend = Backend::new();
    let Some(mounted) = backend.mount("commit=5,delay=1,cache=4,max_threads=16") else {
        return;
    };
    let root = mounted.path();
    fs::create_dir(root.join("common")).unwrap();
    let rounds = AtomicU64::new(0);
    let until = Instant::now() + long();
    let known: Vec<Files> = thread::scope(|threads| {
        let clients = (1..=CLIENTS).map(|seed| {
            let rounds = &rounds;
            threads.spawn(move || {
                let mut client = Client {
                    random: Random(seed),
                    files: Files::new(),
                };
                let own = own(root, seed);
                fs::create_dir(&own).unwrap();
                while Instant::now() < until {
                    client.work(&own);
                    client.interfere(&root.join("common"));
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
                client.files
            })
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    compare(root, &known);
    check(mounted);
    let mounted = backend.mount("").unwrap();
    compare(mounted.path(), &known);
    check(mounted);
    let files: usize = known.iter().map(Files::len).sum();
    say(&format!(
        "{} rounds of {CLIENTS} clients in {:?}; {files} files as they know them",
        rounds.into_inner(),
        long()
    ));
}

fn own(root: &Path, seed: u64) -> std::path::PathBuf {
    root.join(format!("own{seed}"))
}

/// There is what the clients know, and nothing else.
fn compare(root: &Path, known: &[Files]) {
    for (seed, files) in (1..).zip(known) {
        let own = own(root, seed);
        let mut found = Files::new();
        for entry in fs::read_dir(&own).unwrap() {
            let entry = entry.unwrap();
            found.insert(
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            );
        }
        assert!(
            found.keys().eq(files.keys()),
            "{seed}: {:?} {:?}",
            found.keys(),
            files.keys()
        );
        for (name, contents) in files {
            assert!(found[name] == *contents, "{seed}/{name}");
        }
    }
    for entry in fs::read_dir(root.join("common")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            assert_eq!(fs::read(entry.path()).unwrap(), b"12345678");
        }
    }
}

struct Client {
    random: Random,
    files: Files,
}

impl Client {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).unwrap()
    }

    /// Something with one of its own files.
    fn work(&mut self, own: &Path) {
        let name = format!("f{}", self.below(6));
        let path = own.join(&name);
        let Some(contents) = self.files.get(&name).cloned() else {
            File::create_new(&path).unwrap();
            self.files.insert(name, Vec::new());
            return;
        };
        match self.below(8) {
            0..4 => self.write(&path, &name, contents),
            4 => {
                let other = format!("f{}", self.below(6));
                fs::rename(&path, own.join(&other)).unwrap();
                self.files.remove(&name);
                self.files.insert(other, contents);
            }
            5 => self.unlink(&path, &name, &contents),
            6 => {
                let len = self.below(300_000);
                OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_len(len as u64)
                    .unwrap();
                self.files.get_mut(&name).unwrap().resize(len, 0);
            }
            _ => assert!(fs::read(&path).unwrap() == contents, "{}", path.display()),
        }
    }

    fn write(&mut self, path: &Path, name: &str, mut contents: Vec<u8>) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let (start, len) = (self.below(200_000), self.below(100_000));
        let byte = self.below(255).to_le_bytes()[0] + 1;
        file.write_all_at(&vec![byte; len], start as u64).unwrap();
        if len > 0 {
            contents.resize(contents.len().max(start + len), 0);
            contents[start..start + len].fill(byte);
        }
        self.files.insert(name.to_owned(), contents);
        if self.below(8) == 0 {
            file.sync_all().unwrap();
        }
    }

    /// What is open outlives its name.
    fn unlink(&mut self, path: &Path, name: &str, contents: &[u8]) {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        fs::remove_file(path).unwrap();
        self.files.remove(name);
        file.write_all_at(b"x", contents.len() as u64).unwrap();
        let mut found = vec![0; contents.len() + 2];
        let mut len = 0;
        while let more @ 1.. = file.read_at(&mut found[len..], len as u64).unwrap() {
            len += more;
        }
        assert!(
            found[..len] == [contents, b"x"].concat(),
            "{}",
            path.display()
        );
    }

    /// Something in the directory where all are in each other's way.
    fn interfere(&mut self, common: &Path) {
        let mut path = |kind| common.join(format!("{kind}{}", self.below(4)));
        let (one, other, directory) = (path("f"), path("f"), path("d"));
        let copy = format!("d{}", self.below(4));
        allowed(match self.below(8) {
            0 => File::create_new(&one).and_then(|file| file.write_all_at(b"12345678", 0)),
            1 => fs::rename(one, other),
            2 => fs::remove_file(one),
            3 => fs::create_dir(directory),
            4 => fs::remove_dir(directory),
            5 => File::create(directory.join("f")).map(drop),
            6 => fs::remove_file(directory.join("f")),
            _ => control(&directory, "copy", &copy).map_err(io::Error::from),
        });
    }
}

/// Others may have made or removed the name; nothing else may have happened.
fn allowed(result: io::Result<()>) {
    const ALLOWED: [i32; 3] = [libc::ENOENT, libc::EEXIST, libc::ENOTEMPTY];
    if let Err(error) = result {
        assert!(ALLOWED.contains(&error.raw_os_error().unwrap()), "{error}");
    }
}
