//! The clocks of an engine: those of the machine, or one that a simulation sets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fanout_engine::Moment;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arguments::Natural;
use crate::mismatch::wrong_type;
use crate::names;
use crate::repr;

#[doc = doc!("ManualClock")]
#[pyclass(frozen, module = "fanout._core")]
pub struct ManualClock {
    monotonic: AtomicU64,
    unix: AtomicU64,
}

#[pymethods]
impl ManualClock {
    #[new]
    #[pyo3(
        signature = (monotonic_ns = Natural::of(0), unix_ns = Natural::of(0)),
        text_signature = "(monotonic_ns=0, unix_ns=0)"
    )]
    fn new(monotonic_ns: Natural<names::MonotonicNs, u64>, unix_ns: Natural<names::UnixNs, u64>) -> Self {
        Self { monotonic: monotonic_ns.0.into(), unix: unix_ns.0.into() }
    }

    fn __repr__(&self) -> String {
        let times = [("monotonic_ns", self.monotonic()), ("unix_ns", self.unix())];
        repr::object("ManualClock", times.map(|(name, time)| (name, repr::plain(time))))
    }

    #[doc = doc!("ManualClock.set")]
    fn set(
        &self,
        monotonic_ns: Natural<names::MonotonicNs, u64>,
        unix_ns: Natural<names::UnixNs, u64>,
    ) -> PyResult<()> {
        let (to, from) = (monotonic_ns.0, self.monotonic.fetch_max(monotonic_ns.0, Ordering::Relaxed));
        if to < from {
            return Err(PyValueError::new_err(format!("monotonic_ns must not go back from {from} to {to}")));
        }
        self.unix.store(unix_ns.0, Ordering::Relaxed);
        Ok(())
    }
}

impl ManualClock {
    fn monotonic(&self) -> u64 {
        self.monotonic.load(Ordering::Relaxed)
    }

    fn unix(&self) -> u64 {
        self.unix.load(Ordering::Relaxed)
    }
}

/// The source of an engine's times. Reading it needs no GIL.
pub enum Clock {
    /// The machine's clocks, with the time from which `now` counts.
    Machine(Instant),
    /// A clock that Python sets, with its time from which `now` counts.
    Manual(Py<ManualClock>, u64),
}

impl Clock {
    /// Nanoseconds since the clock was made or taken; they never go back.
    pub fn now(&self) -> u64 {
        match self {
            Self::Machine(origin) => nanoseconds(origin.elapsed()),
            Self::Manual(clock, origin) => clock.get().monotonic() - origin,
        }
    }

    /// The same, and nanoseconds since the beginning of 1970, by a clock that may be set.
    pub fn moment(&self) -> Moment {
        let unix = match self {
            Self::Machine(_) => nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Self::Manual(clock, _) => clock.get().unix(),
        };
        Moment { now: self.now(), unix }
    }
}

/// The machine's clocks, from now on.
impl Default for Clock {
    fn default() -> Self {
        Self::Machine(Instant::now())
    }
}

/// A clock that was given, from its present time on.
impl FromPyObject<'_, '_> for Clock {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let clock = object.cast::<ManualClock>().map_err(|_| wrong_type("clock", "a ManualClock or None", &object))?;
        Ok(Self::Manual(clock.to_owned().unbind(), clock.get().monotonic()))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
