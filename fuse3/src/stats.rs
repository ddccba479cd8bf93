use crate::Operation;

/// What a session has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// How many requests of each operation came, of those that came at all.
    pub requests: Vec<(Operation, u64)>,
    /// How many answers the kernel did not take, mostly for interrupted callers. What they gave out was taken back.
    pub not_taken: u64,
    /// How many handlers panicked.
    pub panics: u64,
}

impl SessionStats {
    /// Requests of all operations.
    pub fn total(&self) -> u64 {
        self.requests.iter().map(|(_, count)| count).sum()
    }
}
