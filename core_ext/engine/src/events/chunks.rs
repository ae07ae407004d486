//! Bulk calls in chunks: the events of a chunk are written into one block, and then routed under one lock of the
//! outbox.

use crate::events::bodies::{BlockWriter, BodyBlock, BodyRange, BodyRef, room};
use crate::events::coding::{EPHEMERAL, STORED};
use crate::events::frame::ClientForm;
use crate::events::stored::{StoredEvent, StoredKind};

/// The number of events in a chunk. Another thread that routes waits for at most one chunk.
const EVENTS: usize = 32;

/// The size in bytes at which a chunk ends, because a batch keeps the whole block of each body that it refers to.
const BYTES: usize = 64 << 10;

/// The bytes that wrapping adds to a message, without its channel. It is an estimate; more memory is allocated if
/// needed.
const WRAPPING: usize = 96;

/// Some events of a bulk call.
pub(crate) struct Chunk<'a> {
    pub(crate) block: BodyBlock,
    pub(crate) events: Vec<RoutedEvent<'a>>,
}

/// An event of a chunk.
pub(crate) struct RoutedEvent<'a> {
    /// 0 for an ephemeral event.
    pub(crate) seq: u64,
    pub(crate) channel: &'a str,
    /// A user who gets it too, reader of the channel or not.
    pub(crate) also: Option<&'a str>,
    /// None for an event that was refused.
    body: Option<BodyRange>,
}

impl RoutedEvent<'_> {
    /// The body, unless the event was refused.
    pub(crate) fn body<'a>(&self, block: &'a BodyBlock) -> Option<BodyRef<'a>> {
        self.body.map(|range| BodyRef { block, range })
    }
}

/// How the stored events of a call become the JSON that clients get.
#[derive(Clone, Copy)]
pub(crate) struct ClientFormOptions {
    pub(crate) kind: StoredKind,
    pub(crate) part: u32,
    /// The most bytes of the JSON that clients get.
    pub(crate) limit: usize,
}

impl<'a> Chunk<'a> {
    /// Make chunks of ephemeral events that were validated before.
    pub(crate) fn of_ephemeral(events: &[(&'a str, &[u8])]) -> Self {
        let length = events.iter().map(|(channel, event)| room(channel.len()) + room(event.len())).sum();
        Self::fill(length, events, |writer, &(channel, event)| {
            let write = |bytes: &mut Vec<u8>| bytes.extend_from_slice(event);
            let body = writer.put(EPHEMERAL, Some(channel), None, event.len(), write);
            RoutedEvent { seq: 0, channel, also: None, body: Some(body) }
        })
    }

    /// Make a chunk of stored events in the form that clients get. Events that are not of the kind go to `refused`,
    /// with the reason.
    pub(crate) fn of_stored(
        options: ClientFormOptions,
        events: &[StoredEvent<'a>],
        refused: &mut Vec<(u64, String)>,
    ) -> Self {
        let ClientFormOptions { kind, part, limit } = options;
        let length = events.iter().map(|event| event.payload.len() + event.channel.len() + WRAPPING).sum();
        Self::fill(length, events, |writer, event| {
            let &StoredEvent { seq, channel, also, .. } = event;
            let form = kind.client_form(limit, part, event).map_err(|reason| refused.push((seq, reason.to_string())));
            let put = |form: ClientForm| {
                writer.put(STORED | kind.code(), Some(channel), also, form.len(), |bytes| form.write(bytes))
            };
            RoutedEvent { seq, channel, also, body: form.map(put).ok() }
        })
    }

    fn fill<E>(length: usize, events: &[E], routed: impl FnMut(&mut BlockWriter, &E) -> RoutedEvent<'a>) -> Self {
        let (mut writer, mut routed) = (BlockWriter::with_capacity(length), routed);
        let events = events.iter().map(|event| routed(&mut writer, event)).collect();
        Self { block: writer.share(), events }
    }
}

/// Divide events into chunks; `length` returns the bytes of an event.
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
    fn a_chunk_ends_with_its_count_or_with_the_event_that_passes_its_bytes() {
        assert_eq!(cut(&[]), [] as [usize; 0]);
        assert_eq!(cut(&[1; EVENTS]), [EVENTS]);
        assert_eq!(cut(&[1; 2 * EVENTS + 3]), [EVENTS, EVENTS, 3]);
        assert_eq!(cut(&[BYTES - 1, 1, 1, 2 * BYTES, 1]), [2, 2, 1]);
    }
}
