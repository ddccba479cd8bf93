//! Does everything add up?

use std::collections::BTreeMap;
use std::io;

use crate::blocks::BlockId;
use crate::cache::Cache;
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
            for id in inode.blocks.values() {
                *refs.entry(*id).or_default() += 1;
            }
            let mut links = 1 + u32::from(inode.is_directory());
            for (name, child) in &inode.names {
                named += 1;
                let place = (&self.inodes[child].name, self.inodes[child].parent);
                if place != (name, ino) || !inode.order.contains(child) {
                    wrong.push(format!("{name:?} in {ino} leads to {place:?}"));
                }
                links += u32::from(self.inodes[child].is_directory());
            }
            if inode.attr.nlink != links && inode.attr.nlink != 0 {
                wrong.push(format!("{ino} should have {links} links"));
            }
        }
        let linked = self.inodes.values().filter(|it| it.attr.nlink > 0);
        if linked.count() != named {
            wrong.push(format!("there are {named} names, and not as many inodes"));
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
        let mut records = journal::read(&self.backend, &self.backend.list("commit")?)?;
        let dirty = state.dirty.len() + state.blocks.dirty_len();
        for inode in state.inodes.values() {
            let ino = inode.attr.ino;
            let names = inode
                .names
                .keys()
                .map(|name| Record::Name(ino, name.clone()));
            for record in names.chain([Record::Inode(ino)]) {
                let value = record.value(state, &inode.blocks);
                if records.remove(&record.encode()) != value {
                    wrong.push(format!("the backend knows another {record:?}"));
                }
            }
        }
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
