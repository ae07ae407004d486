//! The seqs of the cached events by channel, so that a client is asked about its own channels alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use compact_str::CompactString;
use foldhash::fast::RandomState;

/// The seqs of each channel.
#[derive(Default)]
pub(super) struct ChannelIndex {
    channels: HashMap<CompactString, ChannelSeqs, RandomState>,
}

/// The cached events of one channel.
pub(super) struct ChannelSeqs {
    /// The partition of the channel.
    pub(super) part: u32,
    /// They rise.
    seqs: Vec<u64>,
}

impl ChannelSeqs {
    /// The seqs above `after`, up to `upto`.
    pub(super) fn between(&self, after: u64, upto: u64) -> &[u64] {
        let position = |seq| self.seqs.partition_point(|&other| other <= seq);
        let start = position(after);
        &self.seqs[start..position(upto).max(start)]
    }
}

impl ChannelIndex {
    /// Add an event of a channel.
    pub(super) fn add(&mut self, channel: &str, part: u32, seq: u64) {
        let seqs = match self.channels.entry(CompactString::from(channel)) {
            Entry::Occupied(known) => &mut known.into_mut().seqs,
            Entry::Vacant(new) => &mut new.insert(ChannelSeqs { part, seqs: Vec::new() }).seqs,
        };
        // Mostly it is the newest. An older part of the log is read when a client comes that was away for longer.
        let at = seqs.partition_point(|&other| other < seq);
        if seqs.get(at) != Some(&seq) {
            seqs.insert(at, seq);
        }
    }

    /// Forget the events of a range, and the channels that have no others.
    pub(super) fn remove(&mut self, range: &Range<u64>) {
        self.channels.retain(|_, channel| {
            let [start, end] = [range.start, range.end].map(|seq| channel.seqs.partition_point(|&other| other < seq));
            channel.seqs.drain(start..end);
            !channel.seqs.is_empty()
        });
    }

    pub(super) fn get(&self, channel: &str) -> Option<&ChannelSeqs> {
        self.channels.get(channel)
    }

    /// Every channel with its events, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &ChannelSeqs)> {
        self.channels.iter().map(|(channel, seqs)| (channel.as_str(), seqs))
    }

    /// The number of channels.
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seqs_of_a_channel_rise_in_whatever_order_they_come() {
        let mut index = ChannelIndex::default();
        for seq in [7, 9, 2, 3, 9] {
            index.add("c", 1, seq);
        }
        index.add("d", 0, 8);
        let channel = index.get("c").unwrap();
        assert_eq!((channel.part, channel.between(0, 99)), (1, &[2, 3, 7, 9][..]));
        assert_eq!((channel.between(2, 7), channel.between(3, 6)), (&[3, 7][..], &[][..]));
        assert_eq!(channel.between(9, 1), &[] as &[u64]);
        assert_eq!((index.len(), index.iter().count(), index.get("e").is_none()), (2, 2, true));
    }

    #[test]
    fn a_channel_without_events_is_forgotten() {
        let mut index = ChannelIndex::default();
        for seq in 1..9 {
            index.add(if seq == 4 { "d" } else { "c" }, 0, seq);
        }
        index.remove(&(3..7));
        assert_eq!(index.get("c").unwrap().between(0, 99), [1, 2, 7, 8]);
        assert!(index.get("d").is_none());
    }
}
