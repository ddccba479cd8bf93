//! What the kernel was told when the session began, and cannot be told again.

use crate::conn::connection::{Agreement, Capabilities};

/// What the kernel knows nothing of: how libfuse moves data. Each process chooses for itself.
const OWN: Capabilities = Capabilities::SPLICE_READ
    .union(Capabilities::SPLICE_WRITE)
    .union(Capabilities::SPLICE_MOVE);

/// The part of an [`Agreement`] that the kernel keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) granted: Capabilities,
    /// Requests are spliced, for which [`max_write`](Agreement::max_write) is what a pipe holds.
    pub(crate) splices: bool,
    /// By their names in `struct fuse_conn_info`.
    pub(crate) numbers: Vec<(String, u32)>,
}

impl Agreed {
    pub(crate) fn of(agreement: &Agreement) -> Self {
        let (major, minor) = agreement.protocol;
        let number = |name: &str, value| (name.to_owned(), value);
        let numbers = vec![
            number("proto_major", major),
            number("proto_minor", minor),
            number("max_write", agreement.max_write),
            number("max_readahead", agreement.max_readahead),
            number("max_background", agreement.max_background),
            number("congestion_threshold", agreement.congestion_threshold),
            number("time_gran", agreement.time_granularity),
            // A libfuse that lacks one leaves it at what is 0 for one that has it.
            number(
                "max_backing_stack_depth",
                agreement.max_backing_stack_depth.unwrap_or(0),
            ),
            number("request_timeout", agreement.request_timeout.unwrap_or(0)),
            number(
                "no_interrupt",
                agreement.no_interrupt.unwrap_or(false).into(),
            ),
        ];
        Self {
            granted: agreement.granted - OWN,
            splices: agreement.granted.contains(Capabilities::SPLICE_READ),
            numbers,
        }
    }

    /// In what `now` differs from this, each named.
    pub(crate) fn differences(&self, now: &Self) -> Vec<String> {
        let names = |capabilities: Capabilities| capabilities.names().join(", ");
        let mut differences = Vec::new();
        let (missing, more) = (self.granted - now.granted, now.granted - self.granted);
        if !missing.is_empty() {
            let missing = names(missing);
            differences.push(format!("{missing} was granted, and is not asked for"));
        }
        if !more.is_empty() {
            let more = names(more);
            differences.push(format!("{more} is asked for, and was not granted"));
        }
        for (name, was) in &self.numbers {
            let is = now.numbers.iter().find(|(other, _)| other == name);
            match is {
                Some((_, is)) if is == was => {}
                Some((_, is)) => differences.push(format!("{name} was {was}, and would be {is}")),
                None => differences.push(format!(
                    "{name} was {was}, which this version does not know"
                )),
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(granted: Capabilities, max_write: u32) -> Agreed {
        let numbers = vec![("max_write".to_owned(), max_write), ("new".to_owned(), 7)];
        Agreed {
            granted,
            splices: false,
            numbers,
        }
    }

    #[test]
    fn each_difference_is_named() {
        let was = agreed(Capabilities::ASYNC_READ | Capabilities::POSIX_ACL, 4096);
        assert!(was.differences(&was).is_empty());
        let mut now = agreed(Capabilities::ASYNC_READ | Capabilities::DONT_MASK, 8192);
        now.numbers.pop();
        let said = was.differences(&now);
        assert_eq!(
            said,
            [
                "POSIX_ACL was granted, and is not asked for",
                "DONT_MASK is asked for, and was not granted",
                "max_write was 4096, and would be 8192",
                "new was 7, which this version does not know",
            ]
        );
    }
}
