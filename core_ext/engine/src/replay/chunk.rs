//! A part of the log: the events of a range of seqs, as the frames that clients get.

/// The number of seqs of a chunk.
pub(super) const WIDTH: u64 = if cfg!(test) { 8 } else { 1_024 };

/// The number of the chunk of a seq. Chunk `n` has the seqs above `n * WIDTH`, up to `(n + 1) * WIDTH`.
pub(super) fn chunk_of(seq: u64) -> u64 {
    seq.saturating_sub(1) / WIDTH
}

/// The seq before the first one of a chunk.
pub(super) fn start_of(chunk: u64) -> u64 {
    chunk * WIDTH
}

/// The last seq of a chunk.
pub(super) fn end_of(chunk: u64) -> u64 {
    start_of(chunk).saturating_add(WIDTH)
}

/// The events of a chunk up to a seq.
pub(super) struct Chunk {
    /// Every event of the chunk up to here is known.
    pub(super) upto: u64,
    /// When it was used last, by the clock of the cache.
    pub(super) used: u64,
    events: Vec<Event>,
    /// The frames of the events, one behind the other; None if they were dropped to save memory.
    frames: Option<Vec<u8>>,
}

struct Event {
    seq: u64,
    /// When it was stored, in nanoseconds since 1970.
    time: u64,
    /// The position behind its frame.
    end: usize,
}

impl Chunk {
    pub(super) fn new(chunk: u64) -> Self {
        Self { upto: start_of(chunk), used: 0, events: Vec::new(), frames: Some(Vec::new()) }
    }

    /// Add an event behind the others, with the head and the rest of its frame.
    pub(super) fn push(&mut self, seq: u64, time: u64, head: &[u8], event: &[u8]) {
        let before = self.events.last().map_or(0, |last| last.end);
        self.events.push(Event { seq, time, end: before + head.len() + event.len() });
        if let Some(frames) = &mut self.frames {
            frames.extend_from_slice(head);
            frames.extend_from_slice(event);
        }
    }

    pub(super) fn has_frames(&self) -> bool {
        self.frames.is_some()
    }

    pub(super) fn drop_frames(&mut self) {
        self.frames = None;
    }

    /// Give back the memory that was reserved for further events.
    pub(super) fn shrink(&mut self) {
        self.events.shrink_to_fit();
        self.frames.iter_mut().for_each(Vec::shrink_to_fit);
    }

    /// The bytes of its frames.
    pub(super) fn bytes(&self) -> usize {
        self.frames.as_ref().map_or(0, Vec::capacity)
    }

    /// The frame of the event with a seq; None if there is no such event, or its frame was dropped.
    pub(super) fn frame(&self, seq: u64) -> Option<&[u8]> {
        let at = self.index_of(seq)?;
        let start = at.checked_sub(1).map_or(0, |before| self.events[before].end);
        Some(&self.frames.as_ref()?[start..self.events[at].end])
    }

    /// When the event with a seq was stored.
    pub(super) fn time(&self, seq: u64) -> Option<u64> {
        self.index_of(seq).map(|at| self.events[at].time)
    }

    /// When the newest event up to a seq was stored.
    pub(super) fn time_upto(&self, seq: u64) -> Option<u64> {
        let count = self.events.partition_point(|event| event.seq <= seq);
        count.checked_sub(1).map(|newest| self.events[newest].time)
    }

    fn index_of(&self, seq: u64) -> Option<usize> {
        self.events.binary_search_by_key(&seq, |event| event.seq).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seq_has_one_chunk() {
        for (seq, chunk) in [(0, 0), (1, 0), (WIDTH, 0), (WIDTH + 1, 1), (u64::MAX, (u64::MAX - 1) / WIDTH)] {
            assert_eq!(chunk_of(seq), chunk);
            assert!(start_of(chunk) < seq.max(1) && seq <= end_of(chunk));
        }
    }

    #[test]
    fn frames_are_found_by_seq_until_they_are_dropped() {
        let mut chunk = Chunk::new(0);
        chunk.push(2, 20, b"a", b"bc");
        chunk.push(5, 50, b"", b"d");
        assert_eq!((chunk.frame(2), chunk.frame(5), chunk.frame(3)), (Some(&b"abc"[..]), Some(&b"d"[..]), None));
        assert_eq!((chunk.time(5), chunk.time(4)), (Some(50), None));
        assert_eq!([1, 2, 4, 5, 9].map(|seq| chunk.time_upto(seq)), [None, Some(20), Some(20), Some(50), Some(50)]);
        chunk.drop_frames();
        chunk.push(6, 60, b"e", b"f");
        assert_eq!((chunk.frame(2), chunk.frame(6), chunk.time(6), chunk.bytes()), (None, None, Some(60), 0));
    }
}
