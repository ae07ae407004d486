//! What waits to be sent to each instance, and for each open lane how far every instance has been told.

use std::collections::{BTreeMap, HashSet};

use compact_str::CompactString;

use crate::error::{Error, Result};
use crate::events::batch::{Batch, Course};
use crate::events::payloads::Letter;
use crate::outbox::instance_queues::{Due, Inbox, Inboxes};

/// The batches and the lanes.
pub(crate) struct Outbox {
    due: Due,
    inboxes: Inboxes,
    lanes: BTreeMap<u32, Lane>,
    /// By name, since an instance may be held before it is known; its inbox says it too.
    held: HashSet<CompactString>,
    pub(crate) routed: usize,
    pub(crate) flushes: usize,
    pub(crate) copied: usize,
}

struct Lane {
    epoch: u64,
    position: u64,
    told: Vec<Option<u64>>,
}

/// The instances to send to, and where to ask for the name of one that is new here.
#[derive(Clone, Copy)]
pub(crate) struct Targets<'a> {
    pub(crate) instances: &'a [u32],
    pub(crate) name: &'a dyn Fn(u32) -> CompactString,
}

impl Outbox {
    pub(crate) fn new(due: Due, close_at: usize) -> Self {
        let (inboxes, lanes, held) = (Inboxes::new(close_at), BTreeMap::new(), HashSet::new());
        Self { due, inboxes, lanes, held, routed: 0, flushes: 0, copied: 0 }
    }

    /// Close the batches that are begun from now on, and those that wait, before they pass so many bytes.
    pub(crate) fn close_at(&mut self, bytes: usize) {
        self.inboxes.close_at = bytes;
    }

    /// Enqueue an ephemeral event.
    pub(crate) fn send(&mut self, targets: Targets, letter: Letter, now: u64) {
        for &instance in targets.instances {
            reach(&mut self.inboxes, &self.held, targets, instance);
            self.inboxes.batch(instance, letter.len(), now).push(letter);
        }
        self.routed += targets.instances.len();
    }

    /// Enqueue a stored event on each target's chain, and advance the lane. A seq that does not rise is refused.
    pub(crate) fn send_in_lane(
        &mut self,
        targets: Targets,
        lane: u32,
        seq: u64,
        letter: Letter,
        now: u64,
    ) -> Result<()> {
        self.check_rises(lane, seq)?;
        let state = self.lanes.get_mut(&lane).ok_or(Error::LaneNotOpen(lane))?;
        for &instance in targets.instances {
            if !reach(&mut self.inboxes, &self.held, targets, instance).held {
                let course = Course { lane, epoch: state.epoch, prev: state.tell(instance, seq) };
                self.inboxes.batch(instance, letter.len(), now).push_in_lane(course, seq, letter);
                self.routed += 1;
            }
        }
        state.position = seq;
        Ok(())
    }

    /// Enqueue for each target how far each open lane has come; how many targets are told so.
    pub(crate) fn mark(&mut self, targets: Targets, now: u64) -> usize {
        if self.lanes.is_empty() {
            return 0;
        }
        let mut marked = 0;
        for &instance in targets.instances {
            if !reach(&mut self.inboxes, &self.held, targets, instance).held {
                for (&lane, state) in &mut self.lanes {
                    let (course, seq) = state.mark(lane, instance);
                    self.inboxes.batch(instance, 0, now).push_mark(course, seq);
                }
                marked += 1;
            }
        }
        marked
    }

    pub(crate) fn open_lane(&mut self, lane: u32, epoch: u64, position: u64) {
        self.lanes.insert(lane, Lane { epoch, position, told: Vec::new() });
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

    /// Forget an instance: its batches, and what it was told. Its number may go to another then.
    pub(crate) fn drop_instance(&mut self, instance: u32) {
        self.inboxes.remove(instance);
        self.forget_told(instance);
    }

    /// Send an instance nothing of any lane until it is released. Its chains begin anew then.
    pub(crate) fn hold(&mut self, name: &str, instance: Option<u32>) {
        self.held.insert(name.into());
        if let Some(instance) = instance {
            self.set_held(instance, true);
            self.forget_told(instance);
        }
    }

    /// End a hold; whether there was one.
    pub(crate) fn release(&mut self, name: &str, instance: Option<u32>) -> bool {
        if let Some(instance) = instance {
            self.set_held(instance, false);
        }
        self.held.remove(name)
    }

    /// Take the batches that are due, or all; in order for each instance. Whoever takes them writes each once.
    pub(crate) fn take(&mut self, now: u64, force: bool) -> Vec<(CompactString, Batch)> {
        let batches = self.inboxes.take(self.due, now, force);
        self.flushes += batches.len();
        self.copied += batches.iter().map(|(_, batch)| batch.len()).sum::<usize>();
        batches
    }

    /// Nanoseconds until a batch is due, None when all are empty.
    pub(crate) fn next_due(&self, now: u64) -> Option<u64> {
        self.inboxes.due_at(self.due).map(|due| due.saturating_sub(now))
    }

    /// Records and bytes that wait.
    pub(crate) fn pending(&self) -> (usize, usize) {
        self.inboxes.pending()
    }

    fn set_held(&mut self, instance: u32, held: bool) {
        if let Some(inbox) = self.inboxes.get_mut(instance) {
            inbox.held = held;
        }
    }

    fn forget_told(&mut self, instance: u32) {
        for lane in self.lanes.values_mut() {
            if let Some(told) = lane.told.get_mut(instance as usize) {
                *told = None;
            }
        }
    }
}

/// An instance's inbox; one that is new has its name, and whether it is held, from now on.
fn reach<'a>(inboxes: &'a mut Inboxes, held: &HashSet<CompactString>, targets: Targets, instance: u32) -> &'a Inbox {
    inboxes.reach(instance, || {
        let name = (targets.name)(instance);
        let held = held.contains(&name);
        Inbox::new(name, held)
    })
}

impl Lane {
    /// Note that an instance is told of `seq`; what it was told of before, or where the lane stands.
    fn tell(&mut self, instance: u32, seq: u64) -> u64 {
        let position = self.position;
        self.told(instance).replace(seq).unwrap_or(position)
    }

    /// A mark is the first word to an instance, or leaves its chain as it is.
    fn mark(&mut self, lane: u32, instance: u32) -> (Course, u64) {
        let (epoch, position) = (self.epoch, self.position);
        let prev = *self.told(instance).get_or_insert(position);
        (Course { lane, epoch, prev }, position)
    }

    fn told(&mut self, instance: u32) -> &mut Option<u64> {
        let place = instance as usize;
        if self.told.len() <= place {
            self.told.resize(place + 1, None);
        }
        &mut self.told[place]
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
