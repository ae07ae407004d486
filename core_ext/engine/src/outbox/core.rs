//! The batches that wait for each instance, and for each open lane the last seq that was enqueued for each instance.

use std::collections::{BTreeMap, HashSet};

use compact_str::CompactString;

use crate::error::{Error, Result};
use crate::events::batch::{Batch, ChainLink};
use crate::events::bodies::BodyRef;
use crate::outbox::instance_queues::{Due, InstanceQueue, InstanceQueues};

/// The batches and the lanes.
pub(crate) struct Outbox {
    due: Due,
    queues: InstanceQueues,
    lanes: BTreeMap<u32, LaneState>,
    /// Names, because an instance may be suspended before it has a number. Its queue has the same flag.
    suspended: HashSet<CompactString>,
    pub(crate) routed: usize,
    pub(crate) flushes: usize,
    pub(crate) copied: usize,
}

struct LaneState {
    epoch: u64,
    position: u64,
    last_seqs: Vec<Option<u64>>,
}

/// The instances to send to, and the table that has the name of an instance that is new in the outbox.
#[derive(Clone, Copy)]
pub(crate) struct Targets<'a> {
    pub(crate) instances: &'a [u32],
    pub(crate) name: &'a dyn Fn(u32) -> CompactString,
}

impl Outbox {
    pub(crate) fn new(due: Due, close_at: usize) -> Self {
        let (queues, lanes, suspended) = (InstanceQueues::new(close_at), BTreeMap::new(), HashSet::new());
        Self { due, queues, lanes, suspended, routed: 0, flushes: 0, copied: 0 }
    }

    /// Close batches, new ones and those that wait, before they grow beyond this number of bytes.
    pub(crate) fn close_at(&mut self, bytes: usize) {
        self.queues.close_at = bytes;
    }

    /// Enqueue an ephemeral event.
    pub(crate) fn send(&mut self, targets: Targets, body: BodyRef, now: u64) {
        for &instance in targets.instances {
            reach(&mut self.queues, &self.suspended, targets, instance);
            self.queues.batch(instance, body.len(), now).push(body);
        }
        self.routed += targets.instances.len();
    }

    /// Enqueue a stored event for each target, with the target's own `prev`, and advance the lane. A seq that does not
    /// rise is an error.
    pub(crate) fn send_in_lane(
        &mut self,
        targets: Targets,
        lane: u32,
        seq: u64,
        body: BodyRef,
        now: u64,
    ) -> Result<()> {
        self.check_rises(lane, seq)?;
        let state = self.lanes.get_mut(&lane).ok_or(Error::LaneNotOpen(lane))?;
        for &instance in targets.instances {
            if !reach(&mut self.queues, &self.suspended, targets, instance).suspended {
                let link = ChainLink { lane, epoch: state.epoch, prev: state.replace_last_seq(instance, seq) };
                self.queues.batch(instance, body.len(), now).push_in_lane(link, seq, body);
                self.routed += 1;
            }
        }
        state.position = seq;
        Ok(())
    }

    /// Enqueue the position of each open lane for each target. Returns the number of targets.
    pub(crate) fn mark(&mut self, targets: Targets, now: u64) -> usize {
        if self.lanes.is_empty() {
            return 0;
        }
        let mut marked = 0;
        for &instance in targets.instances {
            if !reach(&mut self.queues, &self.suspended, targets, instance).suspended {
                for (&lane, state) in &mut self.lanes {
                    let (link, seq) = state.mark(lane, instance);
                    self.queues.batch(instance, 0, now).push_mark(link, seq);
                }
                marked += 1;
            }
        }
        marked
    }

    pub(crate) fn open_lane(&mut self, lane: u32, epoch: u64, position: u64) {
        self.lanes.insert(lane, LaneState { epoch, position, last_seqs: Vec::new() });
    }

    pub(crate) fn close_lane(&mut self, lane: u32) {
        self.lanes.remove(&lane);
    }

    /// Note that everything of the lane up to `seq` was handled. A seq at or below the position changes nothing.
    pub(crate) fn advance(&mut self, lane: u32, seq: u64) -> Result<()> {
        let state = self.lanes.get_mut(&lane).ok_or(Error::LaneNotOpen(lane))?;
        state.position = state.position.max(seq);
        Ok(())
    }

    /// Return an error if a seq is not above the lane's position.
    pub(crate) fn check_rises(&self, lane: u32, seq: u64) -> Result<()> {
        let position = self.lanes.get(&lane).ok_or(Error::LaneNotOpen(lane))?.position;
        if seq > position {
            return Ok(());
        }
        Err(Error::InvalidArgument(format!("seq {seq} of lane {lane} does not rise above {position}")))
    }

    /// Forget an instance: its batches, and its last seq in each lane. Its number may then be given to another
    /// instance.
    pub(crate) fn drop_instance(&mut self, instance: u32) {
        self.queues.remove(instance);
        self.forget_last_seqs(instance);
    }

    /// Send an instance no stored event and no mark until it is resumed. Then its `prev` in each lane begins at the
    /// lane's position.
    pub(crate) fn suspend(&mut self, name: &str, instance: Option<u32>) {
        self.suspended.insert(name.into());
        if let Some(instance) = instance {
            self.set_suspended(instance, true);
            self.forget_last_seqs(instance);
        }
    }

    /// Send an instance stored events and marks again. Returns whether it was suspended.
    pub(crate) fn resume(&mut self, name: &str, instance: Option<u32>) -> bool {
        if let Some(instance) = instance {
            self.set_suspended(instance, false);
        }
        self.suspended.remove(name)
    }

    /// Take the batches that are due, or all; those of one instance are in order.
    pub(crate) fn take(&mut self, now: u64, force: bool) -> Vec<(CompactString, Batch)> {
        let batches = self.queues.take(self.due, now, force);
        self.flushes += batches.len();
        self.copied += batches.iter().map(|(_, batch)| batch.len()).sum::<usize>();
        batches
    }

    /// Nanoseconds until a batch is due, None when all are empty.
    pub(crate) fn next_due(&self, now: u64) -> Option<u64> {
        self.queues.due_at(self.due).map(|due| due.saturating_sub(now))
    }

    /// The records and bytes that wait.
    pub(crate) fn pending(&self) -> (usize, usize) {
        self.queues.pending()
    }

    fn set_suspended(&mut self, instance: u32, suspended: bool) {
        if let Some(queue) = self.queues.get_mut(instance) {
            queue.suspended = suspended;
        }
    }

    fn forget_last_seqs(&mut self, instance: u32) {
        for lane in self.lanes.values_mut() {
            if let Some(last) = lane.last_seqs.get_mut(instance as usize) {
                *last = None;
            }
        }
    }
}

/// An instance's queue. A new queue gets the instance's name, and whether the instance is suspended.
fn reach<'a>(
    queues: &'a mut InstanceQueues,
    suspended: &HashSet<CompactString>,
    targets: Targets,
    instance: u32,
) -> &'a InstanceQueue {
    queues.reach(instance, || {
        let name = (targets.name)(instance);
        let suspended = suspended.contains(&name);
        InstanceQueue::new(name, suspended)
    })
}

impl LaneState {
    /// Note `seq` as the last one that was enqueued for an instance. Returns the one before, or the lane's position if
    /// there is none.
    fn replace_last_seq(&mut self, instance: u32, seq: u64) -> u64 {
        let position = self.position;
        self.last_seq(instance).replace(seq).unwrap_or(position)
    }

    /// A mark for an instance. It does not change the instance's last seq, and sets it if there is none.
    fn mark(&mut self, lane: u32, instance: u32) -> (ChainLink, u64) {
        let (epoch, position) = (self.epoch, self.position);
        let prev = *self.last_seq(instance).get_or_insert(position);
        (ChainLink { lane, epoch, prev }, position)
    }

    fn last_seq(&mut self, instance: u32) -> &mut Option<u64> {
        let index = instance as usize;
        if self.last_seqs.len() <= index {
            self.last_seqs.resize(index + 1, None);
        }
        &mut self.last_seqs[index]
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
