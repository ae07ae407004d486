//! A cache of the newest part of the log, and the events in it that a client lacks.
//!
//! All clients that come back at the same time are served from one reading of the log. The cache holds the frames in
//! chunks of neighbouring seqs, and for each channel the seqs of its events. If the frames take too much memory, those
//! of the chunks that were used longest ago are dropped, and are read from the log again when they are needed. What is
//! known of their events stays, so that events can be counted.

use std::collections::BTreeMap;

use crate::engine::core::Engine;
use crate::error::{Error, Result};
use crate::events::frame::text_frame_head;
use crate::events::partition::partition_of;
use crate::events::stored::{StoredEvent, StoredKind};
use crate::replay::channel_index::{ChannelIndex, ChannelSeqs};
use crate::replay::chunk::{Chunk, chunk_of, end_of, start_of};
use crate::sync::Mutex;

/// The most chunks in one range of [`LogCache::missing`].
const MOST_CHUNKS: u64 = 16;

/// The cache.
pub struct LogCache {
    partitions: u32,
    most_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    chunks: BTreeMap<u64, Chunk>,
    channels: ChannelIndex,
    /// The bytes of all frames.
    bytes: usize,
    clock: u64,
}

/// The events that a client wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The client's user, whose channels are those of the engine.
    pub user: &'a str,
    /// By partition: the client has every event up to this seq.
    pub points: &'a [u64],
    /// The times at which the user was a member, of the channels for which that changed lately.
    pub spans: &'a [Span<'a>],
}

/// A time in which a user was a member of a channel. A channel that has a span has no events outside its spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<'a> {
    /// The channel.
    pub channel: &'a str,
    /// Nanoseconds since 1970.
    pub from: u64,
    /// The first time that is not in the span.
    pub until: u64,
}

/// Frames of events that a client wants.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// One behind the other, in the order of their seqs.
    pub bytes: Vec<u8>,
    /// The number of frames.
    pub count: usize,
    /// Everything that the client wants up to this seq is in here, or was before.
    pub upto: u64,
}

impl LogCache {
    /// A cache of a log with so many partitions, whose frames take at most `most_bytes`, apart from the newest chunk.
    pub fn new(partitions: u32, most_bytes: usize) -> Result<Self> {
        if partitions == 0 {
            return Err(Error::InvalidArgument("partitions must be at least 1".to_owned()));
        }
        Ok(Self { partitions, most_bytes, state: Mutex::default() })
    }

    /// The first range (after, upto) between `after` and `upto` that is to be read from the log: its events are not
    /// known, or, with `with_frames`, their frames were dropped.
    pub fn missing(&self, after: u64, upto: u64, with_frames: bool) -> Option<(u64, u64)> {
        let state = self.state.lock();
        let chunks = chunk_of(after.saturating_add(1))..=chunk_of(upto);
        let (start, chunk) = chunks.clone().find_map(|chunk| {
            let lacks = state.lacks(chunk, upto, with_frames)?;
            (after < upto).then_some((lacks, chunk))
        })?;
        let unknown = |chunk: &u64| !state.chunks.contains_key(chunk);
        let last = (chunk + 1..chunk + MOST_CHUNKS).take_while(|next| chunks.contains(next) && unknown(next)).last();
        let known = state.chunks.get(&chunk).map_or(0, |known| known.upto);
        Some((start, end_of(last.unwrap_or(chunk)).min(upto.max(known))))
    }

    /// Take what was read from the log: the events above `after` and up to `upto`, each with the time at which it was
    /// stored, in nanoseconds since 1970. Other events are ignored.
    ///
    /// The part of a chunk before `after` has to be known. Returns the number of events that no client can be given.
    pub fn add<'a>(&self, after: u64, upto: u64, events: impl IntoIterator<Item = (StoredEvent<'a>, u64)>) -> usize {
        let wanted = events.into_iter().filter(|(event, _)| after < event.seq && event.seq <= upto);
        let (mut made, mut refused) = (Vec::new(), 0);
        for (event, time) in wanted {
            let part = partition_of(event.channel, self.partitions);
            match StoredKind::Message.client_event(part, &event) {
                Ok(json) => made.push((event, part, time, json)),
                Err(_) => refused += 1, // the worker that routes it stores it as a dead letter
            }
        }
        let state = &mut *self.state.lock();
        let chunks = if after < upto { chunk_of(after + 1)..chunk_of(upto) + 1 } else { 0..0 };
        for chunk in chunks {
            let first = made.partition_point(|(event, ..)| event.seq <= start_of(chunk));
            let behind = made.partition_point(|(event, ..)| event.seq <= end_of(chunk));
            state.extend(chunk, after, upto, &made[first..behind]);
        }
        state.save_memory(self.most_bytes);
        refused
    }

    /// The number of cached events up to `upto` that a client wants.
    pub fn count(&self, engine: &Engine, wanted: &Wanted, upto: u64) -> Result<usize> {
        let state = self.state.lock();
        let mut count = 0;
        state.each_channel(engine, wanted.user, |channel, seqs| {
            count += state.wanted_of(channel, seqs, wanted, 0, upto).count();
        })?;
        Ok(count)
    }

    /// The frames of the next events that a client wants, above `after` and up to `upto`: as many as `most_bytes` hold,
    /// and one at least. It stops before an event whose frame was dropped.
    pub fn next(&self, engine: &Engine, wanted: &Wanted, after: u64, upto: u64, most_bytes: usize) -> Result<Frames> {
        let state = &mut *self.state.lock();
        let mut seqs = Vec::new();
        state.each_channel(engine, wanted.user, |channel, of_channel| {
            seqs.extend(state.wanted_of(channel, of_channel, wanted, after, upto));
        })?;
        seqs.sort_unstable();
        Ok(state.frames(&seqs, upto, most_bytes))
    }

    /// When the newest cached event up to a seq was stored, in nanoseconds since 1970; None if its chunk has none.
    pub fn time_upto(&self, seq: u64) -> Option<u64> {
        self.state.lock().chunks.get(&chunk_of(seq))?.time_upto(seq)
    }

    /// Forget the chunks whose events are all up to a seq.
    pub fn forget(&self, upto: u64) {
        let state = &mut *self.state.lock();
        let kept = state.chunks.split_off(&chunk_of(upto.saturating_add(1)));
        let gone = std::mem::replace(&mut state.chunks, kept);
        state.bytes -= gone.values().map(Chunk::bytes).sum::<usize>();
        if let Some((&last, _)) = gone.last_key_value() {
            state.channels.remove(&(0..start_of(last + 1) + 1));
        }
    }

    /// Forget everything.
    pub fn clear(&self) {
        *self.state.lock() = State::default();
    }

    /// The bytes of the frames, and the numbers of chunks and channels.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let state = self.state.lock();
        (state.bytes, state.chunks.len(), state.channels.len())
    }
}

/// An event, its partition, when it was stored, and the JSON that clients get.
type Made<'a> = (StoredEvent<'a>, u32, u64, Vec<u8>);

impl State {
    /// The seq after which a chunk has to be read, to have it up to `upto` or its end; None if it is there.
    fn lacks(&self, chunk: u64, upto: u64, with_frames: bool) -> Option<u64> {
        match self.chunks.get(&chunk) {
            None => Some(start_of(chunk)),
            Some(known) if with_frames && !known.has_frames() => Some(start_of(chunk)),
            Some(known) if known.upto < upto.min(end_of(chunk)) => Some(known.upto),
            Some(_) => None,
        }
    }

    /// Add the events of a chunk that are above `after`, and note that it is known up to `upto`.
    fn extend(&mut self, number: u64, after: u64, upto: u64, made: &[Made]) {
        if after <= start_of(number) && self.chunks.get(&number).is_none_or(|chunk| !chunk.has_frames()) {
            self.drop_chunk(number);
            self.chunks.insert(number, Chunk::new(number));
        }
        self.clock += 1;
        let Some(chunk) = self.chunks.get_mut(&number).filter(|chunk| after <= chunk.upto) else { return };
        let (before, known) = (chunk.bytes(), chunk.upto);
        for (event, part, time, json) in made.iter().filter(|(event, ..)| event.seq > known) {
            chunk.push(event.seq, *time, text_frame_head(json.len()).as_ref(), json);
            self.channels.add(event.channel, *part, event.seq);
        }
        chunk.upto = chunk.upto.max(upto.min(end_of(number)));
        if chunk.upto == end_of(number) {
            chunk.shrink();
        }
        chunk.used = self.clock;
        self.bytes = self.bytes - before + chunk.bytes();
    }

    fn drop_chunk(&mut self, number: u64) {
        if let Some(gone) = self.chunks.remove(&number) {
            self.bytes -= gone.bytes();
            self.channels.remove(&(start_of(number) + 1..end_of(number) + 1));
        }
    }

    /// Drop the frames that were used longest ago, but not those that were used last.
    fn save_memory(&mut self, most_bytes: usize) {
        while self.bytes > most_bytes {
            let oldest = self.chunks.values_mut().filter(|chunk| chunk.bytes() > 0).min_by_key(|chunk| chunk.used);
            let Some(chunk) = oldest.filter(|chunk| chunk.used < self.clock) else { return };
            self.bytes -= chunk.bytes();
            chunk.drop_frames();
        }
    }

    /// Call `visit` for each channel of a user that has cached events.
    fn each_channel<'a>(
        &'a self,
        engine: &Engine,
        user: &str,
        mut visit: impl FnMut(&str, &'a ChannelSeqs),
    ) -> Result<()> {
        if engine.membership_count(user)? <= self.channels.len() {
            for channel in engine.channels(user)? {
                self.channels.get(&channel).into_iter().for_each(|seqs| visit(&channel, seqs));
            }
        } else {
            for (channel, seqs) in self.channels.iter() {
                if engine.is_member(user, channel)? {
                    visit(channel, seqs);
                }
            }
        }
        Ok(())
    }

    /// The events of a channel that a client wants.
    fn wanted_of<'a>(
        &'a self,
        channel: &str,
        seqs: &'a ChannelSeqs,
        wanted: &Wanted<'a>,
        after: u64,
        upto: u64,
    ) -> impl Iterator<Item = u64> + use<'a> {
        let point = wanted.points.get(seqs.part as usize).copied().unwrap_or(0);
        let spans: Vec<Span> = wanted.spans.iter().filter(|span| span.channel == channel).copied().collect();
        let was_member = move |seq: &u64| {
            let time = |seq| self.chunks.get(&chunk_of(seq)).and_then(|chunk| chunk.time(seq)).unwrap_or(0);
            spans.is_empty() || spans.iter().any(|span| (span.from..span.until).contains(&time(*seq)))
        };
        seqs.between(after.max(point), upto).iter().copied().filter(was_member)
    }

    /// The frames of events whose seqs rise, up to the first one whose frame was dropped or finds no room.
    fn frames(&mut self, seqs: &[u64], upto: u64, most_bytes: usize) -> Frames {
        self.clock += 1;
        let mut frames = Frames { upto, ..Frames::default() };
        for &seq in seqs {
            let chunk = self.chunks.get_mut(&chunk_of(seq));
            let frame = chunk.and_then(|chunk| {
                chunk.used = self.clock;
                chunk.frame(seq)
            });
            match frame {
                Some(frame) if frames.count == 0 || frames.bytes.len() + frame.len() <= most_bytes => {
                    frames.bytes.extend_from_slice(frame);
                    frames.count += 1;
                }
                _ => {
                    frames.upto = seq - 1;
                    break;
                }
            }
        }
        frames
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
