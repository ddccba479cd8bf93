//! Requests that come once more, since the server that had them was killed before it answered. Have they been carried out?
//!
//! Most need not know: to set attributes, to write at an offset, to sync, gives the same the second time. (O_APPEND, too: the kernel
//! sends the offset.) What changes names does not, so that before each such change it is written down what is about to be
//! done in the directory, and what was there. What is there now then tells whether it was done. Nobody else has changed it in the mount:
//! the kernel has the directory locked until the request is answered. What cannot be told:
//!
//! - the source was changed at that time by somebody else, who made, removed or renamed the same name;
//! - the same two names were exchanged (RENAME_EXCHANGE) twice, one after the other, and the server was killed before it began with the
//!   second exchange: it is taken for the first.

use std::ffi::{OsStr, OsString};
use std::io;

use fuse3::Ino;

use crate::mirror::Mirror;
use crate::reach::{changed, stat_at};
use crate::tree::{Name, Source};

/// What is asked for of a name in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'c> {
    /// Something is to have it.
    Make,
    Remove,
    Rename {
        to: (Ino, &'c OsStr),
        exchange: bool,
    },
}

/// What was last begun in a directory, and what was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: OsString,
    pub(crate) before: Before,
    /// The tree has what came of it.
    pub(crate) is_known: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// To be made: nothing.
    Make,
    Remove(Source),
    Rename {
        to: Name,
        moved: Source,
        exchanged: Option<Source>,
    },
}

impl Step {
    fn is(&self, name: &OsStr, change: Change<'_>) -> bool {
        let is_same = match (&self.before, change) {
            (Before::Make, Change::Make) | (Before::Remove(_), Change::Remove) => true,
            (
                Before::Rename { to, exchanged, .. },
                Change::Rename {
                    to: other,
                    exchange,
                },
            ) => (to.0, &*to.1) == other && exchanged.is_some() == exchange,
            _ => false,
        };
        is_same && self.name == name
    }
}

impl Mirror {
    /// Before `name` in `parent` is changed so: whether there is nothing left to do, since this is asked once more, and was done.
    ///
    /// To be followed by [`done`](Self::done), where it was successful. Where nobody goes on after a crash, this does nothing.
    pub(crate) fn begin(
        &mut self,
        again: bool,
        parent: Ino,
        name: &OsStr,
        change: Change<'_>,
    ) -> io::Result<bool> {
        if !self.is_kept() {
            return Ok(false);
        }
        if again {
            let step = self.tree.get(parent)?.step.as_ref();
            if let Some(step) = step.filter(|step| step.is(name, change)) {
                if self.is_carried_out(parent, step)? {
                    return Ok(true);
                }
            }
        }
        let before = self.before(parent, name, change)?;
        self.tree.get_mut(parent)?.step = before.map(|before| Step {
            name: name.to_owned(),
            before,
            is_known: false,
        });
        if let Change::Rename { to: (to, _), .. } = change {
            if to != parent {
                // What was begun there last is over as well.
                self.tree.get_mut(to)?.step = None;
            }
        }
        self.record();
        Ok(false)
    }

    /// What was begun in `parent` has been done, and the tree has it.
    pub(crate) fn done(&mut self, parent: Ino) -> io::Result<()> {
        if let Some(step) = &mut self.tree.get_mut(parent)?.step {
            step.is_known = true;
        }
        self.record();
        Ok(())
    }

    /// What is there; `None` where the change cannot be made anyway.
    fn before(&self, parent: Ino, name: &OsStr, change: Change<'_>) -> io::Result<Option<Before>> {
        let there = self.what_is(parent, name)?;
        Ok(match change {
            Change::Make => there.is_none().then_some(Before::Make),
            Change::Remove => there.map(Before::Remove),
            Change::Rename { to, exchange } => {
                let at_target = match exchange {
                    true => self.what_is(to.0, to.1)?,
                    false => None,
                };
                let moved = there.filter(|_| exchange == at_target.is_some());
                moved.map(|moved| Before::Rename {
                    to: (to.0, to.1.to_owned()),
                    moved,
                    exchanged: at_target,
                })
            }
        })
    }

    fn what_is(&self, parent: Ino, name: &OsStr) -> io::Result<Option<Source>> {
        let found = changed(stat_at(&*self.reach(parent)?, name))?;
        Ok(found.map(|(_, source)| source))
    }

    fn is_carried_out(&self, parent: Ino, step: &Step) -> io::Result<bool> {
        let there = self.what_is(parent, &step.name)?;
        Ok(match &step.before {
            Before::Make => there.is_some(),
            Before::Remove(was) => there != Some(*was),
            Before::Rename {
                to,
                moved,
                exchanged,
            } => {
                let is_moved = self.what_is(to.0, &to.1)? == Some(*moved);
                // Two names of one file both stay, and it does not matter how often that is done.
                is_moved && there != Some(*moved) && (exchanged.is_none() || there == *exchanged)
            }
        })
    }

    /// Whatever the server that was killed has done last, without having written down what came of it, is known from here on.
    pub(crate) fn settle(&mut self) {
        let begun = self.tree.iter().filter_map(|(ino, inode)| {
            let step = inode.step.clone().filter(|step| !step.is_known)?;
            Some((ino, step))
        });
        let begun: Vec<_> = begun.collect();
        for (parent, step) in &begun {
            // What cannot be told now is found out when it is asked for.
            if !self.is_carried_out(*parent, step).unwrap_or(false) {
                continue;
            }
            let Step { name, before, .. } = step;
            let knew = |source: &Source| {
                let ino = self.tree.child(*parent, name);
                ino.is_some_and(|ino| self.tree.number(*source) == Some(ino))
            };
            match before {
                // It will be met.
                Before::Make => {}
                Before::Remove(was) if knew(was) => self.tree.remove(*parent, name, None),
                Before::Rename {
                    to,
                    moved,
                    exchanged,
                } if knew(moved) => match exchanged {
                    None => self.tree.rename((*parent, name), (to.0, &to.1), None),
                    Some(_) => self.tree.exchange((*parent, name), (to.0, &to.1)),
                },
                Before::Remove(_) | Before::Rename { .. } => {}
            }
            let inode = self.tree.get_mut(*parent).ok();
            if let Some(step) = inode.and_then(|inode| inode.step.as_mut()) {
                step.is_known = true;
            }
        }
    }
}

/// The answer to a request that has failed, unless it is asked once more and was done: which failed because of that.
pub(crate) fn unless_done(
    again: bool,
    result: io::Result<()>,
    is_done: impl FnOnce() -> bool,
) -> io::Result<()> {
    match result {
        Err(_) if again && is_done() => Ok(()),
        result => result,
    }
}
