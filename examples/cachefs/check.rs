//! Does everything add up?

use std::collections::BTreeMap;
use std::io;

use crate::blocks::BlockId;
use crate::cache::Cache;
use crate::inode::Kind;
use crate::journal;
use crate::record::Record;
use crate::state::State;

impl State {
    /// What is wrong with the state, one sentence each.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut refs = BTreeMap::<BlockId, u32>::new();
        let mut named = 1;
        for inode in self.inodes.values() {
            let ino = inode.attr.ino;
            match &inode.kind {
                Kind::File(blocks) => {
                    blocks
                        .values()
                        .for_each(|id| *refs.entry(*id).or_default() += 1);
                }
                Kind::Directory(directory) => {
                    let mut links = 2;
                    for (name, child) in &directory.names {
                        named += 1;
                        let place = self.get(*child).map(|child| (child.parent, &child.name));
                        if place != Ok((ino, name)) || !directory.order.contains(child) {
                            wrong.push(format!(
                                "{name:?} in {ino} leads to {child}, which is at {place:?}"
                            ));
                        }
                        links +=
                            u32::from(self.get(*child).is_ok_and(|child| child.is_directory()));
                    }
                    if inode.attr.nlink != links && inode.attr.nlink != 0 {
                        wrong.push(format!(
                            "{ino} has {} links and not {links}",
                            inode.attr.nlink
                        ));
                    }
                }
            }
        }
        let linked = self
            .inodes
            .values()
            .filter(|inode| inode.attr.nlink > 0)
            .count();
        if linked != named {
            wrong.push(format!("{linked} inodes have links, and {named} names"));
        }
        for id in self.committed.values().flat_map(|blocks| blocks.values()) {
            *refs.entry(*id).or_default() += 1;
        }
        let counted = self.blocks.counts().map(|(id, refs, _)| (id, refs));
        if counted.ne(refs) {
            wrong.push("the references to blocks are not those that are counted".to_owned());
        }
        if let Some((id, ..)) = self.blocks.counts().find(|(.., pins)| *pins > 0) {
            wrong.push(format!("{id} is pinned"));
        }
        wrong
    }
}

impl Cache {
    /// What is wrong, the backend included, once all threads have ended.
    pub(crate) fn check(&self, state: &State) -> io::Result<Vec<String>> {
        let mut wrong = state.check();
        let (mut records, _) = journal::read(&self.backend)?;
        let mut dirty = state.dirty.len();
        for inode in state.inodes.values() {
            let ino = inode.attr.ino;
            let blocks = inode.blocks().cloned().unwrap_or_default();
            let names = inode
                .directory()
                .into_iter()
                .flat_map(|directory| directory.names.keys());
            let names = names.map(|name| Record::Name(ino, name.clone()));
            for record in names.chain([Record::Inode(ino)]) {
                let value = record.value(state, &blocks);
                if records.remove(&record.encode()) != value {
                    wrong.push(format!("the backend knows another {record:?}"));
                }
            }
        }
        dirty += state.blocks.dirty_len();
        if dirty > 0 {
            wrong.push(format!("the backend lacks {dirty} records and blocks"));
        }
        for key in records.keys() {
            wrong.push(format!(
                "the backend knows a {:?} that is gone",
                Record::decode(key)
            ));
        }
        let blocks = state.blocks.counts().map(|(id, ..)| id.0);
        if !self.backend.list("block")?.into_iter().eq(blocks) {
            wrong.push("the blocks in the backend are not those of the files".to_owned());
        }
        Ok(wrong)
    }
}
