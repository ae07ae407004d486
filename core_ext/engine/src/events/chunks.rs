//! Bulk calls in slices: the events of one are written into one block, and later routed under one hold of the outbox.

use crate::events::frame::Wrapped;
use crate::events::payloads::{Block, Bodies, Body, Letter, room};
use crate::events::stored::Stored;

/// Events in a slice: whoever else routes waits for one slice at most.
const EVENTS: usize = 32;

/// A slice ends with the event that passes so many bytes, since a batch keeps whole blocks for what it refers to.
const BYTES: usize = 64 << 10;

/// What a message grows by when it is wrapped, but for its channel; a guess, more is allocated where it falls short.
const WRAPPING: usize = 96;

/// Some events of a bulk call.
pub(crate) struct Slice<'a> {
    pub(crate) block: Block,
    pub(crate) posts: Vec<Post<'a>>,
}

/// One of them.
pub(crate) struct Post<'a> {
    /// 0 for an ephemeral event.
    pub(crate) seq: u64,
    pub(crate) channel: &'a str,
    /// None for an event that was refused.
    body: Option<Body>,
}

impl Post<'_> {
    /// What to send, unless it was refused.
    pub(crate) fn letter<'a>(&self, block: &'a Block) -> Option<Letter<'a>> {
        self.body.map(|body| Letter { block, body })
    }
}

impl<'a> Slice<'a> {
    /// Ephemeral events, which were found sound before.
    pub(crate) fn of_ephemeral(events: &[(&'a str, &[u8])]) -> Self {
        let length = events.iter().map(|(channel, event)| room(channel.len()) + room(event.len())).sum();
        Self::fill(length, events, |bodies, &(channel, event)| {
            let body = bodies.put(Some(channel), None, event.len(), |bytes| bytes.extend_from_slice(event));
            Post { seq: 0, channel, body: Some(body) }
        })
    }

    /// Stored message events as `message.new`, of at most so many bytes; each that is none is noted in `refused`, with
    /// the reason.
    pub(crate) fn of_messages(
        limit: usize,
        part: u32,
        events: &[Stored<'a>],
        refused: &mut Vec<(u64, String)>,
    ) -> Self {
        let length = events.iter().map(|(_, channel, payload)| payload.len() + channel.len() + WRAPPING).sum();
        Self::fill(length, events, |bodies, &(seq, channel, payload)| {
            let wrapped = Wrapped::new(limit, seq, part, channel, payload)
                .map_err(|reason| refused.push((seq, reason.to_string())));
            let body = wrapped.map(|event| bodies.put(Some(channel), None, event.len(), |bytes| event.write(bytes)));
            Post { seq, channel, body: body.ok() }
        })
    }

    fn fill<E>(length: usize, events: &[E], post: impl FnMut(&mut Bodies, &E) -> Post<'a>) -> Self {
        let (mut bodies, mut post) = (Bodies::with_capacity(length), post);
        let posts = events.iter().map(|event| post(&mut bodies, event)).collect();
        Self { block: bodies.share(), posts }
    }
}

/// Cut events into slices; `length` says how long one is.
pub(crate) fn slices<E>(events: &[E], length: impl Fn(&E) -> usize) -> impl Iterator<Item = &[E]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let has_room = |event: &&E| {
            let room = bytes < BYTES;
            bytes += length(event);
            room
        };
        let (slice, after) = rest.split_at(rest.iter().take(EVENTS).take_while(has_room).count());
        rest = after;
        (!slice.is_empty()).then_some(slice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(lengths: &[usize]) -> Vec<usize> {
        slices(lengths, |&length| length).map(<[usize]>::len).collect()
    }

    #[test]
    fn a_slice_ends_with_its_count_or_with_the_event_that_passes_its_bytes() {
        assert_eq!(cut(&[]), [] as [usize; 0]);
        assert_eq!(cut(&[1; EVENTS]), [EVENTS]);
        assert_eq!(cut(&[1; 2 * EVENTS + 3]), [EVENTS, EVENTS, 3]);
        assert_eq!(cut(&[BYTES - 1, 1, 1, 2 * BYTES, 1]), [2, 2, 1]);
    }
}
