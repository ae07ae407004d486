//! Bulk calls in chunks: the events of one are written into one block, and then routed under one lock of the outbox.

use crate::events::frame::Wrapped;
use crate::events::payloads::{Payload, PayloadBlock, PayloadRef, Payloads, room};
use crate::events::stored::Stored;

/// Events in a chunk. Another thread that routes waits for one chunk at most.
const EVENTS: usize = 32;

/// A chunk ends with the event that passes so many bytes, since a batch keeps whole blocks for what it refers to.
const BYTES: usize = 64 << 10;

/// What a message grows by when it is wrapped, but for its channel; a guess, more is allocated where it falls short.
const WRAPPING: usize = 96;

/// Some events of a bulk call.
pub(crate) struct Chunk<'a> {
    pub(crate) block: PayloadBlock,
    pub(crate) events: Vec<RoutedEvent<'a>>,
}

/// One of them.
pub(crate) struct RoutedEvent<'a> {
    /// 0 for an ephemeral event.
    pub(crate) seq: u64,
    pub(crate) channel: &'a str,
    /// None for an event that was refused.
    payload: Option<Payload>,
}

impl RoutedEvent<'_> {
    /// What to send, unless it was refused.
    pub(crate) fn payload<'a>(&self, block: &'a PayloadBlock) -> Option<PayloadRef<'a>> {
        self.payload.map(|payload| PayloadRef { block, payload })
    }
}

impl<'a> Chunk<'a> {
    /// Ephemeral events, which were found sound before.
    pub(crate) fn of_ephemeral(events: &[(&'a str, &[u8])]) -> Self {
        let length = events.iter().map(|(channel, event)| room(channel.len()) + room(event.len())).sum();
        Self::fill(length, events, |payloads, &(channel, event)| {
            let payload = payloads.put(Some(channel), None, event.len(), |bytes| bytes.extend_from_slice(event));
            RoutedEvent { seq: 0, channel, payload: Some(payload) }
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
        Self::fill(length, events, |payloads, &(seq, channel, payload)| {
            let wrapped = Wrapped::new(limit, seq, part, channel, payload)
                .map_err(|reason| refused.push((seq, reason.to_string())));
            let payload =
                wrapped.map(|event| payloads.put(Some(channel), None, event.len(), |bytes| event.write(bytes)));
            RoutedEvent { seq, channel, payload: payload.ok() }
        })
    }

    fn fill<E>(length: usize, events: &[E], routed: impl FnMut(&mut Payloads, &E) -> RoutedEvent<'a>) -> Self {
        let (mut payloads, mut routed) = (Payloads::with_capacity(length), routed);
        let events = events.iter().map(|event| routed(&mut payloads, event)).collect();
        Self { block: payloads.share(), events }
    }
}

/// Cut events into chunks; `length` says how long one is.
pub(crate) fn chunks<E>(events: &[E], length: impl Fn(&E) -> usize) -> impl Iterator<Item = &[E]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let has_room = |event: &&E| {
            let room = bytes < BYTES;
            bytes += length(event);
            room
        };
        let (chunk, after) = rest.split_at(rest.iter().take(EVENTS).take_while(has_room).count());
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(lengths: &[usize]) -> Vec<usize> {
        chunks(lengths, |&length| length).map(<[usize]>::len).collect()
    }

    #[test]
    fn a_slice_ends_with_its_count_or_with_the_event_that_passes_its_bytes() {
        assert_eq!(cut(&[]), [] as [usize; 0]);
        assert_eq!(cut(&[1; EVENTS]), [EVENTS]);
        assert_eq!(cut(&[1; 2 * EVENTS + 3]), [EVENTS, EVENTS, 3]);
        assert_eq!(cut(&[BYTES - 1, 1, 1, 2 * BYTES, 1]), [2, 2, 1]);
    }
}
