//! Does everything add up?

use std::collections::{HashMap, HashSet};

use fuse3::Ino;

use crate::inodes::Inodes;
use crate::node::{Kind, Node};

impl Inodes {
    /// What is wrong, one sentence each; nothing, unless there is a mistake in this program or in the library.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut wrong = self.mistakes.clone();
        let mut names = HashMap::<Ino, u32>::new();
        for (above, directory) in self
            .iter()
            .filter_map(|node| Some((node, node.directory().ok()?)))
        {
            let mut directories = 0;
            for (_, name, ino) in directory.after(0) {
                *names.entry(ino).or_default() += 1;
                let Ok(node) = self.get(ino) else {
                    wrong.push(format!(
                        "the name {name:?} in inode {} leads to none",
                        above.ino()
                    ));
                    continue;
                };
                if let Ok(below) = node.directory() {
                    directories += 1;
                    if below.parent() != above.ino() {
                        wrong.push(format!(
                            "\"..\" of inode {ino} is not inode {}",
                            above.ino()
                        ));
                    }
                }
            }
            let links = if above.meta.nlink == 0 {
                0
            } else {
                2 + directories
            };
            if above.meta.nlink != links {
                wrong.push(format!(
                    "directory {} has {} links and should have {links}",
                    above.ino(),
                    above.meta.nlink
                ));
            }
        }
        for node in self.iter() {
            let named = names.get(&node.ino()).copied().unwrap_or(0);
            let should = match node.kind {
                Kind::Directory(_) if node.ino() == Ino::ROOT => 0,
                Kind::Directory(_) => u32::from(node.meta.nlink != 0),
                _ => node.meta.nlink,
            };
            if named != should {
                wrong.push(format!(
                    "inode {} has {named} names and should have {should}",
                    node.ino()
                ));
            }
            if node.is_lost() {
                wrong.push(format!(
                    "inode {} is lost: no name, not known, not open",
                    node.ino()
                ));
            }
        }
        let reached = self.reachable().len();
        let named = self.iter().filter(|node| node.meta.nlink > 0).count();
        if reached != named {
            wrong.push(format!(
                "{named} inodes have a name, {reached} can be reached"
            ));
        }
        self.check_sums(&mut wrong);
        wrong
    }

    fn check_sums(&self, wrong: &mut Vec<String>) {
        // What an earlier program has handed over may be anything.
        let sum = |of: fn(&Node) -> u64| self.iter().map(of).fold(0, u64::saturating_add);
        let counts = &self.counts;
        let in_files = sum(|node| node.data().map_or(0, |data| data.blocks()));
        for (what, is, should) in [
            (
                "lookup counts",
                sum(|node| node.lookups),
                counts.looked_up - counts.forgotten,
            ),
            (
                "open handles",
                sum(|node| node.opens),
                counts.opened - counts.released,
            ),
            (
                "blocks",
                in_files + self.garbage.blocks(),
                self.space.used(),
            ),
            ("bytes of inodes", sum(Node::cost), self.space.inode_bytes()),
        ] {
            if is != should {
                wrong.push(format!("{what}: {is}, and should be {should}"));
            }
        }
    }

    /// What names lead to from the root.
    pub(crate) fn reachable(&self) -> HashSet<Ino> {
        let mut reached = HashSet::from([Ino::ROOT]);
        let mut todo = vec![Ino::ROOT];
        while let Some(directory) = todo
            .pop()
            .and_then(|ino| self.get(ino).ok()?.directory().ok())
        {
            for (_, _, ino) in directory.after(0) {
                if reached.insert(ino) && self.get(ino).is_ok_and(Node::is_directory) {
                    todo.push(ino);
                }
            }
        }
        reached
    }
}
