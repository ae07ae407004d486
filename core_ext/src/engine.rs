//! `fanout_engine::Engine` for Python: converts arguments and answers, and adds a clock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fanout_engine::{MAX_BATCH, StoredEvent};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFrozenSet};

use crate::answers::{frozen_set, joined, owned, payload};
use crate::arguments::{BytesLike, Natural, Seconds, Text};
use crate::clock::Clock;
use crate::config::config;
use crate::deliveries::EventsArgument;
use crate::errors::{CoreError, CoreResult};
use crate::gil::{released, released_unless};
use crate::lists::{self, FEW_IDS, LONG_EVENT, are_few, borrow_events, with_ids, with_packed_ids};
use crate::names;
use crate::repr;
use crate::stored::{KindArgument, borrow_given};

/// Batches of so many bytes in all are taken out in some ten microseconds.
const FEW_PENDING: usize = 16 << 10;

/// The bytes that a drain writes before it lets other threads run. They take some 0.25 ms, most of it for new memory.
const STRETCH: usize = 512 << 10;

#[doc = doc!("Engine")]
#[pyclass(frozen, module = "fanout._core")]
pub struct Engine {
    engine: fanout_engine::Engine,
    clock: Clock,
}

impl Engine {
    /// The engine of the Rust crate.
    pub fn core(&self) -> &fanout_engine::Engine {
        &self.engine
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Whether a change of a user takes so little that the GIL stays.
    fn is_brief(&self, user: &str) -> CoreResult<bool> {
        Ok(self.engine.is_brief(user, FEW_IDS)?)
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(
        signature = (
            flush_interval = Seconds::of_milliseconds(1), flush_events = Natural::of(100),
            cache_users = Natural::of(50_000), cache_ttl = Seconds::of_milliseconds(300_000),
            max_batch = Natural::of(MAX_BATCH), clock = None, seed = None
        ),
        text_signature = "(flush_interval=0.001, flush_events=100, cache_users=50000, cache_ttl=300.0, max_batch=1048576, clock=None, seed=None)"
    )]
    fn new(
        flush_interval: Seconds<names::FlushInterval>,
        flush_events: Natural<names::FlushEvents, usize>,
        cache_users: Natural<names::CacheUsers, usize>,
        cache_ttl: Seconds<names::CacheTtl>,
        max_batch: Natural<names::MaxBatch, usize>,
        clock: Option<Clock>,
        seed: Option<Natural<names::Seed, u64>>,
    ) -> PyResult<Self> {
        let clock = clock.unwrap_or_default();
        let config = config(flush_interval, flush_events, cache_users, cache_ttl, max_batch, seed);
        let engine = fanout_engine::Engine::new(config).map_err(CoreError::from)?;
        Ok(Self { engine, clock })
    }

    fn __repr__(&self) -> String {
        repr::object("Engine", self.engine.summary().map(|(name, count)| (name, repr::plain(count))))
    }

    #[doc = doc!("Engine.restore")]
    #[expect(clippy::too_many_arguments, reason = "Python has names for them")]
    #[staticmethod]
    #[pyo3(
        signature = (
            path, flush_interval = Seconds::of_milliseconds(1), flush_events = Natural::of(100),
            cache_users = Natural::of(50_000), cache_ttl = Seconds::of_milliseconds(300_000),
            max_batch = Natural::of(MAX_BATCH), clock = None, seed = None
        ),
        text_signature = "(path, flush_interval=0.001, flush_events=100, cache_users=50000, cache_ttl=300.0, max_batch=1048576, clock=None, seed=None)"
    )]
    fn restore(
        py: Python<'_>,
        path: PathBuf,
        flush_interval: Seconds<names::FlushInterval>,
        flush_events: Natural<names::FlushEvents, usize>,
        cache_users: Natural<names::CacheUsers, usize>,
        cache_ttl: Seconds<names::CacheTtl>,
        max_batch: Natural<names::MaxBatch, usize>,
        clock: Option<Clock>,
        seed: Option<Natural<names::Seed, u64>>,
    ) -> PyResult<Self> {
        let clock = clock.unwrap_or_default();
        let config = config(flush_interval, flush_events, cache_users, cache_ttl, max_batch, seed);
        let engine = released(py, || fanout_engine::Engine::restore(&path, config, clock.moment()))?;
        Ok(Self { engine, clock })
    }

    #[doc = doc!("Engine.snapshot")]
    #[pyo3(signature = (path, note = None), text_signature = "($self, path, note=b'')")]
    fn snapshot(&self, py: Python<'_>, path: PathBuf, note: Option<BytesLike<'_, names::Note>>) -> CoreResult<u64> {
        let note = note.as_deref().unwrap_or_default();
        released(py, || self.engine.snapshot(&path, note, self.clock.moment()))
    }

    #[doc = doc!("Engine.snapshot_note")]
    #[getter]
    fn snapshot_note<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.engine.snapshot_note())
    }

    #[doc = doc!("Engine.user_online")]
    #[pyo3(signature = (user, instance, channels = None))]
    fn user_online(
        &self,
        py: Python<'_>,
        user: Text<names::User>,
        instance: Text<names::Instance>,
        channels: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let (user, instance) = (&*user, &*instance);
        let brief = self.is_brief(user)?;
        let place = |channels| self.engine.user_online(user, instance, channels, self.now());
        let Some(channels) = channels else {
            return Ok(released_unless(brief, py, || place(None))?);
        };
        match channels.cast::<PyBytes>() {
            Ok(packed) => with_packed_ids(packed, "channels", brief, |ids| place(Some(ids))),
            Err(_) => with_ids(channels, "channels", brief, |ids| place(Some(ids))),
        }
    }

    #[doc = doc!("Engine.user_offline")]
    fn user_offline(
        &self,
        py: Python<'_>,
        user: Text<names::User>,
        instance: Text<names::Instance>,
    ) -> CoreResult<usize> {
        let (user, instance) = (&*user, &*instance);
        released_unless(self.is_brief(user)?, py, || self.engine.user_offline(user, instance))
    }

    #[doc = doc!("Engine.drop_instance")]
    fn drop_instance(&self, py: Python<'_>, instance: Text<names::Instance>) -> CoreResult<usize> {
        let instance = &*instance;
        released(py, || self.engine.drop_instance(instance))
    }

    #[doc = doc!("Engine.join")]
    fn join(&self, py: Python<'_>, user: Text<names::User>, channel: Text<names::Channel>) -> CoreResult<bool> {
        let (user, channel) = (&*user, &*channel);
        released_unless(self.is_brief(user)?, py, || self.engine.join(user, channel))
    }

    #[doc = doc!("Engine.leave")]
    fn leave(&self, py: Python<'_>, user: Text<names::User>, channel: Text<names::Channel>) -> CoreResult<bool> {
        let (user, channel) = (&*user, &*channel);
        released_unless(self.is_brief(user)?, py, || self.engine.leave(user, channel))
    }

    #[doc = doc!("Engine.forget")]
    fn forget(&self, py: Python<'_>, user: Text<names::User>) -> CoreResult<()> {
        let user = &*user;
        released_unless(self.is_brief(user)?, py, || self.engine.forget(user))
    }

    #[doc = doc!("Engine.forget_cached")]
    fn forget_cached(&self, py: Python<'_>) -> CoreResult<usize> {
        released(py, || Ok(self.engine.forget_cached()))
    }

    #[doc = doc!("Engine.instances")]
    fn instances<'py>(&self, py: Python<'py>, channel: Text<names::Channel>) -> PyResult<Bound<'py, PyFrozenSet>> {
        frozen_set(py, &self.engine.instances(&channel).map_err(CoreError::from)?)
    }

    #[doc = doc!("Engine.widths")]
    fn widths(&self, channels: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
        with_ids(channels, "channels", true, |ids| Ok(self.engine.widths(ids)))
    }

    #[doc = doc!("Engine.members")]
    fn members(&self, py: Python<'_>, channel: Text<names::Channel>) -> CoreResult<BTreeMap<String, Vec<String>>> {
        let channel = &*channel;
        let members = released(py, || self.engine.members(channel))?;
        Ok(members.into_iter().map(|(instance, users)| (instance.into(), owned(users))).collect())
    }

    #[doc = doc!("Engine.channels")]
    fn channels<'py>(&self, py: Python<'py>, user: Text<names::User>) -> PyResult<Bound<'py, PyFrozenSet>> {
        let user = &*user;
        frozen_set(py, &released_unless(self.is_brief(user)?, py, || self.engine.channels(user))?)
    }

    #[doc = doc!("Engine.packed_channels")]
    fn packed_channels<'py>(&self, py: Python<'py>, user: Text<names::User>) -> PyResult<Bound<'py, PyBytes>> {
        let user = &*user;
        let pack = || self.engine.channels(user).map(|names| joined(&names));
        Ok(PyBytes::new(py, &released_unless(self.is_brief(user)?, py, pack)?))
    }

    #[doc = doc!("Engine.membership_count")]
    fn membership_count(&self, user: Text<names::User>) -> CoreResult<usize> {
        Ok(self.engine.membership_count(&user)?)
    }

    #[doc = doc!("Engine.locations")]
    fn locations<'py>(&self, py: Python<'py>, user: Text<names::User>) -> PyResult<Bound<'py, PyFrozenSet>> {
        frozen_set(py, &self.engine.locations(&user).map_err(CoreError::from)?)
    }

    #[doc = doc!("Engine.is_member")]
    fn is_member(&self, user: Text<names::User>, channel: Text<names::Channel>) -> CoreResult<bool> {
        Ok(self.engine.is_member(&user, &channel)?)
    }

    #[doc = doc!("Engine.users")]
    fn users(&self, py: Python<'_>, instance: Text<names::Instance>) -> CoreResult<Vec<String>> {
        let instance = &*instance;
        Ok(owned(released(py, || self.engine.users(instance))?))
    }

    #[doc = doc!("Engine.users_page")]
    #[pyo3(signature = (instance, after = None))]
    fn users_page(
        &self,
        instance: Text<names::Instance>,
        after: Option<Natural<names::After, u32>>,
    ) -> CoreResult<(Vec<String>, Option<u32>)> {
        let (names, more) = self.engine.users_page(&instance, after.map(|after| after.0))?;
        Ok((owned(names), more))
    }

    #[doc = doc!("Engine.occupied_instances")]
    fn occupied_instances<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyFrozenSet>> {
        frozen_set(py, &released(py, || Ok(self.engine.occupied_instances()))?)
    }

    #[doc = doc!("Engine.digest")]
    fn digest(&self, instance: Text<names::Instance>) -> CoreResult<(u64, u64)> {
        let digest = self.engine.digest(&instance)?;
        Ok((digest.count, digest.hash))
    }

    #[doc = doc!("Engine.route")]
    #[pyo3(signature = (channel, event, exclude = None, actor = None))]
    fn route(
        &self,
        py: Python<'_>,
        channel: Text<names::Channel>,
        event: BytesLike<'_, names::Event>,
        exclude: Option<Text<names::Exclude>>,
        actor: Option<Text<names::Actor>>,
    ) -> CoreResult<usize> {
        let (channel, event, exclude, actor) = (&*channel, &*event, exclude.as_deref(), actor.as_deref());
        let route = || self.engine.route(channel, event, exclude, actor, self.now());
        released_unless(event.len() <= LONG_EVENT, py, route)
    }

    #[doc = doc!("Engine.route_many")]
    fn route_many(&self, py: Python<'_>, events: &Bound<'_, PyAny>) -> PyResult<usize> {
        let given = lists::events(events)?;
        let events = borrow_events(&given)?;
        let few = are_few(events.len(), events.iter().map(|(_, event)| event.len()).sum());
        Ok(released_unless(few, py, || self.engine.route_many(&events, self.now()))?)
    }

    #[doc = doc!("Engine.route_user")]
    fn route_user(
        &self,
        py: Python<'_>,
        user: Text<names::User>,
        event: BytesLike<'_, names::Event>,
    ) -> CoreResult<usize> {
        let (user, event) = (&*user, &*event);
        released_unless(event.len() <= LONG_EVENT, py, || self.engine.route_user(user, event, self.now()))
    }

    #[doc = doc!("Engine.open_lane")]
    fn open_lane(
        &self,
        py: Python<'_>,
        lane: Natural<names::Lane, u32>,
        epoch: Natural<names::Epoch, u64>,
        position: Natural<names::Position, u64>,
    ) -> CoreResult<()> {
        released(py, || self.engine.open_lane(lane.0, epoch.0, position.0))
    }

    #[doc = doc!("Engine.close_lane")]
    fn close_lane(&self, py: Python<'_>, lane: Natural<names::Lane, u32>) -> CoreResult<()> {
        released(py, || {
            self.engine.close_lane(lane.0);
            Ok(())
        })
    }

    #[doc = doc!("Engine.route_stored")]
    fn route_stored(
        &self,
        py: Python<'_>,
        kind: KindArgument,
        lane: Natural<names::Lane, u32>,
        part: Natural<names::Part, u32>,
        events: EventsArgument<'_>,
    ) -> PyResult<Vec<(u64, String)>> {
        let route = |events: &[StoredEvent]| {
            let few = are_few(events.len(), events.iter().map(|event| event.payload.len()).sum());
            let brief = few && !self.engine.lanes_are_busy();
            released_unless(brief, py, || self.engine.route_stored(kind.0, lane.0, part.0, events, self.now()))
        };
        Ok(match events {
            EventsArgument::Delivered(deliveries) => route(&deliveries.get().events())?,
            EventsArgument::Given(events) => route(&borrow_given(&events)?)?,
        })
    }

    #[doc = doc!("Engine.advance")]
    fn advance(
        &self,
        py: Python<'_>,
        lane: Natural<names::Lane, u32>,
        seq: Natural<names::Seq, u64>,
    ) -> CoreResult<()> {
        let brief = !self.engine.lanes_are_busy();
        released_unless(brief, py, || self.engine.advance(lane.0, seq.0))
    }

    #[doc = doc!("Engine.mark")]
    fn mark(&self, py: Python<'_>) -> CoreResult<usize> {
        released(py, || Ok(self.engine.mark(self.now())))
    }

    #[doc = doc!("Engine.suspend")]
    fn suspend(&self, instance: Text<names::Instance>) -> CoreResult<()> {
        Ok(self.engine.suspend(&instance)?)
    }

    #[doc = doc!("Engine.resume")]
    fn resume(&self, instance: Text<names::Instance>) -> CoreResult<bool> {
        Ok(self.engine.resume(&instance)?)
    }

    #[doc = doc!("Engine.drain")]
    #[pyo3(signature = (force = false))]
    fn drain<'py>(&self, py: Python<'py>, force: bool) -> PyResult<Vec<(String, Bound<'py, PyBytes>)>> {
        let brief = self.engine.pending_bytes() <= FEW_PENDING;
        let batches = released_unless(brief, py, || Ok(self.engine.take(self.now(), force)))?;
        let mut stretch = 0;
        let written = batches.into_iter().map(|(name, batch)| {
            let with_gil = stretch + batch.len() <= STRETCH;
            stretch = if with_gil { stretch + batch.len() } else { 0 };
            Ok((name.into(), payload(py, &batch, with_gil)?))
        });
        written.collect()
    }

    #[doc = doc!("Engine.max_batch")]
    #[getter]
    fn max_batch(&self) -> usize {
        self.engine.max_batch()
    }

    #[setter]
    fn set_max_batch(&self, py: Python<'_>, max_batch: Natural<names::MaxBatch, usize>) -> CoreResult<()> {
        released(py, || self.engine.set_max_batch(max_batch.0))
    }

    #[doc = doc!("Engine.next_due")]
    fn next_due(&self) -> Option<f64> {
        self.engine.next_due(self.now()).map(|wait| Duration::from_nanos(wait).as_secs_f64())
    }

    #[doc = doc!("Engine.pending_bytes")]
    fn pending_bytes(&self) -> usize {
        self.engine.pending_bytes()
    }

    #[doc = doc!("Engine.stats")]
    fn stats(&self, py: Python<'_>) -> CoreResult<BTreeMap<&'static str, usize>> {
        Ok(released(py, || Ok(self.engine.stats()))?.into_iter().collect())
    }
}
