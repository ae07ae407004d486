//! The payload of `instance.events.*`: records for one instance, in order. Internal, and versioned.
//!
//! ```text
//! batch     = version record*
//! version   = one byte, 2
//! record    = kind [seq] body                 kind: one byte
//! body      = length (lane | mark | event)    length: bytes of what follows in the body
//! kind      = 0 a lane | 1 a mark | 2 an ephemeral event | 0x80 + code: a stored event, with a seq
//! lane      = lane epoch prev                 what follows belongs to this lane
//! mark      = seq
//! event     = flags [channel] [user] json     flags: 1 a channel is named, 2 a user is named
//! channel, user = length name
//! ```
//!
//! Numbers are unsigned LEB128. A `seq` is written as its distance from the lane's `prev`. The seq of a stored event is
//! the `prev` of the next one; a mark does not change `prev`. So consecutive events of one lane cost one lane record,
//! and each event some five bytes beside its names and its JSON. An ephemeral event has neither lane nor seq.
//!
//! A reader skips a record with an unknown kind or flag, and reports it. An unknown stored event still has its seq, so
//! the lane continues behind it. A new kind of record that changes the meaning of later records needs a new version.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::events::bodies::{BodyBlock, BodyRange, BodyRef};
use crate::events::coding::{CHANNEL, EPHEMERAL, LANE, MARK, STORED, USER, number_len, put_number};
use crate::events::stored::StoredKind;
use crate::names::ids::is_id;

const VERSION: u8 = 2;

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordKind {
    /// An event that is in no log.
    #[default]
    Ephemeral,
    /// The position of a lane.
    Mark,
    /// A stored event.
    Stored(StoredKind),
    /// A record of a newer version, which is skipped. A stored one has its lane and seq, and nothing else.
    Unknown,
}

/// One event or mark, as `_core.pyi` describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchEvent<'a> {
    /// The kind of the record.
    pub kind: RecordKind,
    /// 0 for an ephemeral event.
    pub lane: u32,
    /// The epoch with which the lane was opened.
    pub epoch: u64,
    /// The seq of the lane's previous event for this instance.
    pub prev: u64,
    /// 0 for an ephemeral event; for a mark, the lane's position.
    pub seq: u64,
    /// The channel whose readers get the event.
    pub channel: Option<&'a str>,
    /// For an event to a channel: a user who does not get it (ephemeral), or who gets it too (stored).
    pub user: Option<&'a str>,
    /// The JSON object; empty for a mark and for an unknown kind.
    pub event: &'a [u8],
}

/// The position of a lane within a batch: the next record of the lane follows the seq `prev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainLink {
    pub(crate) lane: u32,
    pub(crate) epoch: u64,
    pub(crate) prev: u64,
}

/// A batch before it is written: the heads of its records, which only its instance has, and references to the bodies,
/// which it shares with the batches of other instances.
#[derive(Default)]
pub struct Batch {
    /// The version, and the head of each record: the bytes before its body.
    heads: Vec<u8>,
    spans: Vec<Span>,
    runs: Vec<Run>,
    /// Bytes of the bodies.
    bodies: usize,
    records: usize,
    link: Option<ChainLink>,
}

/// A body that follows the heads up to `head`.
#[derive(Clone, Copy)]
struct Span {
    head: u32,
    start: u32,
    end: u32,
}

/// A number of consecutive spans of one block.
struct Run {
    block: BodyBlock,
    spans: usize,
}

impl Batch {
    /// Add an ephemeral event.
    pub(crate) fn push(&mut self, body: BodyRef) {
        self.begin();
        self.heads.push(body.range.kind);
        self.refer(body);
    }

    /// Add a stored event of a lane. Its `seq` is not below the `prev` of its link.
    pub(crate) fn push_in_lane(&mut self, link: ChainLink, seq: u64, body: BodyRef) {
        self.enter_lane(link);
        self.heads.push(body.range.kind);
        put_number(&mut self.heads, seq - link.prev);
        self.link = Some(ChainLink { prev: seq, ..link });
        self.refer(body);
    }

    /// Add a mark: the position of a lane.
    pub(crate) fn push_mark(&mut self, link: ChainLink, seq: u64) {
        self.enter_lane(link);
        self.heads.push(MARK);
        put_body(&mut self.heads, [seq - link.prev]);
        self.records += 1;
    }

    /// Bytes of the batch when it is written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len() + self.bodies
    }

    /// Whether the batch has no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The number of events and marks.
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// Write the batch. This is the only copy of the bodies for an instance.
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
            put_body(&mut self.heads, [u64::from(link.lane), link.epoch, link.prev]);
            self.link = Some(link);
        }
    }

    fn refer(&mut self, body: BodyRef) {
        let BodyRange { start, end, .. } = body.range;
        #[expect(clippy::cast_possible_truncation, reason = "a batch is closed long before its heads pass 4 GiB")]
        self.spans.push(Span { head: self.heads.len() as u32, start, end });
        match self.runs.last_mut() {
            Some(run) if Arc::ptr_eq(&run.block, body.block) => run.spans += 1,
            _ => self.runs.push(Run { block: body.block.clone(), spans: 1 }),
        }
        self.bodies += body.len();
        self.records += 1;
    }
}

/// Append a body of numbers, after its length.
fn put_body<const COUNT: usize>(bytes: &mut Vec<u8>, numbers: [u64; COUNT]) {
    put_number(bytes, numbers.map(number_len).iter().sum::<usize>() as u64);
    for number in numbers {
        put_number(bytes, number);
    }
}

/// Copy `bytes` to the front of `rest`. Returns the part of `rest` behind them.
fn put<'a>(rest: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let (front, back) = rest.split_at_mut(bytes.len());
    front.copy_from_slice(bytes);
    back
}

/// Reads one batch. Allocates nothing, and stops after the first error.
pub struct Decoder<'a> {
    rest: Fields<'a>,
    link: Option<ChainLink>,
}

/// The position of a decoder in its batch.
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
            Some((&VERSION, rest)) => Ok(Self { rest: Fields(rest), link: None }),
            Some(_) => Err(Error::InvalidBatch("another version")),
            None => Err(CUT),
        }
    }

    /// Continue at the position of another decoder of the same batch.
    pub fn resume(payload: &'a [u8], position: BatchPosition) -> Result<Self> {
        let decoder = Self::new(payload)?;
        match position.left {
            None => Ok(decoder),
            Some(left) => {
                let Fields(all) = decoder.rest;
                let at = all.len().checked_sub(left).ok_or(CUT)?;
                Ok(Self { rest: Fields(&all[at..]), link: position.link })
            }
        }
    }

    /// Its position.
    #[must_use]
    pub fn at(&self) -> BatchPosition {
        BatchPosition { left: Some(self.rest.0.len()), link: self.link }
    }

    /// Whether all records were read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.rest.0.is_empty()
    }

    fn record(&mut self) -> Result<BatchEvent<'a>> {
        loop {
            let kind = self.rest.byte()?;
            let distance = if kind & STORED == 0 { 0 } else { self.rest.number()? };
            let mut body = Fields(self.rest.bytes()?);
            match kind {
                LANE => self.link = Some(body.lane()?),
                MARK => return self.mark(body.number()?),
                EPHEMERAL => return body.event(RecordKind::Ephemeral),
                _ if kind & STORED == 0 => return Ok(unknown()),
                _ => return self.stored(StoredKind::of_code(kind & !STORED), distance, body),
            }
        }
    }

    fn mark(&mut self, distance: u64) -> Result<BatchEvent<'a>> {
        let (link, seq) = self.linked_seq(distance)?;
        let ChainLink { lane, epoch, prev } = link;
        Ok(BatchEvent { kind: RecordKind::Mark, lane, epoch, prev, seq, ..BatchEvent::default() })
    }

    fn stored(&mut self, kind: Option<StoredKind>, distance: u64, body: Fields<'a>) -> Result<BatchEvent<'a>> {
        let (link, seq) = self.linked_seq(distance)?;
        self.link = Some(ChainLink { prev: seq, ..link });
        let event = kind.map_or_else(|| Ok(unknown()), |kind| body.event(RecordKind::Stored(kind)))?;
        let ChainLink { lane, epoch, prev } = link;
        Ok(BatchEvent { lane, epoch, prev, seq, ..event })
    }

    /// The lane's link, and the seq at a distance from it.
    fn linked_seq(&self, distance: u64) -> Result<(ChainLink, u64)> {
        let link = self.link.ok_or(Error::InvalidBatch("a seq without a lane"))?;
        let seq = link.prev.checked_add(distance).ok_or(Error::InvalidBatch("a seq out of range"))?;
        Ok((link, seq))
    }
}

/// A record that is skipped.
fn unknown<'a>() -> BatchEvent<'a> {
    BatchEvent { kind: RecordKind::Unknown, ..BatchEvent::default() }
}

/// The bytes of records that are not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn lane(&mut self) -> Result<ChainLink> {
        let lane = u32::try_from(self.number()?).ok().filter(|&lane| lane != 0);
        let lane = lane.ok_or(Error::InvalidBatch("a lane out of range"))?;
        Ok(ChainLink { lane, epoch: self.number()?, prev: self.number()? })
    }

    /// Read the rest of the bytes as an event, without its position in a lane.
    fn event(mut self, kind: RecordKind) -> Result<BatchEvent<'a>> {
        let flags = self.byte()?;
        if flags & !(CHANNEL | USER) != 0 {
            return Ok(unknown());
        }
        let channel = if flags & CHANNEL == 0 { None } else { Some(self.id()?) };
        let user = if flags & USER == 0 { None } else { Some(self.id()?) };
        let for_nobody = if kind == RecordKind::Ephemeral { flags == 0 } else { channel.is_none() };
        match self.0 {
            _ if for_nobody => Err(Error::InvalidBatch("an event for nobody")),
            [] => Err(Error::InvalidBatch("an event without bytes")),
            event => Ok(BatchEvent { kind, channel, user, event, ..BatchEvent::default() }),
        }
    }

    fn id(&mut self) -> Result<&'a str> {
        let name = self.bytes()?;
        let text = if is_id(name) { std::str::from_utf8(name).ok() } else { None };
        text.ok_or(Error::InvalidBatch("a name that is no id"))
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.number()?).map_err(|_| CUT)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        let (&byte, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
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
        if self.is_done() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = Fields(&[]);
        }
        Some(record)
    }
}

const CUT: Error = Error::InvalidBatch("it is cut");

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
