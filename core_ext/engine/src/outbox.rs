//! What waits to be sent: one batch per instance, and for each open lane how far every instance has been told.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use compact_str::CompactString;

use crate::batch::{Encoder, Record};
use crate::error::{Error, Result};

/// A batch is closed before it passes this, half of what the bus carries in one message.
pub const MAX_BATCH: usize = 512 << 10;

/// The most that a record adds to its event: a lane's header, a seq, two names, three lengths.
const MAX_OVERHEAD: usize = 320;

/// When a batch is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    /// Nanoseconds after its first record.
    pub(crate) interval: u64,
    /// So many records.
    pub(crate) events: usize,
}

/// The batches and the lanes.
pub(crate) struct Outbox {
    due: Due,
    inboxes: BTreeMap<u32, Inbox>,
    lanes: BTreeMap<u32, Lane>,
    held: HashSet<CompactString>,
    pub(crate) routed: usize,
    pub(crate) flushes: usize,
}

struct Inbox {
    name: CompactString,
    closed: VecDeque<Vec<u8>>,
    open: Encoder,
    records: usize,
    since: u64,
    waiting: usize,
}

struct Lane {
    epoch: u64,
    position: u64,
    told: HashMap<u32, u64>,
}

/// An instance to send to.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) instance: u32,
    pub(crate) name: &'a CompactString,
}

impl Outbox {
    pub(crate) fn new(due: Due) -> Self {
        Self { due, inboxes: BTreeMap::new(), lanes: BTreeMap::new(), held: HashSet::new(), routed: 0, flushes: 0 }
    }

    /// Enqueue an ephemeral event.
    pub(crate) fn send(&mut self, target: Target, record: &Record, now: u64) {
        self.routed += 1;
        self.push(target, record, now);
    }

    /// Enqueue an event of a lane that is open, on the target's chain. [`Outbox::advance`] follows, once for all.
    pub(crate) fn send_in_lane(&mut self, target: Target, record: &Record, now: u64) {
        if self.held.contains(target.name) {
            return;
        }
        let Some(lane) = self.lanes.get_mut(&record.lane) else { return };
        let prev = lane.told.insert(target.instance, record.seq).unwrap_or(lane.position);
        let record = Record { epoch: lane.epoch, prev, ..*record };
        self.send(target, &record, now);
    }

    /// Enqueue how far each open lane has come; whether there is one.
    pub(crate) fn mark(&mut self, target: Target, now: u64) -> bool {
        if self.held.contains(target.name) {
            return false;
        }
        let marks: Vec<Record> =
            self.lanes.iter_mut().map(|(&lane, state)| state.mark(lane, target.instance)).collect();
        for mark in &marks {
            self.push(target, mark, now);
        }
        !marks.is_empty()
    }

    pub(crate) fn open_lane(&mut self, lane: u32, epoch: u64, position: u64) {
        self.lanes.insert(lane, Lane { epoch, position, told: HashMap::new() });
    }

    pub(crate) fn close_lane(&mut self, lane: u32) {
        self.lanes.remove(&lane);
    }

    /// Everything of the lane up to `seq` is handled. A seq that was passed before changes nothing.
    pub(crate) fn advance(&mut self, lane: u32, seq: u64) -> Result<()> {
        let state = self.lanes.get_mut(&lane).ok_or(Error::LaneNotOpen(lane))?;
        state.position = state.position.max(seq);
        Ok(())
    }

    /// Refuse a seq that is not the lane's next.
    pub(crate) fn check_rises(&self, lane: u32, seq: u64) -> Result<()> {
        let position = self.lanes.get(&lane).ok_or(Error::LaneNotOpen(lane))?.position;
        if seq > position {
            return Ok(());
        }
        Err(Error::InvalidArgument(format!("seq {seq} of lane {lane} does not rise above {position}")))
    }

    /// Forget an instance: its batches, and what it was told.
    pub(crate) fn drop_instance(&mut self, instance: u32) {
        self.inboxes.remove(&instance);
        self.forget_told(instance);
    }

    /// Send an instance nothing of any lane until it is released. Its chains begin anew then.
    pub(crate) fn hold(&mut self, name: &str, instance: Option<u32>) {
        self.held.insert(name.into());
        if let Some(instance) = instance {
            self.forget_told(instance);
        }
    }

    /// End a hold; whether there was one.
    pub(crate) fn release(&mut self, name: &str) -> bool {
        self.held.remove(name)
    }

    fn forget_told(&mut self, instance: u32) {
        for lane in self.lanes.values_mut() {
            lane.told.remove(&instance);
        }
    }

    /// Take the batches that are due, or all; in order for each instance.
    pub(crate) fn drain(&mut self, now: u64, force: bool) -> Vec<(CompactString, Vec<u8>)> {
        let mut batches = Vec::new();
        for inbox in self.inboxes.values_mut() {
            if force || inbox.open_due_at(self.due) <= now {
                inbox.close();
            }
            batches.extend(inbox.closed.drain(..).map(|batch| (inbox.name.clone(), batch)));
            inbox.waiting = inbox.records;
        }
        self.flushes += batches.len();
        self.inboxes.retain(|_, inbox| !inbox.open.is_empty());
        batches
    }

    /// Nanoseconds until a batch is due, None when all are empty.
    pub(crate) fn next_due(&self, now: u64) -> Option<u64> {
        self.inboxes.values().map(|inbox| inbox.due_at(self.due).saturating_sub(now)).min()
    }

    /// Records and bytes that wait.
    pub(crate) fn pending(&self) -> (usize, usize) {
        let bytes = |inbox: &Inbox| inbox.open.len() + inbox.closed.iter().map(Vec::len).sum::<usize>();
        self.inboxes.values().fold((0, 0), |(n, sum), inbox| (n + inbox.waiting, sum + bytes(inbox)))
    }

    fn push(&mut self, target: Target, record: &Record, now: u64) {
        let inbox = self.inboxes.entry(target.instance).or_insert_with(|| Inbox::new(target.name.clone()));
        inbox.push(record, now);
    }
}

impl Lane {
    /// A mark is the first word to an instance, or leaves its chain as it is.
    fn mark(&mut self, lane: u32, instance: u32) -> Record<'static> {
        let prev = *self.told.entry(instance).or_insert(self.position);
        Record { lane, epoch: self.epoch, prev, seq: self.position, ..Record::default() }
    }
}

impl Inbox {
    fn new(name: CompactString) -> Self {
        Self { name, closed: VecDeque::new(), open: Encoder::default(), records: 0, since: 0, waiting: 0 }
    }

    fn push(&mut self, record: &Record, now: u64) {
        if !self.open.is_empty() && self.open.len() + record.event.len() + MAX_OVERHEAD > MAX_BATCH {
            self.close();
        }
        if self.open.is_empty() {
            self.since = now;
        }
        self.open.push(record);
        self.records += 1;
        self.waiting += 1;
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed.push_back(self.open.take());
            self.records = 0;
        }
    }

    /// When there is a batch to take; what is closed is due at once.
    fn due_at(&self, due: Due) -> u64 {
        if self.closed.is_empty() { self.open_due_at(due) } else { 0 }
    }

    fn open_due_at(&self, due: Due) -> u64 {
        if self.records >= due.events { 0 } else { self.since.saturating_add(due.interval) }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
