//! Inodes by number: `table` counts who knows them, `chunk` keeps so many of them together, `state` writes them down for a successor.

pub(crate) mod chunk;
pub(crate) mod state;
pub(crate) mod table;
