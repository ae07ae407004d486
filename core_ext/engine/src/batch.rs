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

use crate::error::{Error, Result};
use crate::ids::is_id;

const VERSION: u8 = 1;
const CHANNEL: u8 = 1;
const USER: u8 = 2;
const STORED: u8 = 4;
const MARK: u8 = 8;
const LANE: u8 = 0x80;

/// One event or mark, as `_core.pyi` describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record<'a> {
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

/// A lane as a batch has come along it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Course {
    lane: u32,
    epoch: u64,
    prev: u64,
}

/// Builds one batch.
#[derive(Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    course: Option<Course>,
}

impl Encoder {
    /// Add a record. Its `seq` is not below its `prev`.
    pub fn push(&mut self, record: &Record) {
        if self.bytes.is_empty() {
            self.bytes.push(VERSION);
        }
        if record.lane == 0 {
            self.put_event(record, 0);
        } else {
            self.follow(record);
            self.put_in_lane(record);
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Take the batch, and begin another.
    pub fn take(&mut self) -> Vec<u8> {
        self.course = None;
        std::mem::take(&mut self.bytes)
    }

    fn follow(&mut self, record: &Record) {
        let course = Course { lane: record.lane, epoch: record.epoch, prev: record.prev };
        if self.course != Some(course) {
            self.bytes.push(LANE);
            for number in [u64::from(course.lane), course.epoch, course.prev] {
                put_number(&mut self.bytes, number);
            }
            self.course = Some(course);
        }
    }

    fn put_in_lane(&mut self, record: &Record) {
        if record.event.is_empty() {
            self.bytes.push(MARK);
            put_number(&mut self.bytes, record.seq - record.prev);
        } else {
            self.put_event(record, STORED);
            self.course = self.course.map(|course| Course { prev: record.seq, ..course });
        }
    }

    fn put_event(&mut self, record: &Record, stored: u8) {
        let (channel, user) = (record.channel.map(str::as_bytes), record.user.map(str::as_bytes));
        let flag = |field: Option<&[u8]>, flag: u8| if field.is_some() { flag } else { 0 };
        self.bytes.push(stored | flag(channel, CHANNEL) | flag(user, USER));
        if stored != 0 {
            put_number(&mut self.bytes, record.seq - record.prev);
        }
        for field in [channel, user, Some(record.event)].into_iter().flatten() {
            put_number(&mut self.bytes, field.len() as u64);
            self.bytes.extend_from_slice(field);
        }
    }
}

/// Reads one batch. Allocates nothing, and stops after the first error.
pub struct Decoder<'a> {
    rest: &'a [u8],
    course: Option<Course>,
}

impl<'a> Decoder<'a> {
    /// Begin to read.
    pub fn new(payload: &'a [u8]) -> Result<Self> {
        match payload.split_first() {
            Some((&VERSION, rest)) => Ok(Self { rest, course: None }),
            Some(_) => Err(Error::InvalidBatch("another version")),
            None => Err(CUT),
        }
    }

    fn record(&mut self) -> Result<Record<'a>> {
        let mut kind = self.byte()?;
        while kind == LANE {
            self.course = Some(self.lane()?);
            kind = self.byte()?;
        }
        match kind {
            MARK => self.mark(),
            1..=3 => self.event(kind),
            5 | 7 => self.stored(kind),
            _ => Err(Error::InvalidBatch("an unknown kind of record")),
        }
    }

    fn lane(&mut self) -> Result<Course> {
        let lane = u32::try_from(self.number()?).ok().filter(|&lane| lane != 0);
        let lane = lane.ok_or(Error::InvalidBatch("a lane out of range"))?;
        Ok(Course { lane, epoch: self.number()?, prev: self.number()? })
    }

    fn mark(&mut self) -> Result<Record<'a>> {
        let (course, seq) = self.along()?;
        Ok(Record { lane: course.lane, epoch: course.epoch, prev: course.prev, seq, ..Record::default() })
    }

    fn stored(&mut self, kind: u8) -> Result<Record<'a>> {
        let (course, seq) = self.along()?;
        self.course = Some(Course { prev: seq, ..course });
        let event = self.event(kind)?;
        Ok(Record { lane: course.lane, epoch: course.epoch, prev: course.prev, seq, ..event })
    }

    fn event(&mut self, kind: u8) -> Result<Record<'a>> {
        let channel = if kind & CHANNEL == 0 { None } else { Some(self.id()?) };
        let user = if kind & USER == 0 { None } else { Some(self.id()?) };
        match self.bytes()? {
            [] => Err(Error::InvalidBatch("an event without bytes")),
            event => Ok(Record { channel, user, event, ..Record::default() }),
        }
    }

    /// The lane's course, and a seq along it.
    fn along(&mut self) -> Result<(Course, u64)> {
        let course = self.course.ok_or(Error::InvalidBatch("a seq without a lane"))?;
        let seq = course.prev.checked_add(self.number()?).ok_or(Error::InvalidBatch("a seq out of range"))?;
        Ok((course, seq))
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
    type Item = Result<Record<'a>>;

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

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
