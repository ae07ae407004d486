//! How far each lane has come at an instance: which records are next, which are stale, and before which there is a hole.
//!
//! A record names the seq before it for this instance. Where that is beyond what was delivered, something was lost on
//! the way. Where the record itself is not, it was delivered, from a batch that came before or from the log.

use std::collections::BTreeMap;

use crate::events::batch::Record;
use crate::hub::repeats::Repeats;

/// What is to be done with a record of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it was delivered, or is of an epoch that has ended.
    Stale,
    /// First deliver what is between what was delivered and the record's `prev`.
    Hole,
    /// Deliver it.
    Next,
}

#[derive(Debug, Clone, Copy)]
struct Chain {
    upto: u64,
    epoch: u64,
    plain: bool,
}

/// The lanes.
#[derive(Debug, Default)]
pub struct Chains {
    lanes: BTreeMap<u32, Chain>,
    repeats: Repeats,
}

impl Chains {
    /// Everything of a lane up to `upto` was delivered, or concerns nobody here. A lane never moves back.
    ///
    /// The events of a plain lane are for the readers of their channels, and nothing else.
    pub fn advance(&mut self, lane: u32, upto: u64, plain: bool) {
        let chain = self.lanes.entry(lane).or_insert(Chain { upto, epoch: 0, plain });
        chain.upto = chain.upto.max(upto);
    }

    /// Up to where everything of a lane was delivered; None where it is not known.
    #[must_use]
    pub fn upto(&self, lane: u32) -> Option<u64> {
        self.lanes.get(&lane).map(|chain| chain.upto)
    }

    /// Whether the message of this event was delivered before, under another seq; from now on it was.
    pub fn is_repeat(&mut self, event: &[u8]) -> bool {
        self.repeats.is_repeat(event)
    }

    /// The lanes that are known.
    pub fn lanes(&self) -> impl Iterator<Item = u32> {
        self.lanes.keys().copied()
    }

    /// Whether a lane is known and plain.
    fn is_plain(&self, lane: u32) -> bool {
        self.lanes.get(&lane).is_some_and(|chain| chain.plain)
    }

    /// The highest seq of a lane among records that come before any news of a lane that is not plain; whether that was
    /// all.
    ///
    /// A mark is news too: what it shows may be that an event of its lane was lost.
    #[must_use]
    pub fn newest<'a>(&self, lane: u32, records: impl Iterator<Item = Record<'a>>) -> (u64, bool) {
        let mut newest = 0;
        for record in records {
            if self.is_news(&record) {
                return (newest, false);
            }
            newest = newest.max(if record.lane == lane { record.seq } else { 0 });
        }
        (newest, true)
    }

    fn is_news(&self, record: &Record) -> bool {
        record.lane != 0 && !self.is_plain(record.lane) && self.upto(record.lane).is_none_or(|upto| record.seq > upto)
    }

    /// Judge a record of a lane; None where the lane is not known.
    pub fn judge(&mut self, record: &Record) -> Option<Verdict> {
        self.lanes.get_mut(&record.lane).map(|chain| chain.judge(record))
    }

    /// [`Chains::judge`] for a record of a plain lane, which then is as good as delivered if it is next.
    pub(crate) fn pass(&mut self, record: &Record) -> Option<Verdict> {
        let chain = self.lanes.get_mut(&record.lane)?;
        let verdict = chain.judge(record);
        if verdict == Verdict::Next {
            if !chain.plain && record.channel.is_some() {
                return None;
            }
            chain.upto = record.seq;
        }
        Some(verdict)
    }
}

impl Chain {
    fn judge(&mut self, record: &Record) -> Verdict {
        if record.epoch < self.epoch {
            return Verdict::Stale;
        }
        self.epoch = record.epoch;
        if record.prev > self.upto {
            Verdict::Hole
        } else if record.seq <= self.upto {
            Verdict::Stale
        } else {
            Verdict::Next
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64, prev: u64, seq: u64) -> Record<'static> {
        Record { lane: 5, epoch, prev, seq, channel: Some("c"), ..Record::default() }
    }

    #[test]
    fn what_follows_is_next_and_what_does_not_is_stale_or_behind_a_hole() {
        let mut chains = Chains::default();
        assert_eq!(chains.judge(&record(1, 0, 1)), None);
        chains.advance(5, 10, true);
        for (judged, verdict) in [
            (record(1, 8, 9), Verdict::Stale),
            (record(1, 9, 10), Verdict::Stale),
            (record(1, 9, 11), Verdict::Next),
            (record(1, 10, 11), Verdict::Next),
            (record(1, 11, 12), Verdict::Hole),
            (record(2, 10, 12), Verdict::Next),
            (record(1, 10, 12), Verdict::Stale),
        ] {
            assert_eq!(chains.judge(&judged), Some(verdict), "{judged:?}");
        }
        chains.advance(5, 3, true);
        assert_eq!((chains.upto(5), chains.upto(6)), (Some(10), None));
    }

    #[test]
    fn the_newest_is_looked_for_before_what_is_more_than_plain() {
        let mut chains = Chains::default();
        chains.advance(5, 10, true);
        let other = Record { lane: 6, ..record(1, 0, 99) };
        let records = |more: &[Record<'static>]| [&[record(1, 10, 12), record(1, 12, 11)], more].concat().into_iter();
        assert_eq!(chains.newest(5, records(&[])), (12, true));
        assert_eq!(chains.newest(7, records(&[])), (0, true));
        assert_eq!(chains.newest(5, records(&[other, record(1, 12, 13)])), (12, false));
        assert_eq!(chains.newest(5, records(&[Record { channel: None, ..other }, record(1, 12, 13)])), (12, false));
        chains.advance(6, 99, false);
        assert_eq!(chains.newest(5, records(&[other, record(1, 12, 13)])), (13, true));
    }

    #[test]
    fn passing_moves_a_plain_lane_and_marks_move_every_lane() {
        let mut chains = Chains::default();
        chains.advance(5, 10, true);
        assert_eq!(chains.pass(&record(1, 10, 11)), Some(Verdict::Next));
        assert_eq!(chains.upto(5), Some(11));
        let mut chains = Chains::default();
        chains.advance(5, 10, false);
        assert_eq!(chains.pass(&record(1, 10, 11)), None);
        assert_eq!(chains.pass(&record(1, 11, 12)), Some(Verdict::Hole));
        assert_eq!(chains.pass(&Record { channel: None, ..record(1, 10, 11) }), Some(Verdict::Next));
        assert_eq!((chains.upto(5), chains.lanes().collect::<Vec<_>>()), (Some(11), vec![5]));
    }
}
