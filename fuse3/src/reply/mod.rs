//! Answers: what they are made of, and how they leave.

pub(crate) mod answer;
pub(crate) mod data;
pub(crate) mod deferred;
pub(crate) mod deliver;
pub(crate) mod dirbuf;
pub(crate) mod forms;
pub mod passthrough;
pub(crate) mod payload;
pub(crate) mod piece;
pub(crate) mod raw;
pub(crate) mod readbuf;
pub(crate) mod writedata;

pub use answer::{Answer, Unanswered};
pub use data::Data;
pub use deferred::{Deferred, Reply};
pub use dirbuf::{Added, DirBuf, Listing};
pub use payload::Payload;
pub use piece::{FileSource, Piece, SharedBytes};
pub use raw::RawReply;
pub use readbuf::ReadBuf;
pub use writedata::WriteData;
