//! Inodes by number: `table` counts who knows them, `chunk` keeps so many of them together.

mod chunk;
mod table;

pub use table::InodeTable;
