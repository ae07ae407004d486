//! Event -> targets -> batches.

use compact_str::CompactString;

use crate::batch::Record;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::frame::{check_event, message_new};
use crate::ids::{Id, check};
use crate::outbox::Target;
use crate::rows::Targets;
use crate::table::Table;

/// A stored event to route: its seq, its channel, and its payload.
pub type Stored<'a> = (u64, &'a str, &'a [u8]);

impl Engine {
    /// Enqueue an ephemeral event for every instance of the channel but `exclude`; the number of targets.
    pub fn route(
        &self,
        channel: &str,
        event: &[u8],
        exclude: Option<&str>,
        actor: Option<&str>,
        now: u64,
    ) -> Result<usize> {
        check(channel, "channel")?;
        exclude.map_or(Ok(()), |instance| check(instance, "exclude"))?;
        actor.map_or(Ok(()), |user| check(user, "actor"))?;
        check_event(event)?;
        let record = Record { channel: Some(channel), user: actor, event, ..Record::default() };
        Ok(self.send(&record, now, |table| {
            let excluded = exclude.and_then(|instance| known_instance(table, instance));
            let mut targets = channel_targets(table, channel);
            targets.retain(|instance| Some(*instance) != excluded);
            targets
        }))
    }

    /// [`Engine::route`] for several; nothing is enqueued unless all are sound. The number of targets in all.
    pub fn route_many(&self, events: &[(&str, &[u8])], now: u64) -> Result<usize> {
        for (channel, event) in events {
            check(channel, "channel")?;
            check_event(event)?;
        }
        let route = |&(channel, event)| {
            let record = Record { channel: Some(channel), event, ..Record::default() };
            self.send(&record, now, |table| channel_targets(table, channel))
        };
        Ok(events.iter().map(route).sum())
    }

    /// Enqueue an ephemeral event for every instance that the user is on; the number of targets.
    pub fn route_user(&self, user: &str, event: &[u8], now: u64) -> Result<usize> {
        check(user, "user")?;
        check_event(event)?;
        let record = Record { user: Some(user), event, ..Record::default() };
        Ok(self.send(&record, now, |table| user_targets(table, user)))
    }

    /// Begin to route a lane that was handled elsewhere up to `position`. Lane 0 is for ephemeral events.
    pub fn open_lane(&self, lane: u32, epoch: u64, position: u64) -> Result<()> {
        if lane == 0 {
            return Err(Error::InvalidArgument("lane 0 is for ephemeral events".to_owned()));
        }
        let _turn = self.lanes.lock();
        self.outbox.lock().open_lane(lane, epoch, position);
        Ok(())
    }

    /// Stop routing a lane.
    pub fn close_lane(&self, lane: u32) {
        let _turn = self.lanes.lock();
        self.outbox.lock().close_lane(lane);
    }

    /// Route stored messages, in rising seq; (seq, reason) of each that can never be delivered.
    pub fn route_messages(&self, lane: u32, part: u32, events: &[Stored], now: u64) -> Result<Vec<(u64, String)>> {
        check_each_rises(events)?;
        let wrap = |&(seq, channel, payload): &Stored| message_new(seq, part, channel, payload);
        let wrapped: Vec<_> = events.iter().map(wrap).collect();
        let _turn = self.lanes.lock();
        self.outbox.lock().check_rises(lane, events.first().map_or(u64::MAX, |event| event.0))?;
        let mut refused = Vec::new();
        for (&(seq, channel, _), event) in events.iter().zip(wrapped) {
            match event {
                Ok(event) => {
                    let record = Record { lane, seq, channel: Some(channel), event: &event, ..Record::default() };
                    self.send_in_lane(&record, now, |table| channel_targets(table, channel))?;
                }
                Err(reason) => {
                    self.outbox.lock().advance(lane, seq)?;
                    refused.push((seq, reason.to_string()));
                }
            }
        }
        Ok(refused)
    }

    /// Route one stored event in its client form, also to where `also` is; the number of targets.
    pub fn route_stored(
        &self,
        lane: u32,
        seq: u64,
        channel: &str,
        event: &[u8],
        also: Option<&str>,
        now: u64,
    ) -> Result<usize> {
        check(channel, "channel")?;
        also.map_or(Ok(()), |user| check(user, "also"))?;
        check_event(event)?;
        let record = Record { lane, seq, channel: Some(channel), user: also, event, ..Record::default() };
        let _turn = self.lanes.lock();
        self.send_in_lane(&record, now, |table| {
            let mut targets = channel_targets(table, channel);
            targets.extend(also.into_iter().flat_map(|user| user_targets(table, user)));
            targets.sort_unstable();
            targets.dedup();
            targets
        })
    }

    /// Everything of the lane up to `seq` is handled. A seq that was passed before changes nothing.
    pub fn advance(&self, lane: u32, seq: u64) -> Result<()> {
        let _turn = self.lanes.lock();
        self.outbox.lock().advance(lane, seq)
    }

    /// Enqueue for every instance how far each open lane has come; the number of instances.
    pub fn mark(&self, now: u64) -> usize {
        let mut outbox = self.outbox.lock();
        let instances = self.table.instances.occupied();
        instances
            .into_iter()
            .filter(|&instance| with_target(&self.table, instance, |target| outbox.mark(target, now)))
            .count()
    }

    /// Send an instance nothing of any lane, because the table does not have all its users. Ephemeral events go on.
    ///
    /// The first event or mark after [`Engine::release`] tells the instance that everything before it may be missing.
    pub fn hold(&self, instance: &str) -> Result<()> {
        check(instance, "instance")?;
        let mut outbox = self.outbox.lock();
        let known = known_instance(&self.table, instance);
        outbox.hold(instance, known);
        Ok(())
    }

    /// End a hold; whether there was one.
    pub fn release(&self, instance: &str) -> Result<bool> {
        check(instance, "instance")?;
        Ok(self.outbox.lock().release(instance))
    }

    /// Take the batches that are due, or all: (instance, payload).
    pub fn drain(&self, now: u64, force: bool) -> Vec<(CompactString, Vec<u8>)> {
        self.outbox.lock().drain(now, force)
    }

    /// Nanoseconds until a batch is due, None when all are empty.
    pub fn next_due(&self, now: u64) -> Option<u64> {
        self.outbox.lock().next_due(now)
    }

    fn send(&self, record: &Record, now: u64, targets: impl FnOnce(&Table) -> Targets) -> usize {
        let mut outbox = self.outbox.lock();
        let targets = targets(&self.table);
        targets
            .iter()
            .for_each(|&instance| with_target(&self.table, instance, |target| outbox.send(target, record, now)));
        targets.len()
    }

    fn send_in_lane(&self, record: &Record, now: u64, targets: impl FnOnce(&Table) -> Targets) -> Result<usize> {
        let mut outbox = self.outbox.lock();
        outbox.check_rises(record.lane, record.seq)?;
        let targets = targets(&self.table);
        targets.iter().for_each(|&instance| {
            with_target(&self.table, instance, |target| outbox.send_in_lane(target, record, now));
        });
        outbox.advance(record.lane, record.seq)?;
        Ok(targets.len())
    }
}

fn check_each_rises(events: &[Stored]) -> Result<()> {
    match events.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        Some(pair) => Err(Error::InvalidArgument(format!("seq {} follows {}", pair[1].0, pair[0].0))),
        None => Ok(()),
    }
}

fn channel_targets(table: &Table, channel: &str) -> Targets {
    Id::new(channel, "channel").map_or_else(|_| Targets::new(), |channel| table.channel_targets(&channel))
}

fn user_targets(table: &Table, user: &str) -> Targets {
    Id::new(user, "user").map_or_else(|_| Targets::new(), |user| table.user_targets(&user))
}

fn known_instance(table: &Table, instance: &str) -> Option<u32> {
    table.instances.find(&Id::new(instance, "instance").ok()?)
}

fn with_target<R>(table: &Table, instance: u32, send: impl FnOnce(Target) -> R) -> R {
    let name = table.instances.names().name(instance);
    send(Target { instance, name: &name })
}
