//! Bulk calls in chunks: the events of one are written into one block, and then routed under one lock of the outbox.

use crate::events::coding::{EPHEMERAL, STORED};
use crate::events::frame::ClientForm;
use crate::events::payloads::{Payload, PayloadBlock, PayloadRef, Payloads, room};
use crate::events::stored::{StoredEvent, StoredKind};

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
    /// A user who gets it beside the channel's readers.
    pub(crate) also: Option<&'a str>,
    /// None for an event that was refused.
    payload: Option<Payload>,
}

impl RoutedEvent<'_> {
    /// What to send, unless it was refused.
    pub(crate) fn payload<'a>(&self, block: &'a PayloadBlock) -> Option<PayloadRef<'a>> {
        self.payload.map(|payload| PayloadRef { block, payload })
    }
}

/// What the stored events of a call have in common.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) kind: StoredKind,
    pub(crate) part: u32,
    /// The most bytes that clients may get of one.
    pub(crate) limit: usize,
}

impl<'a> Chunk<'a> {
    /// Ephemeral events, which were found sound before.
    pub(crate) fn of_ephemeral(events: &[(&'a str, &[u8])]) -> Self {
        let length = events.iter().map(|(channel, event)| room(channel.len()) + room(event.len())).sum();
        Self::fill(length, events, |payloads, &(channel, event)| {
            let write = |bytes: &mut Vec<u8>| bytes.extend_from_slice(event);
            let payload = payloads.put(EPHEMERAL, Some(channel), None, event.len(), write);
            RoutedEvent { seq: 0, channel, also: None, payload: Some(payload) }
        })
    }

    /// Stored events in the form that clients get. Each that is none of its kind is noted in `refused`, with the reason.
    pub(crate) fn of_stored(stored: Stored, events: &[StoredEvent<'a>], refused: &mut Vec<(u64, String)>) -> Self {
        let Stored { kind, part, limit } = stored;
        let length = events.iter().map(|event| event.payload.len() + event.channel.len() + WRAPPING).sum();
        Self::fill(length, events, |payloads, event| {
            let &StoredEvent { seq, channel, also, .. } = event;
            let form = kind.client_form(limit, part, event).map_err(|reason| refused.push((seq, reason.to_string())));
            let put = |form: ClientForm| {
                payloads.put(STORED | kind.code(), Some(channel), also, form.len(), |bytes| form.write(bytes))
            };
            RoutedEvent { seq, channel, also, payload: form.map(put).ok() }
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
