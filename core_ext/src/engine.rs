//! `fanout_engine::Engine` for Python: converts arguments and answers, and adds a clock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fanout_engine::{Batch, Config, MAX_BATCH, Moment, Name, StoredEvent};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFrozenSet};

use crate::arguments::{Event, Natural, borrow_event, ids, nanoseconds};
use crate::deliveries::StoredEvents;
use crate::errors::{CoreError, CoreResult};
use crate::gil::{give_way, released};
use crate::stored::{GivenEvent, Kind};

/// Bytes. A longer event is validated without the GIL; for a shorter one, releasing the GIL would cost more. The number
/// of targets does not matter: they share the payload, so each costs the same few nanoseconds.
const LONG_EVENT: usize = 16 << 10;

/// The bytes that a drain writes before it lets other threads run. They take some 0.25 ms, most of it for new memory.
const STRETCH: usize = 512 << 10;

#[doc = doc!("Engine")]
#[pyclass(frozen, module = "fanout._core")]
pub struct Engine {
    engine: fanout_engine::Engine,
    origin: Instant,
}

impl Engine {
    /// The engine of the Rust crate.
    pub fn core(&self) -> &fanout_engine::Engine {
        &self.engine
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now(), unix: unix() }
    }
}

/// Nanoseconds since the beginning of 1970, by a clock that may be set.
fn unix() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(
        signature = (
            flush_interval = 0.001, flush_events = Natural(100), cache_users = Natural(50_000), cache_ttl = 300.0,
            max_batch = Natural(MAX_BATCH)
        ),
        text_signature = "(flush_interval=0.001, flush_events=100, cache_users=50000, cache_ttl=300.0, max_batch=1048576)"
    )]
    fn new(
        flush_interval: f64,
        flush_events: Natural<usize>,
        cache_users: Natural<usize>,
        cache_ttl: f64,
        max_batch: Natural<usize>,
    ) -> PyResult<Self> {
        let config = config(flush_interval, flush_events, cache_users, cache_ttl, max_batch)?;
        let engine = fanout_engine::Engine::new(config).map_err(CoreError::from)?;
        Ok(Self { engine, origin: Instant::now() })
    }

    #[doc = doc!("Engine.restore")]
    #[staticmethod]
    #[pyo3(
        signature = (
            path, flush_interval = 0.001, flush_events = Natural(100), cache_users = Natural(50_000), cache_ttl = 300.0,
            max_batch = Natural(MAX_BATCH)
        ),
        text_signature = "(path, flush_interval=0.001, flush_events=100, cache_users=50000, cache_ttl=300.0, max_batch=1048576)"
    )]
    fn restore(
        py: Python<'_>,
        path: PathBuf,
        flush_interval: f64,
        flush_events: Natural<usize>,
        cache_users: Natural<usize>,
        cache_ttl: f64,
        max_batch: Natural<usize>,
    ) -> PyResult<Self> {
        let config = config(flush_interval, flush_events, cache_users, cache_ttl, max_batch)?;
        let (origin, moment) = (Instant::now(), Moment { now: 0, unix: unix() });
        let engine = released(py, || fanout_engine::Engine::restore(&path, config, moment))?;
        Ok(Self { engine, origin })
    }

    #[doc = doc!("Engine.snapshot")]
    #[pyo3(signature = (path, note = b"".as_slice()), text_signature = "($self, path, note=b'')")]
    fn snapshot(&self, py: Python<'_>, path: PathBuf, note: &[u8]) -> CoreResult<u64> {
        released(py, || self.engine.snapshot(&path, note, self.moment()))
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
        user: &str,
        instance: &str,
        channels: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let channels = channels.map(|channels| ids(channels, "channel")).transpose()?;
        Ok(released(py, || self.engine.user_online(user, instance, channels, self.now()))?)
    }

    #[doc = doc!("Engine.user_offline")]
    fn user_offline(&self, py: Python<'_>, user: &str, instance: &str) -> CoreResult<usize> {
        released(py, || self.engine.user_offline(user, instance))
    }

    #[doc = doc!("Engine.drop_instance")]
    fn drop_instance(&self, py: Python<'_>, instance: &str) -> CoreResult<usize> {
        released(py, || self.engine.drop_instance(instance))
    }

    #[doc = doc!("Engine.join")]
    fn join(&self, py: Python<'_>, user: &str, channel: &str) -> CoreResult<bool> {
        released(py, || self.engine.join(user, channel))
    }

    #[doc = doc!("Engine.leave")]
    fn leave(&self, py: Python<'_>, user: &str, channel: &str) -> CoreResult<bool> {
        released(py, || self.engine.leave(user, channel))
    }

    #[doc = doc!("Engine.forget")]
    fn forget(&self, py: Python<'_>, user: &str) -> CoreResult<()> {
        released(py, || self.engine.forget(user))
    }

    #[doc = doc!("Engine.forget_cached")]
    fn forget_cached(&self, py: Python<'_>) -> CoreResult<usize> {
        released(py, || Ok(self.engine.forget_cached()))
    }

    #[doc = doc!("Engine.instances")]
    fn instances<'py>(&self, py: Python<'py>, channel: &str) -> PyResult<Bound<'py, PyFrozenSet>> {
        frozen_set(py, &self.engine.instances(channel).map_err(CoreError::from)?)
    }

    #[doc = doc!("Engine.widths")]
    fn widths(&self, py: Python<'_>, channels: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
        let channels = ids(channels, "channel")?;
        Ok(released(py, || Ok(self.engine.widths(channels)))?)
    }

    #[doc = doc!("Engine.members")]
    fn members(&self, py: Python<'_>, channel: &str) -> CoreResult<BTreeMap<String, Vec<String>>> {
        let members = released(py, || self.engine.members(channel))?;
        Ok(members.into_iter().map(|(instance, users)| (instance.into(), owned(users))).collect())
    }

    #[doc = doc!("Engine.channels")]
    fn channels<'py>(&self, py: Python<'py>, user: &str) -> PyResult<Bound<'py, PyFrozenSet>> {
        frozen_set(py, &released(py, || self.engine.channels(user))?)
    }

    #[doc = doc!("Engine.membership_count")]
    fn membership_count(&self, user: &str) -> CoreResult<usize> {
        Ok(self.engine.membership_count(user)?)
    }

    #[doc = doc!("Engine.locations")]
    fn locations<'py>(&self, py: Python<'py>, user: &str) -> PyResult<Bound<'py, PyFrozenSet>> {
        frozen_set(py, &self.engine.locations(user).map_err(CoreError::from)?)
    }

    #[doc = doc!("Engine.is_member")]
    fn is_member(&self, user: &str, channel: &str) -> CoreResult<bool> {
        Ok(self.engine.is_member(user, channel)?)
    }

    #[doc = doc!("Engine.users")]
    fn users(&self, py: Python<'_>, instance: &str) -> CoreResult<Vec<String>> {
        Ok(owned(released(py, || self.engine.users(instance))?))
    }

    #[doc = doc!("Engine.users_page")]
    #[pyo3(signature = (instance, after = None))]
    fn users_page(&self, instance: &str, after: Option<Natural<u32>>) -> CoreResult<(Vec<String>, Option<u32>)> {
        let (names, more) = self.engine.users_page(instance, after.map(|after| after.0))?;
        Ok((owned(names), more))
    }

    #[doc = doc!("Engine.occupied_instances")]
    fn occupied_instances<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyFrozenSet>> {
        frozen_set(py, &released(py, || Ok(self.engine.occupied_instances()))?)
    }

    #[doc = doc!("Engine.digest")]
    fn digest(&self, instance: &str) -> CoreResult<(u64, u64)> {
        let digest = self.engine.digest(instance)?;
        Ok((digest.count, digest.hash))
    }

    #[doc = doc!("Engine.route")]
    #[pyo3(signature = (channel, event, exclude = None, actor = None))]
    fn route(
        &self,
        py: Python<'_>,
        channel: &str,
        event: &[u8],
        exclude: Option<&str>,
        actor: Option<&str>,
    ) -> CoreResult<usize> {
        let route = || self.engine.route(channel, event, exclude, actor, self.now());
        if event.len() > LONG_EVENT { released(py, route) } else { Ok(route()?) }
    }

    #[doc = doc!("Engine.route_many")]
    fn route_many(&self, py: Python<'_>, events: Vec<Event<'_>>) -> PyResult<usize> {
        let events: Vec<_> = events.iter().map(borrow_event).collect::<PyResult<_>>()?;
        Ok(released(py, || self.engine.route_many(&events, self.now()))?)
    }

    #[doc = doc!("Engine.route_user")]
    fn route_user(&self, py: Python<'_>, user: &str, event: &[u8]) -> CoreResult<usize> {
        let route = || self.engine.route_user(user, event, self.now());
        if event.len() > LONG_EVENT { released(py, route) } else { Ok(route()?) }
    }

    #[doc = doc!("Engine.open_lane")]
    fn open_lane(
        &self,
        py: Python<'_>,
        lane: Natural<u32>,
        epoch: Natural<u64>,
        position: Natural<u64>,
    ) -> CoreResult<()> {
        released(py, || self.engine.open_lane(lane.0, epoch.0, position.0))
    }

    #[doc = doc!("Engine.close_lane")]
    fn close_lane(&self, py: Python<'_>, lane: Natural<u32>) -> CoreResult<()> {
        released(py, || {
            self.engine.close_lane(lane.0);
            Ok(())
        })
    }

    #[doc = doc!("Engine.route_stored")]
    fn route_stored(
        &self,
        py: Python<'_>,
        kind: Kind,
        lane: Natural<u32>,
        part: Natural<u32>,
        events: StoredEvents<'_>,
    ) -> PyResult<Vec<(u64, String)>> {
        let route = |events: &[StoredEvent]| {
            released(py, || self.engine.route_stored(kind.0, lane.0, part.0, events, self.now()))
        };
        Ok(match events {
            StoredEvents::Delivered(deliveries) => route(&deliveries.get().events())?,
            StoredEvents::Given(events) => {
                route(&events.iter().map(GivenEvent::borrow).collect::<PyResult<Vec<_>>>()?)?
            }
        })
    }

    #[doc = doc!("Engine.advance")]
    fn advance(&self, py: Python<'_>, lane: Natural<u32>, seq: Natural<u64>) -> CoreResult<()> {
        released(py, || self.engine.advance(lane.0, seq.0))
    }

    #[doc = doc!("Engine.mark")]
    fn mark(&self, py: Python<'_>) -> CoreResult<usize> {
        released(py, || Ok(self.engine.mark(self.now())))
    }

    #[doc = doc!("Engine.suspend")]
    fn suspend(&self, py: Python<'_>, instance: &str) -> CoreResult<()> {
        released(py, || self.engine.suspend(instance))
    }

    #[doc = doc!("Engine.resume")]
    fn resume(&self, py: Python<'_>, instance: &str) -> CoreResult<bool> {
        released(py, || self.engine.resume(instance))
    }

    #[doc = doc!("Engine.drain")]
    #[pyo3(signature = (force = false))]
    fn drain<'py>(&self, py: Python<'py>, force: bool) -> PyResult<Vec<(String, Bound<'py, PyBytes>)>> {
        let batches = released(py, || Ok(self.engine.take(self.now(), force)))?;
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
    fn set_max_batch(&self, py: Python<'_>, max_batch: Natural<usize>) -> CoreResult<()> {
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

fn config(
    flush_interval: f64,
    flush_events: Natural<usize>,
    cache_users: Natural<usize>,
    cache_ttl: f64,
    max_batch: Natural<usize>,
) -> PyResult<Config> {
    Ok(Config {
        flush_interval: nanoseconds(flush_interval)?,
        flush_events: flush_events.0,
        max_batch: max_batch.0,
        cache_users: cache_users.0,
        cache_ttl: nanoseconds(cache_ttl)?,
    })
}

/// Write a batch into the `bytes` that are published. This is the only copy for an instance.
fn payload<'py>(py: Python<'py>, batch: &Batch, with_gil: bool) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, batch.len(), |payload| {
        if with_gil {
            batch.write(payload);
        } else {
            give_way(py, || batch.write(payload));
        }
        Ok(())
    })
}

fn owned(names: impl IntoIterator<Item = Name>) -> Vec<String> {
    names.into_iter().map(String::from).collect()
}

fn frozen_set<'py>(py: Python<'py>, names: &[Name]) -> PyResult<Bound<'py, PyFrozenSet>> {
    PyFrozenSet::new(py, names.iter().map(Name::as_str))
}
