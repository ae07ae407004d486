//! The body of an event's record: the part that is the same for all targets, written once. It is a length, the flags that
//! say which names the event has, the names, and the JSON.
//!
//! Bodies are in blocks. A block is filled before any lock is taken, and then shared by the batches that refer to its
//! bodies; it is freed with the last of these batches. So an event has one body in memory, whatever the number of
//! targets, and a batch counts one reference for a block, not one for each body.

use std::sync::Arc;

use crate::events::coding::{CHANNEL, USER, number_len, put_number, put_text};

/// Bodies, one after the other, which no longer change.
pub(crate) type BodyBlock = Arc<Vec<u8>>;

/// The position of a body in its block, and the kind of its record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyRange {
    pub(crate) kind: u8,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A body in its block.
#[derive(Clone, Copy)]
pub(crate) struct BodyRef<'a> {
    pub(crate) block: &'a BodyBlock,
    pub(crate) range: BodyRange,
}

impl BodyRef<'_> {
    /// Bytes of the body.
    pub(crate) fn len(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }
}

/// Fills a block.
pub(crate) struct BlockWriter {
    bytes: Vec<u8>,
}

impl BlockWriter {
    /// A block with capacity for bodies of `bytes` bytes together.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// A block of one event.
    pub(crate) fn of_one(kind: u8, channel: Option<&str>, user: Option<&str>, event: &[u8]) -> (BodyBlock, BodyRange) {
        let names = [channel, user].into_iter().flatten().map(|name| room(name.len())).sum::<usize>();
        let mut writer = Self::with_capacity(names + room(event.len()));
        let range = writer.put(kind, channel, user, event.len(), |bytes| bytes.extend_from_slice(event));
        (writer.share(), range)
    }

    /// Add the body of a record of a kind. Its JSON is `length` bytes long, and written by `write`.
    ///
    /// # Panics
    /// When the block passes 4 GiB; a chunk of a bulk call ends long before.
    pub(crate) fn put(
        &mut self,
        kind: u8,
        channel: Option<&str>,
        user: Option<&str>,
        length: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> BodyRange {
        let start = offset(&self.bytes);
        let flag = |name: Option<&str>, flag: u8| if name.is_some() { flag } else { 0 };
        put_number(&mut self.bytes, (1 + text_len(channel) + text_len(user) + length) as u64);
        self.bytes.push(flag(channel, CHANNEL) | flag(user, USER));
        for name in [channel, user].into_iter().flatten() {
            put_text(&mut self.bytes, name.as_bytes());
        }
        write(&mut self.bytes);
        BodyRange { kind, start, end: offset(&self.bytes) }
    }

    /// End the block, so that it can be shared.
    pub(crate) fn share(self) -> BodyBlock {
        Arc::new(self.bytes)
    }
}

/// Bytes of a name with its length; none where there is no name.
fn text_len(name: Option<&str>) -> usize {
    name.map_or(0, |name| number_len(name.len() as u64) + name.len())
}

/// The bytes that are enough for `length` bytes and the number that states their length.
pub(crate) fn room(length: usize) -> usize {
    length + 4
}

fn offset(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a block below 4 GiB")
}
