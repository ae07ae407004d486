//! `fanout_engine::LogCache` for Python, with the deliveries of a log and an engine that Python code uses too.

use fanout_engine::{Span, Wanted};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::arguments::{Natural, Text, natural_of, string_of};
use crate::deliveries::Deliveries;
use crate::engine::Engine;
use crate::errors::CoreResult;
use crate::gil::{released, released_unless};
use crate::lists::{Naturals, items};
use crate::mismatch::{no_text, wrong_length};
use crate::names;
use crate::repr;

#[doc = doc!("LogCache")]
#[pyclass(frozen, module = "fanout._core")]
pub struct LogCache {
    cache: fanout_engine::LogCache,
    engine: Py<Engine>,
}

/// A user of more channels is looked up without the GIL.
const FEW: usize = 2_000;

#[pymethods]
impl LogCache {
    #[new]
    fn new(
        engine: Py<Engine>,
        partitions: Natural<names::Partitions, u32>,
        most_bytes: Natural<names::MostBytes, usize>,
    ) -> CoreResult<Self> {
        Ok(Self { cache: fanout_engine::LogCache::new(partitions.0, most_bytes.0)?, engine })
    }

    fn __repr__(&self) -> String {
        let (bytes, chunks, channels) = self.cache.sizes();
        let sizes = [("bytes", bytes), ("chunks", chunks), ("channels", channels)];
        repr::object("LogCache", sizes.map(|(name, size)| (name, repr::plain(size))))
    }

    #[doc = doc!("LogCache.bytes")]
    #[getter]
    fn bytes(&self) -> usize {
        self.cache.sizes().0
    }

    #[doc = doc!("LogCache.missing")]
    #[pyo3(
        signature = (after, upto, *, with_frames = false),
        text_signature = "($self, after, upto, *, with_frames=False)"
    )]
    fn missing(
        &self,
        after: Natural<names::After, u64>,
        upto: Natural<names::Upto, u64>,
        with_frames: bool,
    ) -> Option<(u64, u64)> {
        self.cache.missing(after.0, upto.0, with_frames)
    }

    #[doc = doc!("LogCache.add")]
    fn add(
        &self,
        py: Python<'_>,
        after: Natural<names::After, u64>,
        upto: Natural<names::Upto, u64>,
        events: &Deliveries,
    ) -> CoreResult<usize> {
        released(py, || Ok(self.cache.add(after.0, upto.0, events.timed_events())))
    }

    #[doc = doc!("LogCache.count")]
    #[pyo3(
        signature = (user, points, upto, spans = GivenSpans::default()),
        text_signature = "($self, user, points, upto, spans=())"
    )]
    fn count(
        &self,
        py: Python<'_>,
        user: Text<names::User>,
        points: Naturals<names::Points, u64>,
        upto: Natural<names::Upto, u64>,
        spans: GivenSpans,
    ) -> PyResult<usize> {
        let wanted = Wanted { user: &user, points: &points.0, spans: &spans.borrow()? };
        let engine = self.engine.get().core();
        let brief = engine.membership_count(wanted.user).is_ok_and(|channels| channels <= FEW);
        Ok(released_unless(brief, py, || self.cache.count(engine, &wanted, upto.0))?)
    }

    #[doc = doc!("LogCache.next")]
    #[pyo3(
        signature = (user, points, after, upto, most, spans = GivenSpans::default()),
        text_signature = "($self, user, points, after, upto, most, spans=())"
    )]
    #[expect(clippy::too_many_arguments, reason = "they say what one client wants")]
    fn next<'py>(
        &self,
        py: Python<'py>,
        user: Text<names::User>,
        points: Naturals<names::Points, u64>,
        after: Natural<names::After, u64>,
        upto: Natural<names::Upto, u64>,
        most: Natural<names::Most, usize>,
        spans: GivenSpans,
    ) -> PyResult<(Bound<'py, PyBytes>, u64, usize)> {
        let wanted = Wanted { user: &user, points: &points.0, spans: &spans.borrow()? };
        let engine = self.engine.get().core();
        let brief = engine.membership_count(wanted.user).is_ok_and(|channels| channels <= FEW);
        let frames = released_unless(brief, py, || self.cache.next(engine, &wanted, after.0, upto.0, most.0))?;
        Ok((PyBytes::new(py, &frames.bytes), frames.upto, frames.count))
    }

    #[doc = doc!("LogCache.time_upto")]
    fn time_upto(&self, seq: Natural<names::Seq, u64>) -> Option<u64> {
        self.cache.time_upto(seq.0)
    }

    #[doc = doc!("LogCache.forget")]
    fn forget(&self, upto: Natural<names::Upto, u64>) {
        self.cache.forget(upto.0);
    }

    #[doc = doc!("LogCache.clear")]
    fn clear(&self) {
        self.cache.clear();
    }
}

/// (channel, from, until) of each, the times at which a user was a member.
#[derive(Default)]
struct GivenSpans<'py>(Vec<(Bound<'py, PyString>, u64, u64)>);

impl<'py> FromPyObject<'_, 'py> for GivenSpans<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        items(&object, "spans", given_span).map(Self)
    }
}

fn given_span<'py>(index: usize, tuple: &Bound<'py, PyTuple>) -> PyResult<(Bound<'py, PyString>, u64, u64)> {
    if tuple.len() != 3 {
        return Err(wrong_length(format_args!("spans[{index}]"), "(channel, from, until)", tuple.len()));
    }
    let channel = string_of(&tuple.get_item(0)?, format_args!("spans[{index}][0]"))?;
    let time = |at| natural_of(&tuple.get_item(at)?, format_args!("spans[{index}][{at}]"));
    Ok((channel, time(1)?, time(2)?))
}

impl GivenSpans<'_> {
    fn borrow(&self) -> PyResult<Vec<Span<'_>>> {
        let mut spans = Vec::with_capacity(self.0.len());
        for (index, (channel, from, until)) in self.0.iter().enumerate() {
            let text = channel.to_str().map_err(|_| no_text(format_args!("spans[{index}][0]"), channel))?;
            spans.push(Span { channel: text, from: *from, until: *until });
        }
        Ok(spans)
    }
}
