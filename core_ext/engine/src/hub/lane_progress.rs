//! The lane progress of an instance: up to which seq of each lane everything was delivered. It decides which records
//! are next, which are stale, and before which there is a gap.
//!
//! A record has as `prev` the seq of the lane's previous event for this instance. If `prev` is above the progress, a
//! record in between was lost. If the record's own seq is at or below the progress, the record was delivered, from an
//! earlier batch or from the log.

use std::collections::BTreeMap;

use crate::events::batch::BatchEvent;
use crate::hub::repeats::Repeats;

/// The result of comparing a record with the progress of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Drop it: it was delivered, or belongs to an epoch that has ended.
    Stale,
    /// First read the events between the progress and the record's `prev` from the log.
    Gap,
    /// Deliver it.
    Next,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    upto: u64,
    epoch: u64,
    plain: bool,
}

/// The lanes.
#[derive(Debug, Default)]
pub struct LaneProgress {
    lanes: BTreeMap<u32, Progress>,
    repeats: Repeats,
}

impl LaneProgress {
    /// Note that everything of a lane up to `upto` was delivered, or concerns nobody here. A lane never goes back.
    ///
    /// The events of a plain lane are for the readers of their channels and change nothing else.
    pub fn advance(&mut self, lane: u32, upto: u64, plain: bool) {
        let lane = self.lanes.entry(lane).or_insert(Progress { upto, epoch: 0, plain });
        lane.upto = lane.upto.max(upto);
    }

    /// The seq up to which everything of a lane was delivered; None if the lane is not known.
    #[must_use]
    pub fn upto(&self, lane: u32) -> Option<u64> {
        self.lanes.get(&lane).map(|lane| lane.upto)
    }

    /// Whether the message of this event was delivered before, under another seq. This call notes it as delivered.
    pub fn is_repeat(&mut self, event: &[u8]) -> bool {
        self.repeats.is_repeat(event)
    }

    /// The lanes that are known.
    pub fn lanes(&self) -> impl Iterator<Item = u32> {
        self.lanes.keys().copied()
    }

    /// Whether a lane is known and plain.
    fn is_plain(&self, lane: u32) -> bool {
        self.lanes.get(&lane).is_some_and(|lane| lane.plain)
    }

    /// The highest seq of a lane, and whether all records were scanned. Scanning stops at the first record of a lane
    /// that is not plain (a membership event or its mark) that was not applied yet.
    ///
    /// A mark stops it too, because the mark may show that an event of its lane was lost.
    #[must_use]
    pub fn newest<'a>(&self, lane: u32, records: impl Iterator<Item = BatchEvent<'a>>) -> (u64, bool) {
        let mut newest = 0;
        for record in records {
            if self.is_news(&record) {
                return (newest, false);
            }
            newest = newest.max(if record.lane == lane { record.seq } else { 0 });
        }
        (newest, true)
    }

    fn is_news(&self, record: &BatchEvent) -> bool {
        record.lane != 0 && !self.is_plain(record.lane) && self.upto(record.lane).is_none_or(|upto| record.seq > upto)
    }

    /// Compare a record with the progress of its lane; None if the lane is not known.
    pub fn check(&mut self, record: &BatchEvent) -> Option<Check> {
        self.lanes.get_mut(&record.lane).map(|lane| lane.check(record))
    }

    /// [`LaneProgress::check`] for a record of a plain lane. If it is next, the progress advances to it.
    ///
    /// None also if it is next and its event is for a user beside the readers of its channel.
    pub(crate) fn pass(&mut self, record: &BatchEvent) -> Option<Check> {
        let lane = self.lanes.get_mut(&record.lane)?;
        let check = lane.check(record);
        if check == Check::Next {
            if (!lane.plain || record.user.is_some()) && record.channel.is_some() {
                return None;
            }
            lane.upto = record.seq;
        }
        Some(check)
    }
}

impl Progress {
    fn check(&mut self, record: &BatchEvent) -> Check {
        if record.epoch < self.epoch {
            return Check::Stale;
        }
        self.epoch = record.epoch;
        if record.prev > self.upto {
            Check::Gap
        } else if record.seq <= self.upto {
            Check::Stale
        } else {
            Check::Next
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64, prev: u64, seq: u64) -> BatchEvent<'static> {
        BatchEvent { lane: 5, epoch, prev, seq, channel: Some("c"), ..BatchEvent::default() }
    }

    #[test]
    fn what_follows_is_next_and_what_does_not_is_stale_or_behind_a_gap() {
        let mut progress = LaneProgress::default();
        assert_eq!(progress.check(&record(1, 0, 1)), None);
        progress.advance(5, 10, true);
        for (checked, check) in [
            (record(1, 8, 9), Check::Stale),
            (record(1, 9, 10), Check::Stale),
            (record(1, 9, 11), Check::Next),
            (record(1, 10, 11), Check::Next),
            (record(1, 11, 12), Check::Gap),
            (record(2, 10, 12), Check::Next),
            (record(1, 10, 12), Check::Stale),
        ] {
            assert_eq!(progress.check(&checked), Some(check), "{checked:?}");
        }
        progress.advance(5, 3, true);
        assert_eq!((progress.upto(5), progress.upto(6)), (Some(10), None));
    }

    #[test]
    fn the_newest_is_looked_for_before_what_is_more_than_plain() {
        let mut progress = LaneProgress::default();
        progress.advance(5, 10, true);
        let other = BatchEvent { lane: 6, ..record(1, 0, 99) };
        let records =
            |more: &[BatchEvent<'static>]| [&[record(1, 10, 12), record(1, 12, 11)], more].concat().into_iter();
        assert_eq!(progress.newest(5, records(&[])), (12, true));
        assert_eq!(progress.newest(7, records(&[])), (0, true));
        assert_eq!(progress.newest(5, records(&[other, record(1, 12, 13)])), (12, false));
        assert_eq!(
            progress.newest(5, records(&[BatchEvent { channel: None, ..other }, record(1, 12, 13)])),
            (12, false)
        );
        progress.advance(6, 99, false);
        assert_eq!(progress.newest(5, records(&[other, record(1, 12, 13)])), (13, true));
    }

    #[test]
    fn passing_moves_a_plain_lane_and_marks_move_every_lane() {
        let mut progress = LaneProgress::default();
        progress.advance(5, 10, true);
        assert_eq!(progress.pass(&record(1, 10, 11)), Some(Check::Next));
        assert_eq!(progress.upto(5), Some(11));
        let mut progress = LaneProgress::default();
        progress.advance(5, 10, false);
        assert_eq!(progress.pass(&record(1, 10, 11)), None);
        assert_eq!(progress.pass(&record(1, 11, 12)), Some(Check::Gap));
        assert_eq!(progress.pass(&BatchEvent { channel: None, ..record(1, 10, 11) }), Some(Check::Next));
        assert_eq!((progress.upto(5), progress.lanes().collect::<Vec<_>>()), (Some(11), vec![5]));
    }
}
