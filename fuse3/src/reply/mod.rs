//! Answers: what they are made of, and how they leave.
//!
//! A handler returns an [`Answer`], which is a value or [`Unanswered`]: an error, or the note that the answer was taken away. Each
//! type that can be answered with is a [`Payload`].
//!
//! - Bytes of a file: [`ReadBuf`] makes them a [`Data`], from memory, from [shared memory](SharedBytes), from
//!   [ranges of files](FileSource), or from [pieces](Piece) of all these. [`WriteData`] is what a client has written.
//! - Names of a directory: [`DirBuf`] makes them a [`Listing`]; [`Added`] says whether there was room.
//! - Answers that are given later: [`Reply`] has the duty to answer, and [`Deferred`] is what the handler returns in its place.
//!   [`RawReply`] hands the duty over to C code.

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
