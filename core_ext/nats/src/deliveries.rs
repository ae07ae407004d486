//! Several deliveries, in the order in which they came, in one block of memory.

use crate::message::Message;
use crate::reply::Reply;

/// Deliveries of one consumer.
#[derive(Debug, Default)]
pub struct Deliveries {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    payload_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    attempt: u64,
    time: u64,
    pending: u64,
    /// The positions of the subject, the reply, the payload, and the end.
    start: usize,
    reply: usize,
    payload: usize,
    end: usize,
}

/// One delivery of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The event's position in its stream, lifted.
    pub seq: u64,
    /// The number of this delivery of the event to the consumer, from 1.
    pub attempt: u64,
    /// The time at which the event was stored, in nanoseconds since 1970; 0 if it is not known.
    pub time: u64,
    /// The number of events that still waited for the consumer when the server sent this one.
    pub pending: u64,
    /// The stored subject.
    pub subject: &'a [u8],
    /// The reply subject, to which the acknowledgement is published.
    pub reply: &'a [u8],
    /// The payload, without headers.
    pub payload: &'a [u8],
}

impl<'a> Delivery<'a> {
    /// The last token of the subject.
    #[must_use]
    pub fn last_token(&self) -> &'a [u8] {
        &self.subject[memchr::memrchr(b'.', self.subject).map_or(0, |dot| dot + 1)..]
    }
}

impl Deliveries {
    /// Make deliveries that no server sent: (seq, subject, payload, time) each.
    pub fn of<'a>(events: impl IntoIterator<Item = (u64, &'a [u8], &'a [u8], u64)>) -> Self {
        let mut deliveries = Self::default();
        for (seq, subject, payload, time) in events {
            let reply = Reply { consumer: b"", attempt: 1, seq, order: 0, time, pending: 0 };
            deliveries.push(reply, &Message { sid: 0, subject, reply: b"", payload, len: 0 });
        }
        deliveries
    }

    pub(crate) fn push(&mut self, reply: Reply, message: &Message) {
        let start = self.bytes.len();
        let [reply_at, payload, end] = [message.subject, message.reply, message.payload].map(|part| {
            self.bytes.extend_from_slice(part);
            self.bytes.len()
        });
        let Reply { attempt, seq, time, pending, .. } = reply;
        self.entries.push(Entry { seq, attempt, time, pending, start, reply: reply_at, payload, end });
        self.payload_bytes += message.payload.len();
    }

    /// The number of deliveries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of all payloads.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// A delivery, by its index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Delivery<'_>> {
        self.entries.get(index).map(|entry| self.delivery(entry))
    }

    /// All deliveries.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Delivery<'_>> + ExactSizeIterator {
        self.entries.iter().map(|entry| self.delivery(entry))
    }

    /// The number of deliveries whose seq is at most `seq`; the seqs must rise.
    #[must_use]
    pub fn count_upto(&self, seq: u64) -> usize {
        self.entries.partition_point(|entry| entry.seq <= seq)
    }

    fn delivery(&self, entry: &Entry) -> Delivery<'_> {
        Delivery {
            seq: entry.seq,
            attempt: entry.attempt,
            time: entry.time,
            pending: entry.pending,
            subject: &self.bytes[entry.start..entry.reply],
            reply: &self.bytes[entry.reply..entry.payload],
            payload: &self.bytes[entry.payload..entry.end],
        }
    }
}
