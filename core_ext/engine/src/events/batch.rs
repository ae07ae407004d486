//! The payload of `instance.events.*`: records for one instance, in order. Internal, and versioned.
//!
//! ```text
//! batch   = version record*                  version: one byte, 1
//! record  = lane | event | mark
//! lane    = 0x80 lane epoch prev             what follows belongs to this lane
//! event   = kind [seq] [channel] [user] length json
//! mark    = 0x08 seq
//! kind    = flags: 1 a channel is named, 2 a user is named, 4 the event is stored, in the lane, with a seq
//! channel, user = length name
//! ```
//!
//! Numbers are unsigned LEB128. A `seq` is the distance from the lane's `prev`, and a stored event's seq is the next
//! one's `prev`; a mark leaves it. So a run of events of one lane costs one header, and each some four bytes beside
//! its names and its JSON. An ephemeral event has neither lane nor seq.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::events::coding::{CHANNEL, USER, put_number};
use crate::events::payloads::{Payload, PayloadBlock, PayloadRef};
use crate::names::ids::is_id;

const VERSION: u8 = 1;
const STORED: u8 = 4;
const MARK: u8 = 8;
const LANE: u8 = 0x80;

/// One event or mark, as `_core.pyi` describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchEvent<'a> {
    /// 0 for an ephemeral event.
    pub lane: u32,
    /// Of the lane's opening.
    pub epoch: u64,
    /// The seq before this one in this lane for this instance.
    pub prev: u64,
    /// 0 for an ephemeral event; for a mark, the lane's position.
    pub seq: u64,
    /// Whose readers get the event.
    pub channel: Option<&'a str>,
    /// Of an event to a channel: whom to leave out (ephemeral) or to include (stored).
    pub user: Option<&'a str>,
    /// The JSON object; empty for a mark.
    pub event: &'a [u8],
}

/// Where a lane stands in a batch: the next record of the lane is linked to the seq `prev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainLink {
    pub(crate) lane: u32,
    pub(crate) epoch: u64,
    pub(crate) prev: u64,
}

/// One batch before it is written: the heads of its records, which are its instance's own, and references to the
/// payloads, which it shares with the batches of other instances.
#[derive(Default)]
pub struct Batch {
    /// The version, and the head of each record: what stands before its payload.
    heads: Vec<u8>,
    spans: Vec<Span>,
    runs: Vec<Run>,
    payloads: usize,
    records: usize,
    link: Option<ChainLink>,
}

/// A payload that follows the heads up to `head`.
#[derive(Clone, Copy)]
struct Span {
    head: u32,
    start: u32,
    end: u32,
}

/// So many spans of one block.
struct Run {
    block: PayloadBlock,
    spans: usize,
}

impl Batch {
    /// Add an ephemeral event.
    pub(crate) fn push(&mut self, payload: PayloadRef) {
        self.begin();
        self.heads.push(payload.payload.kind);
        self.refer(payload);
    }

    /// Add a stored event of a lane. Its `seq` is not below the `prev` of its link.
    pub(crate) fn push_in_lane(&mut self, link: ChainLink, seq: u64, payload: PayloadRef) {
        self.enter_lane(link);
        self.heads.push(payload.payload.kind | STORED);
        put_number(&mut self.heads, seq - link.prev);
        self.link = Some(ChainLink { prev: seq, ..link });
        self.refer(payload);
    }

    /// Add how far a lane has come.
    pub(crate) fn push_mark(&mut self, link: ChainLink, seq: u64) {
        self.enter_lane(link);
        self.heads.push(MARK);
        put_number(&mut self.heads, seq - link.prev);
        self.records += 1;
    }

    /// Bytes of the batch when it is written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len() + self.payloads
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// How many events and marks.
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// Write the batch: the one copy that a target costs.
    ///
    /// # Panics
    /// When `payload` is not [`Batch::len`] bytes long.
    pub fn write(&self, payload: &mut [u8]) {
        let (mut rest, mut head, mut spans) = (payload, 0, self.spans.iter());
        for run in &self.runs {
            for span in spans.by_ref().take(run.spans) {
                let end = span.head as usize;
                rest = put(rest, &self.heads[head..end]);
                rest = put(rest, &run.block[span.start as usize..span.end as usize]);
                head = end;
            }
        }
        rest = put(rest, &self.heads[head..]);
        assert!(rest.is_empty(), "the payload is too long");
    }

    /// The batch, written.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut payload = vec![0; self.len()];
        self.write(&mut payload);
        payload
    }

    fn begin(&mut self) {
        if self.heads.is_empty() {
            self.heads.push(VERSION);
        }
    }

    fn enter_lane(&mut self, link: ChainLink) {
        self.begin();
        if self.link != Some(link) {
            self.heads.push(LANE);
            for number in [u64::from(link.lane), link.epoch, link.prev] {
                put_number(&mut self.heads, number);
            }
            self.link = Some(link);
        }
    }

    fn refer(&mut self, payload: PayloadRef) {
        let Payload { start, end, .. } = payload.payload;
        #[expect(clippy::cast_possible_truncation, reason = "a batch is closed long before its heads pass 4 GiB")]
        self.spans.push(Span { head: self.heads.len() as u32, start, end });
        match self.runs.last_mut() {
            Some(run) if Arc::ptr_eq(&run.block, payload.block) => run.spans += 1,
            _ => self.runs.push(Run { block: payload.block.clone(), spans: 1 }),
        }
        self.payloads += payload.len();
        self.records += 1;
    }
}

/// Copy to the front of `rest`; what is left of it.
fn put<'a>(rest: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let (front, back) = rest.split_at_mut(bytes.len());
    front.copy_from_slice(bytes);
    back
}

/// Reads one batch. Allocates nothing, and stops after the first error.
pub struct Decoder<'a> {
    rest: &'a [u8],
    link: Option<ChainLink>,
}

/// Where a decoder stands in its batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchPosition {
    /// Bytes that are left; None at the beginning.
    left: Option<usize>,
    link: Option<ChainLink>,
}

impl<'a> Decoder<'a> {
    /// Begin to read.
    pub fn new(payload: &'a [u8]) -> Result<Self> {
        match payload.split_first() {
            Some((&VERSION, rest)) => Ok(Self { rest, link: None }),
            Some(_) => Err(Error::InvalidBatch("another version")),
            None => Err(CUT),
        }
    }

    /// Go on where another decoder of the same batch stood.
    pub fn resume(payload: &'a [u8], position: BatchPosition) -> Result<Self> {
        let decoder = Self::new(payload)?;
        match position.left {
            None => Ok(decoder),
            Some(left) => {
                let at = decoder.rest.len().checked_sub(left).ok_or(CUT)?;
                Ok(Self { rest: &decoder.rest[at..], link: position.link })
            }
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn at(&self) -> BatchPosition {
        BatchPosition { left: Some(self.rest.len()), link: self.link }
    }

    /// Whether there is no more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    fn record(&mut self) -> Result<BatchEvent<'a>> {
        let mut kind = self.byte()?;
        while kind == LANE {
            self.link = Some(self.lane()?);
            kind = self.byte()?;
        }
        match kind {
            MARK => self.mark(),
            1..=3 => self.event(kind),
            5 | 7 => self.stored(kind),
            _ => Err(Error::InvalidBatch("an unknown kind of record")),
        }
    }

    fn lane(&mut self) -> Result<ChainLink> {
        let lane = u32::try_from(self.number()?).ok().filter(|&lane| lane != 0);
        let lane = lane.ok_or(Error::InvalidBatch("a lane out of range"))?;
        Ok(ChainLink { lane, epoch: self.number()?, prev: self.number()? })
    }

    fn mark(&mut self) -> Result<BatchEvent<'a>> {
        let (link, seq) = self.linked_seq()?;
        Ok(BatchEvent { lane: link.lane, epoch: link.epoch, prev: link.prev, seq, ..BatchEvent::default() })
    }

    fn stored(&mut self, kind: u8) -> Result<BatchEvent<'a>> {
        let (link, seq) = self.linked_seq()?;
        self.link = Some(ChainLink { prev: seq, ..link });
        let event = self.event(kind)?;
        Ok(BatchEvent { lane: link.lane, epoch: link.epoch, prev: link.prev, seq, ..event })
    }

    fn event(&mut self, kind: u8) -> Result<BatchEvent<'a>> {
        let channel = if kind & CHANNEL == 0 { None } else { Some(self.id()?) };
        let user = if kind & USER == 0 { None } else { Some(self.id()?) };
        match self.bytes()? {
            [] => Err(Error::InvalidBatch("an event without bytes")),
            event => Ok(BatchEvent { channel, user, event, ..BatchEvent::default() }),
        }
    }

    /// The lane's link, and the seq that is written as a distance from it.
    fn linked_seq(&mut self) -> Result<(ChainLink, u64)> {
        let link = self.link.ok_or(Error::InvalidBatch("a seq without a lane"))?;
        let seq = link.prev.checked_add(self.number()?).ok_or(Error::InvalidBatch("a seq out of range"))?;
        Ok((link, seq))
    }

    fn id(&mut self) -> Result<&'a str> {
        let name = self.bytes()?;
        let text = if is_id(name) { std::str::from_utf8(name).ok() } else { None };
        text.ok_or(Error::InvalidBatch("a name that is no id"))
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| CUT)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(CUT)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        let (&byte, rest) = self.rest.split_first().ok_or(CUT)?;
        self.rest = rest;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Error::InvalidBatch("a number out of range"))
    }
}

impl<'a> Iterator for Decoder<'a> {
    type Item = Result<BatchEvent<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

const CUT: Error = Error::InvalidBatch("it is cut");

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
