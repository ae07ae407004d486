//! Holds what a consumer delivers to a subscription, until it is fetched.

use std::collections::VecDeque;
use std::fmt;

use crate::deliveries::Deliveries;
use crate::lifts::Lifts;
use crate::message::Message;
use crate::reply::Reply;

/// Why an ordered buffer accepts no more deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferError {
    /// A delivery is missing.
    Missing {
        /// The number of the last delivery in order.
        last: u64,
        /// The number of the one that came instead of the next.
        came: u64,
    },
    /// The event of this seq was delivered again.
    Again(u64),
}

impl fmt::Display for BufferError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Missing { last, came } => write!(formatter, "delivery {came} came after delivery {last}"),
            Self::Again(seq) => write!(formatter, "event {seq} was delivered again"),
        }
    }
}

/// Deliveries of one consumer, in batches that are ready to be fetched whole.
#[derive(Debug)]
pub struct DeliveryBuffer {
    batch: usize,
    ordered: bool,
    consumer: Vec<u8>,
    lifts: Lifts,
    batches: VecDeque<Deliveries>,
    len: usize,
    bytes: usize,
    order: u64,
    error: Option<BufferError>,
    received: u64,
}

impl DeliveryBuffer {
    /// A buffer with batches of `batch` events. An `ordered` one accepts nothing after a missing or repeated delivery.
    #[must_use]
    pub fn new(batch: usize, ordered: bool) -> Self {
        Self {
            batch: batch.max(1),
            ordered,
            consumer: Vec::new(),
            lifts: Lifts::default(),
            batches: VecDeque::new(),
            len: 0,
            bytes: 0,
            order: 0,
            error: None,
            received: 0,
        }
    }

    /// Accept what this consumer delivers from now on, and nothing of another. Its deliveries count from 1.
    ///
    /// The lifts are added to the sequences.
    pub fn attach(&mut self, consumer: &[u8], lifts: Lifts) {
        self.consumer = consumer.to_vec();
        self.lifts = lifts;
        self.order = 0;
        self.error = None;
    }

    /// Accept nothing until `attach` is called again.
    pub fn pause(&mut self) {
        self.consumer.clear();
    }

    /// Drop what was not fetched.
    pub fn clear(&mut self) {
        self.batches.clear();
        (self.len, self.bytes) = (0, 0);
    }

    /// Remove and return the deliveries that wait, up to the batch size.
    pub fn take(&mut self) -> Option<Deliveries> {
        let batch = self.batches.pop_front()?;
        self.len -= batch.len();
        self.bytes -= batch.payload_bytes();
        Some(batch)
    }

    /// How many deliveries wait to be fetched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the payloads that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batches that wait, in order.
    pub fn batches(&self) -> impl Iterator<Item = &Deliveries> {
        self.batches.iter()
    }

    /// The number of the consumer's last delivery in order.
    #[must_use]
    pub fn order(&self) -> u64 {
        self.order
    }

    /// The reason why deliveries are no longer accepted; None while they are.
    #[must_use]
    pub fn error(&self) -> Option<BufferError> {
        self.error
    }

    /// The number of deliveries that came from all consumers to which it was attached, accepted or not.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Accept a message; false if it is not a delivery.
    pub(crate) fn offer(&mut self, message: &Message) -> bool {
        let Some(mut reply) = Reply::of(message.reply) else { return false };
        reply.seq = self.lifts.position(reply.seq);
        if reply.consumer == self.consumer && self.error.is_none() {
            self.received += 1;
            self.error = self.error_of(&reply);
            if self.error.is_none() {
                self.order = reply.order;
                self.push(reply, message);
            }
        }
        true
    }

    fn error_of(&self, reply: &Reply) -> Option<BufferError> {
        let (last, came) = (self.order, reply.order);
        match (self.ordered, reply.attempt) {
            (false, _) => None,
            _ if came != last + 1 => Some(BufferError::Missing { last, came }),
            (true, 2..) => Some(BufferError::Again(reply.seq)),
            _ => None,
        }
    }

    fn push(&mut self, reply: Reply, message: &Message) {
        if self.batches.back().is_none_or(|batch| batch.len() >= self.batch) {
            self.batches.push_back(Deliveries::default());
        }
        let batch = self.batches.back_mut().expect("there is one");
        batch.push(reply, message);
        self.len += 1;
        self.bytes += message.payload.len();
    }
}
