//! Batches and their records for Python.

use fanout_engine::{BatchPosition, Check, Decoder, RecordKind, text_frame_head};
use parking_lot::Mutex;
use pyo3::exceptions::PyLookupError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::arguments::{BytesLike, Natural};
use crate::errors::CoreResult;
use crate::gil::released_unless;
use crate::names;
use crate::repr;

#[doc = doc!("BatchEvent")]
#[pyclass(frozen, module = "fanout._core")]
pub struct BatchEvent {
    #[doc = doc!("BatchEvent.kind")]
    #[pyo3(get)]
    kind: Option<&'static str>,
    #[doc = doc!("BatchEvent.lane")]
    #[pyo3(get)]
    lane: u32,
    #[doc = doc!("BatchEvent.epoch")]
    #[pyo3(get)]
    epoch: u64,
    #[doc = doc!("BatchEvent.prev")]
    #[pyo3(get)]
    prev: u64,
    #[doc = doc!("BatchEvent.seq")]
    #[pyo3(get)]
    seq: u64,
    #[doc = doc!("BatchEvent.channel")]
    #[pyo3(get)]
    channel: Option<Py<PyString>>,
    #[doc = doc!("BatchEvent.user")]
    #[pyo3(get)]
    user: Option<Py<PyString>>,
    #[doc = doc!("BatchEvent.frame")]
    #[pyo3(get)]
    frame: Py<PyBytes>,
    event_length: usize,
}

#[pymethods]
impl BatchEvent {
    fn __repr__(&self, py: Python<'_>) -> String {
        let text = |name: &Option<Py<PyString>>| {
            let name = name.as_ref().map(|name| name.bind(py).to_string_lossy().into_owned());
            repr::text(name.as_deref())
        };
        let values = [
            ("kind", repr::text(self.kind)),
            ("lane", repr::plain(self.lane)),
            ("epoch", repr::plain(self.epoch)),
            ("prev", repr::plain(self.prev)),
            ("seq", repr::plain(self.seq)),
            ("channel", text(&self.channel)),
            ("user", text(&self.user)),
            ("event", repr::bytes(self.event_bytes(py))),
        ];
        repr::object("BatchEvent", values)
    }

    #[doc = doc!("BatchEvent.event")]
    #[getter]
    fn event<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.event_bytes(py))
    }
}

impl BatchEvent {
    fn event_bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        let frame = self.frame.as_bytes(py);
        &frame[frame.len() - self.event_length..]
    }

    /// Convert a record that a decoder has read.
    pub fn new(py: Python<'_>, record: &fanout_engine::BatchEvent) -> PyResult<Self> {
        let string = |name: &str| PyString::new(py, name).unbind();
        let frame = if record.event.is_empty() { PyBytes::new(py, b"") } else { frame(py, record.event)? };
        Ok(Self {
            kind: name_of(record.kind),
            lane: record.lane,
            epoch: record.epoch,
            prev: record.prev,
            seq: record.seq,
            channel: record.channel.map(string),
            user: record.user.map(string),
            frame: frame.unbind(),
            event_length: record.event.len(),
        })
    }
}

fn name_of(kind: RecordKind) -> Option<&'static str> {
    match kind {
        RecordKind::Ephemeral => Some("ephemeral"),
        RecordKind::Mark => Some("mark"),
        RecordKind::Stored(kind) => Some(kind.name()),
        RecordKind::Unknown => None,
    }
}

#[doc = doc!("InboundBatch")]
#[pyclass(frozen, module = "fanout._core")]
pub struct InboundBatch {
    payload: Py<PyBytes>,
    position: Mutex<BatchPosition>,
}

#[pymethods]
impl InboundBatch {
    #[new]
    fn new(payload: BytesLike<'_, names::Payload>) -> CoreResult<Self> {
        Decoder::new(&payload)?;
        Ok(Self { payload: payload.0.unbind(), position: Mutex::default() })
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let is_done = self.is_done(py).is_ok_and(|is_done| is_done);
        repr::object("InboundBatch", [("bytes", repr::plain(self.__len__(py))), ("is_done", repr::truth(is_done))])
    }

    /// The bytes of the whole batch.
    fn __len__(&self, py: Python<'_>) -> usize {
        self.payload.as_bytes(py).len()
    }

    #[doc = doc!("InboundBatch.is_done")]
    #[getter]
    fn is_done(&self, py: Python<'_>) -> CoreResult<bool> {
        Ok(Decoder::resume(self.payload.as_bytes(py), *self.position.lock())?.is_done())
    }

    #[doc = doc!("InboundBatch.newest")]
    fn newest(
        &self,
        py: Python<'_>,
        lane: Natural<names::Lane, u32>,
        progress: &LaneProgress,
    ) -> CoreResult<(u64, bool)> {
        let rest = Decoder::resume(self.payload.as_bytes(py), *self.position.lock())?;
        Ok(progress.progress.lock().newest(lane.0, rest.map_while(fanout_engine::Result::ok)))
    }
}

impl InboundBatch {
    /// Continue to deliver the batch; the next call continues where this one stops. After an error the rest is dropped.
    pub fn go_on<'py, T>(
        &'py self,
        py: Python<'py>,
        deliver: impl FnOnce(&mut Decoder<'py>) -> fanout_engine::Result<T>,
    ) -> CoreResult<T> {
        let mut position = self.position.lock();
        let mut decoder = Decoder::resume(self.payload.as_bytes(py), *position)?;
        let done = deliver(&mut decoder);
        *position = decoder.at();
        Ok(done?)
    }
}

/// The most lanes that `repr` shows.
const SHOWN_LANES: usize = 8;

#[doc = doc!("LaneProgress")]
#[pyclass(frozen, module = "fanout._core")]
#[derive(Default)]
pub struct LaneProgress {
    pub progress: Mutex<fanout_engine::LaneProgress>,
}

#[pymethods]
impl LaneProgress {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __repr__(&self) -> String {
        let progress = self.progress.lock();
        let upto = |lane| format!("{lane}: {}", progress.upto(lane).unwrap_or_default());
        let shown: Vec<String> = progress.lanes().take(SHOWN_LANES).map(upto).collect();
        let more = if progress.lanes().nth(SHOWN_LANES).is_some() { ", ..." } else { "" };
        repr::object("LaneProgress", [("upto", format!("{{{}{more}}}", shown.join(", ")))])
    }

    #[doc = doc!("LaneProgress.advance")]
    #[pyo3(signature = (lane, upto, *, plain), text_signature = "($self, lane, upto, *, plain)")]
    fn advance(&self, lane: Natural<names::Lane, u32>, upto: Natural<names::Upto, u64>, plain: bool) {
        self.progress.lock().advance(lane.0, upto.0, plain);
    }

    #[doc = doc!("LaneProgress.upto")]
    fn upto(&self, lane: Natural<names::Lane, u32>) -> Option<u64> {
        self.progress.lock().upto(lane.0)
    }

    #[doc = doc!("LaneProgress.is_repeat")]
    fn is_repeat(&self, event: BytesLike<'_, names::Event>) -> bool {
        self.progress.lock().is_repeat(&event)
    }

    #[doc = doc!("LaneProgress.lanes")]
    fn lanes(&self) -> Vec<u32> {
        self.progress.lock().lanes().collect()
    }

    #[doc = doc!("LaneProgress.check")]
    fn check(&self, record: &BatchEvent) -> PyResult<&'static str> {
        let BatchEvent { lane, epoch, prev, seq, .. } = *record;
        let checked = fanout_engine::BatchEvent { lane, epoch, prev, seq, ..fanout_engine::BatchEvent::default() };
        match self.progress.lock().check(&checked) {
            Some(Check::Stale) => Ok("stale"),
            Some(Check::Gap) => Ok("gap"),
            Some(Check::Next) => Ok("next"),
            None => Err(PyLookupError::new_err(format!("lane {lane} is not known"))),
        }
    }
}

/// A batch of so many bytes is read in some ten microseconds.
const SHORT_BATCH: usize = 16 << 10;

#[doc = doc!("decode_batch")]
#[pyfunction]
pub fn decode_batch(py: Python<'_>, payload: BytesLike<'_, names::Payload>) -> PyResult<Vec<BatchEvent>> {
    let payload = &*payload;
    let brief = payload.len() <= SHORT_BATCH;
    let records: CoreResult<Vec<_>> = released_unless(brief, py, || Decoder::new(payload)?.collect());
    records?.iter().map(|record| BatchEvent::new(py, record)).collect()
}

/// An event in an unmasked, final text frame.
pub fn frame<'py>(py: Python<'py>, event: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let head = text_frame_head(event.len());
    let head = head.as_ref();
    PyBytes::new_with(py, head.len() + event.len(), |frame| {
        let (front, back) = frame.split_at_mut(head.len());
        front.copy_from_slice(head);
        back.copy_from_slice(event);
        Ok(())
    })
}
