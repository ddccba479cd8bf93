//! Which blocks a file has, and where each of them is.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::form::{Reader, Writer, Wrong};
use crate::store::SLOTS;

/// How many blocks a file may have: the last one is that of the largest offset.
const BLOCKS: u64 = SLOTS + 1;

/// Blocks that follow each other in the file, and in the [`Store`](crate::store::Store) as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// At least 1.
    pub(crate) count: u64,
    /// Where the first one is; `None` for blocks that fallocate(2) has set aside, and that nothing was written to yet.
    pub(crate) slot: Option<u64>,
}

impl Run {
    pub(crate) fn put(self, out: &mut Writer) {
        out.number(self.count);
        out.number(self.slot.map_or(0, |slot| slot + 1));
    }

    /// One of which no block is at `slots` or behind.
    pub(crate) fn take(from: &mut Reader<'_>, slots: u64) -> Result<Self, Wrong> {
        let count = from.number("blocks of a run", 1..=BLOCKS)?;
        let slot = match from.number("the slot of a run", 0..=slots)? {
            0 => None,
            next if next - 1 + count <= slots => Some(next - 1),
            next => {
                let slot = next - 1;
                return Err(from.wrong(format_args!(
                    "a run: {count} blocks from slot {slot} on, of {slots} slots"
                )));
            }
        };
        Ok(Self { count, slot })
    }

    /// Where the blocks are; nowhere for those that are only set aside.
    pub(crate) fn slots(&self) -> Option<Range<u64>> {
        self.slot.map(|slot| slot..slot + self.count)
    }

    /// All but its first `count` blocks.
    pub(crate) fn after(self, count: u64) -> Self {
        Self {
            count: self.count - count,
            slot: self.slot.map(|slot| slot + count),
        }
    }

    /// Its first blocks, at most `count`.
    pub(crate) fn first(self, count: u64) -> Self {
        Self {
            count: self.count.min(count),
            ..self
        }
    }

    /// Whether both are one, where `next` begins in the file where this one ends.
    fn goes_on_with(self, next: Self) -> bool {
        self.after(self.count).slot == next.slot
    }
}

/// How many blocks they are.
pub(crate) fn blocks(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.count).sum()
}

/// What there is of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Hole,
    /// It is set aside, and zeros.
    Aside,
    /// It is in this slot.
    At(u64),
}

/// The blocks of a file.
///
/// # Invariants
///
/// No two runs overlap, and none could be one with the next. `blocks` is the sum of their counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    /// By the number of the first block.
    runs: BTreeMap<u64, Run>,
    blocks: u64,
}

impl Runs {
    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The runs from the block `first` on, each with the number of its first block. Of one that begins before, the rest.
    pub(crate) fn from(&self, first: u64) -> impl Iterator<Item = (u64, Run)> {
        let before = self.runs.range(..first).next_back();
        let rest = before.and_then(|(start, run)| {
            let gone = first - start;
            (gone < run.count).then(|| (first, run.after(gone)))
        });
        let others = self.runs.range(first..).map(|(start, run)| (*start, *run));
        rest.into_iter().chain(others)
    }

    /// What there is of each block in `range`, without a gap.
    pub(crate) fn parts(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, Part)> {
        let Range { mut start, end } = range;
        let mut runs = self
            .from(start)
            .take_while(move |(first, _)| *first < end)
            .peekable();
        std::iter::from_fn(move || {
            if start >= end {
                return None;
            }
            let (next, part) = match runs.peek() {
                Some((first, run)) if *first == start => {
                    (start + run.count, run.slot.map_or(Part::Aside, Part::At))
                }
                Some((first, _)) => (*first, Part::Hole),
                None => (end, Part::Hole),
            };
            if part != Part::Hole {
                runs.next();
            }
            let blocks = start..next.min(end);
            start = blocks.end;
            Some((blocks, part))
        })
    }

    /// Adds blocks where there are none.
    pub(crate) fn insert(&mut self, mut first: u64, mut run: Run) {
        self.blocks += run.count;
        if let Some(next) = self.runs.get(&(first + run.count)).copied() {
            if run.goes_on_with(next) {
                self.runs.remove(&(first + run.count));
                run.count += next.count;
            }
        }
        if let Some((start, before)) = self.runs.range(..first).next_back() {
            if start + before.count == first && before.goes_on_with(run) {
                first = *start;
                run = Run {
                    count: before.count + run.count,
                    ..*before
                };
            }
        }
        self.runs.insert(first, run);
    }

    /// Takes the blocks of `range` away; returns those that there were.
    pub(crate) fn remove(&mut self, range: Range<u64>) -> Vec<Run> {
        if range.is_empty() {
            return Vec::new();
        }
        self.split(range.start);
        self.split(range.end);
        let there: Vec<_> = self.runs.range(range).map(|(start, _)| *start).collect();
        let removed: Vec<_> = there
            .iter()
            .filter_map(|start| self.runs.remove(start))
            .collect();
        self.blocks -= blocks(&removed);
        removed
    }

    /// A run that goes over the beginning of the block `at` becomes two.
    fn split(&mut self, at: u64) {
        if let Some((start, run)) = self.runs.range_mut(..at).next_back() {
            let before = at - start;
            if before < run.count {
                let rest = run.after(before);
                run.count = before;
                self.runs.insert(at, rest);
            }
        }
    }

    pub(crate) fn put(&self, out: &mut Writer) {
        out.list(self.runs.iter(), |out, (first, run)| {
            out.number(*first);
            run.put(out);
        });
    }

    pub(crate) fn take(from: &mut Reader<'_>, slots: u64) -> Result<Self, Wrong> {
        let (mut runs, mut end) = (Self::default(), 0);
        from.list("runs", |from| {
            let first = from.number("the first block of a run", end..=BLOCKS)?;
            let run = Run::take(from, slots)?;
            end = first + run.count;
            if end > BLOCKS {
                return Err(from.wrong(format_args!("a run: it ends at block {end}")));
            }
            runs.insert(first, run);
            Ok(())
        })?;
        Ok(runs)
    }

    /// All of them.
    pub(crate) fn into_vec(self) -> Vec<Run> {
        self.runs.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(count: u64, slot: Option<u64>) -> Run {
        Run { count, slot }
    }

    #[test]
    fn runs_that_meet_are_one() {
        let mut runs = Runs::default();
        runs.insert(0, run(2, Some(10)));
        runs.insert(4, run(1, Some(14)));
        runs.insert(2, run(2, Some(12)));
        assert_eq!(runs.from(0).collect::<Vec<_>>(), [(0, run(5, Some(10)))]);
        runs.insert(5, run(1, None));
        runs.insert(7, run(1, None));
        runs.insert(6, run(1, None));
        runs.insert(8, run(1, Some(15)));
        let all = [
            (0, run(5, Some(10))),
            (5, run(3, None)),
            (8, run(1, Some(15))),
        ];
        assert_eq!(runs.from(0).collect::<Vec<_>>(), all);
        assert_eq!(runs.blocks(), 9);
        assert_eq!(
            runs.from(6).collect::<Vec<_>>(),
            [(6, run(2, None)), (8, run(1, Some(15)))]
        );
    }

    #[test]
    fn what_is_removed_is_returned() {
        let mut runs = Runs::default();
        runs.insert(1, run(10, Some(100)));
        runs.insert(20, run(2, None));
        assert_eq!(runs.remove(3..5), [run(2, Some(102))]);
        assert_eq!(runs.remove(10..21), [run(1, Some(109)), run(1, None)]);
        let parts: Vec<_> = runs.parts(0..30).collect();
        let expected = [
            (0..1, Part::Hole),
            (1..3, Part::At(100)),
            (3..5, Part::Hole),
            (5..10, Part::At(104)),
            (10..21, Part::Hole),
            (21..22, Part::Aside),
            (22..30, Part::Hole),
        ];
        assert_eq!(parts, expected);
        assert_eq!(runs.blocks(), 8);
        assert_eq!(
            runs.parts(6..8).collect::<Vec<_>>(),
            [(6..8, Part::At(105))]
        );
        assert_eq!(runs.remove(0..u64::MAX).len(), 3);
        assert_eq!(runs, Runs::default());
    }
}
