//! Splits what a server sends: deliveries go to delivery buffers, everything else to the client library.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::delivery_buffer::DeliveryBuffer;
use crate::message::{Message, Operation, operation};

/// Bytes. A longer line without an end goes to the library, which knows more kinds of lines than this module.
const LONGEST_LINE: usize = 1 << 20;

/// The result of [`Splitter::feed`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Operations for the library, each whole.
    pub rest: Vec<u8>,
    /// The subscriptions whose buffers got a message, each once.
    pub touched: Vec<u64>,
}

/// Splits one connection's bytes.
#[derive(Default)]
pub struct Splitter {
    buffers: HashMap<u64, Arc<Mutex<DeliveryBuffer>>>,
    /// The beginning of an operation whose end has not been received.
    begun: Vec<u8>,
    /// Bytes were malformed: everything goes to the library until there is a new connection.
    surrendered: bool,
}

impl Splitter {
    /// Put a subscription's deliveries into a buffer from now on.
    pub fn take(&mut self, sid: u64, buffer: Arc<Mutex<DeliveryBuffer>>) {
        self.buffers.insert(sid, buffer);
    }

    /// How many subscriptions have a buffer.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.buffers.len()
    }

    /// Leave a subscription's deliveries to the library again.
    pub fn leave(&mut self, sid: u64) {
        self.buffers.remove(&sid);
    }

    /// There is a new connection: an operation that was begun will not be completed.
    pub fn reset(&mut self) {
        self.begun.clear();
        self.surrendered = false;
    }

    /// Split what the server sent.
    pub fn feed(&mut self, bytes: &[u8]) -> Fed {
        let mut fed = Fed::default();
        let mut begun = std::mem::take(&mut self.begun);
        if begun.is_empty() {
            let read = self.read(bytes, &mut fed);
            begun.extend_from_slice(&bytes[read..]);
        } else {
            begun.extend_from_slice(bytes);
            let read = self.read(&begun, &mut fed);
            begun.drain(..read);
        }
        self.begun = begun;
        fed
    }

    /// Read all complete operations, and return how many bytes they have.
    fn read(&mut self, bytes: &[u8], fed: &mut Fed) -> usize {
        let mut at = 0;
        while !self.surrendered && at < bytes.len() {
            let length = match operation(&bytes[at..]) {
                Operation::Message(message) if self.offer(&message, fed) => {
                    at += message.len;
                    continue;
                }
                Operation::Message(message) => message.len,
                Operation::Other(length) => length,
                Operation::Cut if is_line_or_message(&bytes[at..]) => return at,
                Operation::Cut | Operation::Malformed => {
                    self.surrendered = true;
                    break;
                }
            };
            fed.rest.extend_from_slice(&bytes[at..at + length]);
            at += length;
        }
        fed.rest.extend_from_slice(&bytes[at..]);
        bytes.len()
    }

    fn offer(&self, message: &Message, fed: &mut Fed) -> bool {
        let taken = self.buffers.get(&message.sid).is_some_and(|buffer| buffer.lock().offer(message));
        if taken && fed.touched.last() != Some(&message.sid) && !fed.touched.contains(&message.sid) {
            fed.touched.push(message.sid);
        }
        taken
    }
}

/// Whether an incomplete operation can still become a known one.
fn is_line_or_message(bytes: &[u8]) -> bool {
    bytes.len() < LONGEST_LINE || memchr::memmem::find(&bytes[..LONGEST_LINE], b"\r\n").is_some()
}

#[cfg(test)]
#[path = "splitter_tests.rs"]
mod tests;
