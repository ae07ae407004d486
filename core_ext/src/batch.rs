//! `fanout_engine`'s records, as Python reads them.

use fanout_engine::{Decoder, text_frame_head};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

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
    fn new(py: Python<'_>, record: &fanout_engine::Record) -> PyResult<Self> {
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
