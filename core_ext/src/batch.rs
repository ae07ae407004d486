//! `fanout_engine`'s records, as Python reads them.

use fanout_engine::{Decoder, Place, Verdict, text_frame_head};
use parking_lot::Mutex;
use pyo3::exceptions::PyLookupError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::arguments::Natural;
use crate::errors::CoreResult;
use crate::gil::released;

/// One event or mark of a batch.
#[pyclass(frozen, module = "fanout._core")]
pub struct Record {
    #[pyo3(get)]
    lane: u32,
    #[pyo3(get)]
    epoch: u64,
    #[pyo3(get)]
    prev: u64,
    #[pyo3(get)]
    seq: u64,
    #[pyo3(get)]
    channel: Option<Py<PyString>>,
    #[pyo3(get)]
    user: Option<Py<PyString>>,
    #[pyo3(get)]
    frame: Py<PyBytes>,
    event_length: usize,
}

#[pymethods]
impl Record {
    #[getter]
    fn event<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let frame = self.frame.as_bytes(py);
        PyBytes::new(py, &frame[frame.len() - self.event_length..])
    }
}

impl Record {
    /// What a decoder read.
    pub fn new(py: Python<'_>, record: &fanout_engine::Record) -> PyResult<Self> {
        let string = |name: &str| PyString::new(py, name).unbind();
        let frame = if record.event.is_empty() { PyBytes::new(py, b"") } else { frame(py, record.event)? };
        Ok(Self {
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

/// A batch that is being delivered, and where that stands.
#[pyclass(frozen, module = "fanout._core")]
pub struct Arrival {
    payload: Py<PyBytes>,
    place: Mutex<Place>,
}

#[pymethods]
impl Arrival {
    #[new]
    fn new(payload: Bound<'_, PyBytes>) -> CoreResult<Self> {
        Decoder::new(payload.as_bytes())?;
        Ok(Self { payload: payload.unbind(), place: Mutex::default() })
    }

    /// Bytes of the whole batch.
    fn __len__(&self, py: Python<'_>) -> usize {
        self.payload.as_bytes(py).len()
    }

    /// Whether all of it was delivered.
    #[getter]
    fn is_done(&self, py: Python<'_>) -> CoreResult<bool> {
        Ok(Decoder::resume(self.payload.as_bytes(py), *self.place.lock())?.is_done())
    }

    /// The highest seq of a lane in what was not delivered, before what is more than plain; whether that is all of it.
    fn newest(&self, py: Python<'_>, lane: Natural<u32>, chains: &Chains) -> CoreResult<(u64, bool)> {
        let rest = Decoder::resume(self.payload.as_bytes(py), *self.place.lock())?;
        Ok(chains.chains.lock().newest(lane.0, rest.map_while(fanout_engine::Result::ok)))
    }
}

impl Arrival {
    /// Go on with it; what is left then is for the next time. An error is of all that was left.
    pub fn go_on<'py, T>(
        &'py self,
        py: Python<'py>,
        deliver: impl FnOnce(&mut Decoder<'py>) -> fanout_engine::Result<T>,
    ) -> CoreResult<T> {
        let mut place = self.place.lock();
        let mut decoder = Decoder::resume(self.payload.as_bytes(py), *place)?;
        let done = deliver(&mut decoder);
        *place = decoder.place();
        Ok(done?)
    }
}

/// How far each lane has come at an instance.
#[pyclass(frozen, module = "fanout._core")]
#[derive(Default)]
pub struct Chains {
    pub chains: Mutex<fanout_engine::Chains>,
}

#[pymethods]
impl Chains {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Everything of a lane up to `upto` was delivered, or concerns nobody here.
    #[pyo3(signature = (lane, upto, *, plain), text_signature = "($self, lane, upto, *, plain)")]
    fn advance(&self, lane: Natural<u32>, upto: Natural<u64>, plain: bool) {
        self.chains.lock().advance(lane.0, upto.0, plain);
    }

    /// Up to where everything of a lane was delivered.
    fn upto(&self, lane: Natural<u32>) -> Option<u64> {
        self.chains.lock().upto(lane.0)
    }

    /// Whether the message of this event was delivered before, under another seq.
    fn is_repeat(&self, event: &[u8]) -> bool {
        self.chains.lock().is_repeat(event)
    }

    /// The lanes that are known.
    fn lanes(&self) -> Vec<u32> {
        self.chains.lock().lanes().collect()
    }

    /// What is to be done with a record of a lane that is known.
    fn judge(&self, record: &Record) -> PyResult<&'static str> {
        let Record { lane, epoch, prev, seq, .. } = *record;
        let judged = fanout_engine::Record { lane, epoch, prev, seq, ..fanout_engine::Record::default() };
        match self.chains.lock().judge(&judged) {
            Some(Verdict::Stale) => Ok("stale"),
            Some(Verdict::Hole) => Ok("hole"),
            Some(Verdict::Next) => Ok("next"),
            None => Err(PyLookupError::new_err(format!("lane {lane} is not known"))),
        }
    }
}

/// Read what `Engine.drain` made.
#[pyfunction]
pub fn decode_batch(py: Python<'_>, payload: &[u8]) -> PyResult<Vec<Record>> {
    let records: CoreResult<Vec<_>> = released(py, || Decoder::new(payload)?.collect());
    records?.iter().map(|record| Record::new(py, record)).collect()
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
