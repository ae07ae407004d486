//! A batch of deliveries, in the order in which they came, in one piece of memory.

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
    /// Where the subject begins, the reply, the payload, and where it ends.
    start: usize,
    reply: usize,
    payload: usize,
    end: usize,
}

/// One delivery of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Of the stream, lifted.
    pub seq: u64,
    /// Which delivery of this event to this consumer, from 1.
    pub attempt: u64,
    /// When it was stored, in nanoseconds since 1970; 0 where that is not known.
    pub time: u64,
    /// Events for this consumer that followed when it was sent.
    pub pending: u64,
    /// As stored.
    pub subject: &'a [u8],
    /// Where it is answered.
    pub reply: &'a [u8],
    /// Without headers.
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
    /// Deliveries of nobody: (seq, subject, payload) each.
    pub fn of<'a>(events: impl IntoIterator<Item = (u64, &'a [u8], &'a [u8])>) -> Self {
        let mut deliveries = Self::default();
        for (seq, subject, payload) in events {
            let reply = Reply { consumer: b"", attempt: 1, seq, order: 0, time: 0, pending: 0 };
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

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the payloads together.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Delivery<'_>> {
        self.entries.get(index).map(|entry| self.delivery(entry))
    }

    /// All of them.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Delivery<'_>> + ExactSizeIterator {
        self.entries.iter().map(|entry| self.delivery(entry))
    }

    /// The first `count` of rising seqs are not above `seq`.
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
