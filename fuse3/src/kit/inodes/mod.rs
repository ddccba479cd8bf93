//! Inodes by number: `table` counts who knows them, `chunk` keeps so many of them together.

pub(crate) mod chunk;
pub(crate) mod table;
