//! Event -> targets -> batches.
//!
//! An event is checked, and its body written, before anything is locked. Bulk calls are routed in chunks: the
//! targets of a chunk are looked up together, and the outbox is locked once for a chunk.

use std::ops::Range;

use compact_str::CompactString;

use crate::engine::core::Engine;
use crate::error::{Error, Result};
use crate::events::batch::Batch;
use crate::events::bodies::{BlockWriter, BodyRef};
use crate::events::chunks::{Chunk, ClientFormOptions, RoutedEvent, chunks};
use crate::events::coding::EPHEMERAL;
use crate::events::frame::check_event_within;
use crate::events::stored::{StoredEvent, StoredKind};
use crate::names::ids::{Id, Ids, check, check_at};
use crate::outbox::core::{Outbox, Targets};
use crate::sync::MutexGuard;
use crate::table::channel_rows::InstanceIds;
use crate::table::core::Table;

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
        check_event_within(self.max_event(), event)?;
        let targets = |table: &Table| {
            let excluded = exclude.and_then(|instance| instance_of(table, instance));
            let mut targets = channel_targets(table, channel);
            targets.retain(|instance| Some(*instance) != excluded);
            targets
        };
        Ok(self.send_one(Some(channel), actor, event, now, targets))
    }

    /// [`Engine::route`] for several events; nothing is enqueued unless all are valid. Returns the number of targets of
    /// all.
    pub fn route_many(&self, events: &[(&str, &[u8])], now: u64) -> Result<usize> {
        let limit = self.max_event();
        for (index, (channel, event)) in events.iter().enumerate() {
            check_at(channel, format_args!("events[{index}][0]"))?;
            check_event_within(limit, event)?;
        }
        let mut routed = 0;
        for events in chunks(events, |(_, event)| event.len()) {
            let chunk = Chunk::of_ephemeral(events);
            routed += self.send_chunk(&chunk, |outbox, routed, targets| {
                routed.body(&chunk.block).into_iter().for_each(|body| outbox.send(targets, body, now));
                Ok(())
            })?;
        }
        Ok(routed)
    }

    /// Enqueue an ephemeral event for every instance that the user is on; the number of targets.
    pub fn route_user(&self, user: &str, event: &[u8], now: u64) -> Result<usize> {
        check(user, "user")?;
        check_event_within(self.max_event(), event)?;
        let targets = |table: &Table| user_targets(table, user);
        Ok(self.send_one(None, Some(user), event, now, targets))
    }

    /// Begin to route a lane that another reader has handled up to `position`. Lane 0 is for ephemeral events.
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

    /// Route stored events of one kind, in rising seq; (seq, reason) of each that can never be delivered.
    ///
    /// `part` is the partition number that clients see, if the kind shows it.
    pub fn route_stored(
        &self,
        kind: StoredKind,
        lane: u32,
        part: u32,
        events: &[StoredEvent],
        now: u64,
    ) -> Result<Vec<(u64, String)>> {
        check_each_rises(events)?;
        let mut refused = Vec::new();
        let options = ClientFormOptions { kind, part, limit: self.max_event() };
        let write = |events| Chunk::of_stored(options, events, &mut refused);
        let written: Vec<_> = chunks(events, |event| event.payload.len()).map(write).collect();
        let _turn = self.lanes.lock();
        self.outbox.lock().check_rises(lane, events.first().map_or(u64::MAX, |event| event.seq))?;
        for chunk in &written {
            self.send_chunk(chunk, |outbox, routed, targets| match routed.body(&chunk.block) {
                Some(body) => outbox.send_in_lane(targets, lane, routed.seq, body, now),
                None => outbox.advance(lane, routed.seq),
            })?;
        }
        Ok(refused)
    }

    /// Whether another thread moves a lane now, so that a call that moves one waits for all that it routes.
    #[must_use]
    pub fn lanes_are_busy(&self) -> bool {
        self.lanes.is_locked()
    }

    /// Note that everything of the lane up to `seq` was handled. A seq at or below the lane's position changes nothing.
    pub fn advance(&self, lane: u32, seq: u64) -> Result<()> {
        let _turn = self.lanes.lock();
        self.outbox.lock().advance(lane, seq)
    }

    /// Enqueue the position of each open lane for every instance; returns the number of instances.
    pub fn mark(&self, now: u64) -> usize {
        let mut outbox = self.outbox.lock();
        let table = &self.table;
        let instances = occupied_instances(table);
        outbox.mark(targets(&instances, &|instance| name_of(table, instance)), now)
    }

    /// Send an instance no stored event and no mark, because the table does not have all its users. It gets ephemeral
    /// events.
    ///
    /// The `prev` of the first event or mark after [`Engine::resume`] shows the instance that it may have missed
    /// events.
    pub fn suspend(&self, instance: &str) -> Result<()> {
        check(instance, "instance")?;
        let mut outbox = self.outbox.lock();
        let known = instance_of(&self.table, instance);
        outbox.suspend(instance, known);
        Ok(())
    }

    /// Send an instance stored events and marks again; whether it was suspended.
    pub fn resume(&self, instance: &str) -> Result<bool> {
        check(instance, "instance")?;
        let mut outbox = self.outbox.lock();
        let known = instance_of(&self.table, instance);
        Ok(outbox.resume(instance, known))
    }

    /// Take the batches that are due, or all: (instance, batch).
    pub fn take(&self, now: u64, force: bool) -> Vec<(CompactString, Batch)> {
        self.outbox.lock().take(now, force)
    }

    /// [`Engine::take`], and write them: (instance, payload).
    pub fn drain(&self, now: u64, force: bool) -> Vec<(CompactString, Vec<u8>)> {
        self.take(now, force).into_iter().map(|(instance, batch)| (instance, batch.to_vec())).collect()
    }

    /// Nanoseconds until a batch is due, None when all are empty.
    pub fn next_due(&self, now: u64) -> Option<u64> {
        self.outbox.lock().next_due(now)
    }

    /// Write the body of an ephemeral event, then send it under one lock of the outbox; the number of its targets.
    fn send_one(
        &self,
        channel: Option<&str>,
        user: Option<&str>,
        event: &[u8],
        now: u64,
        find: impl FnOnce(&Table) -> InstanceIds,
    ) -> usize {
        let (block, range) = BlockWriter::of_one(EPHEMERAL, channel, user, event);
        let mut outbox = self.outbox.lock();
        let table = &self.table;
        let found = find(table);
        outbox.copied += block.len();
        let name = |instance| name_of(table, instance);
        outbox.send(targets(&found, &name), BodyRef { block: &block, range }, now);
        found.len()
    }

    /// Enqueue the events of a chunk for their targets, under one lock of the outbox; returns the number of targets.
    fn send_chunk(
        &self,
        chunk: &Chunk,
        mut send: impl FnMut(&mut Outbox, &RoutedEvent, Targets) -> Result<()>,
    ) -> Result<usize> {
        let mut outbox = self.outbox.lock();
        let table = &self.table;
        let found = chunk_targets(table, &chunk.events);
        outbox.copied += chunk.block.len();
        for (routed, found) in chunk.events.iter().zip(found.iter()) {
            send(&mut outbox, routed, targets(found, &|instance| name_of(table, instance)))?;
        }
        MutexGuard::unlock_fair(outbox);
        Ok(found.iter().map(<[u32]>::len).sum())
    }
}

fn check_each_rises(events: &[StoredEvent]) -> Result<()> {
    match events.windows(2).find(|pair| pair[0].seq >= pair[1].seq) {
        Some(pair) => Err(Error::InvalidArgument(format!("seq {} follows {}", pair[1].seq, pair[0].seq))),
        None => Ok(()),
    }
}

fn targets<'a>(instances: &'a [u32], name: &'a dyn Fn(u32) -> CompactString) -> Targets<'a> {
    Targets { instances, name }
}

/// The instances of several events.
struct ManyInstances {
    instances: Vec<u32>,
    spans: Vec<Range<usize>>,
}

impl ManyInstances {
    fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.spans.iter().map(|span| &self.instances[span.clone()])
    }

    /// Add instances to those of an event, each once.
    fn add(&mut self, event: usize, more: &[u32]) {
        let mut all = InstanceIds::from_slice(&self.instances[self.spans[event].clone()]);
        all.extend_from_slice(more);
        all.sort_unstable();
        all.dedup();
        let start = self.instances.len();
        self.instances.extend_from_slice(&all);
        self.spans[event] = start..self.instances.len();
    }
}

// The questions of routing to the table.

fn channel_targets(table: &Table, channel: &str) -> InstanceIds {
    Id::new(channel, "channel").map_or_else(|_| InstanceIds::new(), |channel| table.channel_targets(&channel))
}

/// The instances of several events, in one pass over the channels. An event whose channel is no id has none; it was
/// refused.
fn chunk_targets(table: &Table, events: &[RoutedEvent]) -> ManyInstances {
    let mut found = ManyInstances { instances: Vec::new(), spans: Vec::new() };
    let (mut ids, mut indices) = (Ids::default(), Vec::new());
    for routed in events {
        if ids.push(routed.channel.as_bytes(), "channel").is_ok() {
            indices.push(found.spans.len());
        }
        found.spans.push(0..0);
    }
    let mut targets = InstanceIds::new();
    table.channels.read_many(ids, |index, view| {
        targets.clear();
        view.instances(table.instances.subscriptions(), &mut targets);
        let start = found.instances.len();
        found.instances.extend_from_slice(&targets);
        found.spans[indices[index]] = start..found.instances.len();
    });
    for (event, routed) in events.iter().enumerate() {
        if let Some(user) = routed.also {
            found.add(event, &user_targets(table, user));
        }
    }
    found
}

fn user_targets(table: &Table, user: &str) -> InstanceIds {
    Id::new(user, "user").map_or_else(|_| InstanceIds::new(), |user| table.user_targets(&user))
}

/// The instances that hold a user.
fn occupied_instances(table: &Table) -> InstanceIds {
    table.instances.occupied().into()
}

fn instance_of(table: &Table, name: &str) -> Option<u32> {
    table.instances.find(&Id::new(name, "instance").ok()?)
}

fn name_of(table: &Table, instance: u32) -> CompactString {
    table.instances.names().name(instance)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::engine::core::{Config, MIN_BATCH};
    use crate::events::batch::Decoder;

    const BULK: [(&str, &[u8]); 3] = [("c", b"{}"); 3];
    const OTHER: &[u8] = br#"{"other":1}"#;

    /// The index of the event of somebody who comes during the first of two chunks.
    fn index_of_one_who_waits() -> Option<usize> {
        let engine = Engine::new(Config {
            flush_interval: 0,
            flush_events: 1,
            max_batch: 1 << 20,
            cache_users: 0,
            cache_ttl: 0,
            seed: None,
        })
        .unwrap();
        engine.user_online("ann", "i1", Some(Ids::of(["c"], "channel").unwrap()), 0).unwrap();
        let begun = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !begun.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                engine.route("c", OTHER, None, None, 0)
            });
            for chunk in [Chunk::of_ephemeral(&BULK), Chunk::of_ephemeral(&BULK)] {
                let send = |outbox: &mut Outbox, routed: &RoutedEvent, targets: Targets| {
                    outbox.send(targets, routed.body(&chunk.block).unwrap(), 0);
                    if !begun.swap(true, Ordering::AcqRel) {
                        thread::sleep(Duration::from_millis(20)); // by now the other waits for the outbox
                    }
                    Ok(())
                };
                assert_eq!(engine.send_chunk(&chunk, send), Ok(BULK.len()));
            }
        });
        let batches = engine.drain(0, true);
        Decoder::new(&batches[0].1).unwrap().position(|record| record.unwrap().event == OTHER)
    }

    fn engine_of(max_batch: usize) -> Result<Engine> {
        let engine = Engine::new(Config {
            flush_interval: 0,
            flush_events: 1,
            max_batch,
            cache_users: 0,
            cache_ttl: 0,
            seed: None,
        })?;
        engine.user_online("ann", "i1", Some(Ids::of(["c"], "channel").unwrap()), 0).unwrap();
        Ok(engine)
    }

    fn of_length(length: usize) -> String {
        format!(r#"{{"a":"{}"}}"#, "x".repeat(length - 8))
    }

    #[test]
    fn the_longest_event_makes_no_batch_that_is_too_long() {
        let name = "n".repeat(128);
        let engine = engine_of(8_192).unwrap();
        engine.user_online("ann", "i1", Some(Ids::of([name.as_str()], "channel").unwrap()), 0).unwrap();
        let longest = of_length(engine.max_event());
        engine.route(&name, longest.as_bytes(), None, Some(&name), 0).unwrap();
        engine.open_lane(u32::MAX, u64::MAX, 1 << 63).unwrap();
        let stored = StoredEvent { seq: u64::MAX, channel: &name, payload: longest.as_bytes(), also: Some(&name) };
        assert_eq!(engine.route_stored(StoredKind::Member, u32::MAX, 0, &[stored], 0), Ok(Vec::new()));
        let batches = engine.drain(0, true);
        assert_eq!(batches.len(), 2);
        assert!(batches.iter().all(|(_, batch)| batch.len() <= 8_192));
        for error in [
            engine.route(&name, of_length(longest.len() + 1).as_bytes(), None, None, 0),
            engine.route_many(&[(&name, of_length(longest.len() + 1).as_bytes())], 0),
            engine.route_user("ann", of_length(longest.len() + 1).as_bytes(), 0),
        ] {
            assert!(error.unwrap_err().to_string().contains("too long for the bus"));
        }
    }

    #[test]
    fn the_limit_follows_the_bus_and_is_not_below_the_least() {
        let engine = engine_of(1 << 20).unwrap();
        let event = of_length(100_000);
        assert_eq!(engine.route("c", event.as_bytes(), None, None, 0), Ok(1));
        engine.set_max_batch(65_536).unwrap();
        assert_eq!(engine.max_batch(), 65_536);
        assert!(engine.route("c", event.as_bytes(), None, None, 0).is_err());
        assert!(engine.set_max_batch(MIN_BATCH - 1).is_err());
        assert!(engine_of(MIN_BATCH - 1).is_err());
        assert!(engine_of(1 << 30).is_ok() && engine_of((1 << 30) + 1).is_err());
    }

    #[test]
    fn who_routes_beside_a_bulk_call_waits_for_one_slice() {
        assert!((0..20).any(|_| index_of_one_who_waits() == Some(BULK.len())));
    }
}
