//! The messages that were delivered lately, recognised by a digest of the message and not by their seq.
//!
//! After a log went back, events that it had accepted before that was detected are read again under new seqs. Then the
//! seq does not show that a message was delivered. The message itself does, because its id is unique.

use std::collections::{HashSet, VecDeque};

use foldhash::fast::RandomState;
use xxhash_rust::xxh3::xxh3_64;

/// The number of messages that are remembered: those of some seconds at an instance's highest rate.
const REMEMBERED: usize = 1 << 16;
const MESSAGE: &[u8] = br#","message":"#;

/// The messages that were delivered last.
#[derive(Debug)]
pub(crate) struct Repeats {
    order: VecDeque<u64>,
    known: HashSet<u64, RandomState>,
    most: usize,
}

impl Default for Repeats {
    fn default() -> Self {
        Self::of_at_most(REMEMBERED)
    }
}

impl Repeats {
    fn of_at_most(most: usize) -> Self {
        Self { order: VecDeque::new(), known: HashSet::default(), most }
    }

    /// Whether this event's message was seen before. This call notes it as seen. An event without a message is always
    /// new.
    pub(crate) fn is_repeat(&mut self, event: &[u8]) -> bool {
        let Some(at) = memchr::memmem::find(event, MESSAGE) else { return false };
        let message = xxh3_64(&event[at..]);
        if !self.known.insert(message) {
            return true;
        }
        self.order.push_back(message);
        if self.order.len() > self.most {
            let oldest = self.order.pop_front().expect("it is not empty");
            self.known.remove(&oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, id: &str) -> Vec<u8> {
        format!(r#"{{"type":"message.new","seq":{seq},"part":0,"channel_id":"c","message":{{"message_id":"{id}"}}}}"#)
            .into_bytes()
    }

    #[test]
    fn a_message_is_known_again_under_another_seq() {
        let mut repeats = Repeats::default();
        assert!(!repeats.is_repeat(&event(1, "a")));
        assert!(!repeats.is_repeat(&event(1, "b")));
        assert!(repeats.is_repeat(&event(1_000_000, "a")));
        let other = br#"{"type":"typing","channel_id":"c"}"#;
        assert!(!repeats.is_repeat(other) && !repeats.is_repeat(other));
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut repeats = Repeats::of_at_most(2);
        for id in ["a", "b", "c"] {
            assert!(!repeats.is_repeat(&event(1, id)));
        }
        assert!(repeats.is_repeat(&event(2, "c")) && repeats.is_repeat(&event(2, "b")));
        assert!(!repeats.is_repeat(&event(2, "a")));
        assert_eq!((repeats.order.len(), repeats.known.len()), (2, 2));
    }
}
