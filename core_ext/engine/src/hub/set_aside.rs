//! The live frames that come for a socket while it gets older events from the log. They are set aside until it is live.
//!
//! An event of the log has its seq there. While the log is replayed, such an event is left out, because the replay
//! comes to it. Near the log's end the socket *holds* them: they are set aside too. Frames that are in no log are set
//! aside all the time.

use crate::hub::wire::Frame;

/// The frames that were set aside for a socket.
pub(super) struct SetAside {
    frames: Vec<(Option<u64>, Frame)>,
    bytes: usize,
    most: usize,
    holding: bool,
    lost: Lost,
}

/// The number of frames for which there was no room.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Frames that a slow reader may miss.
    pub ephemeral: usize,
    /// Frames that no reader may miss, and that are in no log.
    pub durable: usize,
}

impl SetAside {
    /// At most `most` bytes are set aside. Ephemeral frames may use half of them.
    pub(super) fn new(most: usize) -> Self {
        Self { frames: Vec::new(), bytes: 0, most, holding: false, lost: Lost::default() }
    }

    /// Set events of the log aside too, from the next one on.
    pub(super) fn hold(&mut self) {
        self.holding = true;
    }

    /// Whether no event of the log was left out since the last `hold`.
    pub(super) fn is_holding(&self) -> bool {
        self.holding
    }

    /// Set a frame aside. `seq` is the place in the log of an event that the log has.
    ///
    /// If there is no room while events of the log are held, those are dropped, and it has to hold again later.
    pub(super) fn take(&mut self, seq: Option<u64>, frame: &Frame, ephemeral: bool) {
        if seq.is_some() && !self.holding {
            return;
        }
        let most = if ephemeral { self.most / 2 } else { self.most };
        if self.bytes + frame.len() > most && self.holding && !ephemeral {
            self.drop_held();
        }
        if self.bytes + frame.len() <= most {
            if seq.is_none() || self.holding {
                self.bytes += frame.len();
                self.frames.push((seq, frame.clone()));
            }
        } else if ephemeral {
            self.lost.ephemeral += 1;
        } else if seq.is_none() {
            self.lost.durable += 1;
        }
    }

    /// The frames in the order in which they came, without the events of the log up to `floor`; and what is missing.
    pub(super) fn release(self, floor: u64) -> (impl Iterator<Item = Frame>, Lost) {
        let after = move |seq: Option<u64>| seq.is_none_or(|seq| seq > floor);
        (self.frames.into_iter().filter(move |(seq, _)| after(*seq)).map(|(_, frame)| frame), self.lost)
    }

    fn drop_held(&mut self) {
        self.holding = false;
        self.frames.retain(|(seq, _)| seq.is_none());
        self.bytes = self.frames.iter().map(|(_, frame)| frame.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::from(text.as_bytes())
    }

    fn released(aside: SetAside, floor: u64) -> (String, Lost) {
        let (frames, lost) = aside.release(floor);
        (frames.map(|frame| String::from_utf8(frame.to_vec()).unwrap()).collect::<Vec<_>>().concat(), lost)
    }

    #[test]
    fn events_of_the_log_are_set_aside_while_it_holds_and_others_all_the_time() {
        let mut aside = SetAside::new(100);
        aside.take(Some(1), &frame("1"), false);
        aside.take(None, &frame("a"), false);
        aside.hold();
        for seq in 2..5 {
            aside.take(Some(seq), &frame(&seq.to_string()), false);
        }
        aside.take(None, &frame("b"), true);
        assert!(aside.is_holding());
        assert_eq!(released(aside, 3), ("a4b".to_owned(), Lost::default()));
    }

    #[test]
    fn without_room_the_events_of_the_log_are_left_to_the_replay() {
        let mut aside = SetAside::new(4);
        aside.take(None, &frame("a"), false);
        aside.hold();
        for seq in 1..4 {
            aside.take(Some(seq), &frame(&seq.to_string()), false);
        }
        assert!(aside.is_holding());
        aside.take(Some(4), &frame("4"), false);
        assert!(!aside.is_holding());
        aside.take(None, &frame("bcd"), false);
        assert_eq!(released(aside, 0), ("abcd".to_owned(), Lost::default()));
    }

    #[test]
    fn what_is_in_no_log_and_has_no_room_is_counted() {
        let mut aside = SetAside::new(4);
        aside.take(None, &frame("abc"), true);
        aside.take(None, &frame("abc"), false);
        aside.take(None, &frame("de"), false);
        aside.take(None, &frame("d"), true);
        assert_eq!(released(aside, 0), ("abc".to_owned(), Lost { ephemeral: 2, durable: 1 }));
    }

    proptest! {
        /// The held events are exactly those that came since the last `hold`, or it does not hold any more. No more
        /// bytes wait than allowed, and no frame is missing uncounted.
        #[test]
        fn nothing_is_missing_that_is_not_counted(
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 1usize..9, prop::bool::weighted(0.1)), 1..80),
        ) {
            let mut aside = SetAside::new(40);
            let (mut seq, mut held, mut others) = (0, Vec::new(), 0);
            for (in_log, ephemeral, length, holds) in steps {
                if holds && !aside.is_holding() {
                    aside.hold();
                    held.clear();
                }
                seq += u64::from(in_log);
                let body = Frame::from(vec![b'x'; length]);
                aside.take(in_log.then_some(seq), &body, ephemeral && !in_log);
                if in_log { held.push(seq) } else { others += 1 }
                prop_assert!(aside.bytes <= 40);
            }
            let found: Vec<u64> = aside.frames.iter().filter_map(|(seq, _)| *seq).collect();
            prop_assert_eq!(&found, if aside.is_holding() { &held } else { &found });
            prop_assert!(aside.is_holding() || found.is_empty());
            let kept = aside.frames.iter().filter(|(seq, _)| seq.is_none()).count();
            prop_assert_eq!(kept + aside.lost.ephemeral + aside.lost.durable, others);
        }
    }
}
