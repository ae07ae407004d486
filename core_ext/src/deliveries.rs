//! `fanout_nats` for Python: the deliveries of a log.

use std::sync::Arc;

use fanout_engine::StoredEvent;
use fanout_nats::{Delivery, Fed, Lifts};
use parking_lot::Mutex;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::arguments::{BytesLike, Natural, Text, bytes_of, natural_of, string_of};
use crate::lists::items;
use crate::mismatch::wrong_length;
use crate::names;
use crate::repr;
use crate::stored::{GivenEvent, given_events};

#[doc = doc!("Deliveries")]
#[pyclass(frozen, module = "fanout._core")]
pub struct Deliveries {
    deliveries: fanout_nats::Deliveries,
}

/// (seq, subject, payload, time)
type Logged<'py> = (u64, Bound<'py, PyString>, Bound<'py, PyBytes>, u64);

fn logged<'py>(index: usize, tuple: &Bound<'py, PyTuple>) -> PyResult<Logged<'py>> {
    if !matches!(tuple.len(), 3 | 4) {
        let expected = "(seq, subject, payload) or (seq, subject, payload, time)";
        return Err(wrong_length(format_args!("events[{index}]"), expected, tuple.len()));
    }
    let seq = natural_of(&tuple.get_item(0)?, format_args!("events[{index}][0]"))?;
    let subject = string_of(&tuple.get_item(1)?, format_args!("events[{index}][1]"))?;
    let payload = bytes_of(&tuple.get_item(2)?, format_args!("events[{index}][2]"))?;
    let time = if tuple.len() == 4 { natural_of(&tuple.get_item(3)?, format_args!("events[{index}][3]"))? } else { 0 };
    Ok((seq, subject, payload, time))
}

/// (seq, subject, payload, attempt, reply, time)
type Fields<'py> = (u64, Bound<'py, PyString>, Bound<'py, PyBytes>, u64, Bound<'py, PyString>, u64);

#[pymethods]
impl Deliveries {
    #[doc = doc!("Deliveries.of")]
    #[staticmethod]
    fn of(events: &Bound<'_, PyAny>) -> PyResult<Self> {
        let events = items(events, "events", logged)?;
        let subjects: Vec<&str> = events.iter().map(|(_, subject, ..)| subject.to_str()).collect::<PyResult<_>>()?;
        let events = events.iter().zip(subjects);
        let events =
            events.map(|((seq, _, payload, time), subject)| (*seq, subject.as_bytes(), payload.as_bytes(), *time));
        Ok(Self { deliveries: fanout_nats::Deliveries::of(events) })
    }

    fn __repr__(&self) -> String {
        let values = [("events", repr::plain(self.__len__())), ("last_seq", repr::plain(self.last_seq()))];
        repr::object("Deliveries", values)
    }

    fn __len__(&self) -> usize {
        self.deliveries.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: Natural<names::Index, usize>) -> PyResult<Fields<'py>> {
        let delivery = self.deliveries.get(index.0).ok_or_else(|| PyIndexError::new_err("there are fewer"))?;
        Ok(fields(py, &delivery))
    }

    #[doc = doc!("Deliveries.reply")]
    fn reply(&self, index: Natural<names::Index, usize>) -> PyResult<String> {
        let delivery = self.deliveries.get(index.0).ok_or_else(|| PyIndexError::new_err("there are fewer"))?;
        Ok(String::from_utf8_lossy(delivery.reply).into_owned())
    }

    #[doc = doc!("Deliveries.last_seq")]
    #[getter]
    fn last_seq(&self) -> u64 {
        self.last().map_or(0, |delivery| delivery.seq)
    }

    #[doc = doc!("Deliveries.last_time")]
    #[getter]
    fn last_time(&self) -> u64 {
        self.last().map_or(0, |delivery| delivery.time)
    }

    #[doc = doc!("Deliveries.pending")]
    #[getter]
    fn pending(&self) -> u64 {
        self.last().map_or(0, |delivery| delivery.pending)
    }

    #[doc = doc!("Deliveries.count_upto")]
    fn count_upto(&self, seq: Natural<names::Seq, u64>) -> usize {
        self.deliveries.count_upto(seq.0)
    }

    #[doc = doc!("Deliveries.after")]
    fn after(&self, start: Natural<names::Start, usize>) -> Self {
        let rest = self.deliveries.iter().skip(start.0);
        Self { deliveries: fanout_nats::Deliveries::of(rest.map(|one| (one.seq, one.subject, one.payload, one.time))) }
    }
}

impl Deliveries {
    /// Convert the events for the engine. A channel that is not valid text is refused by the engine, because it is no
    /// id.
    pub fn events(&self) -> Vec<StoredEvent<'_>> {
        self.timed_events().map(|(event, _)| event).collect()
    }

    /// [`Deliveries::events`], each with the time at which it was stored.
    pub fn timed_events(&self) -> impl Iterator<Item = (StoredEvent<'_>, u64)> {
        self.deliveries.iter().map(|one| {
            let channel = std::str::from_utf8(one.last_token()).unwrap_or_default();
            (StoredEvent { seq: one.seq, channel, payload: one.payload, also: None }, one.time)
        })
    }

    fn last(&self) -> Option<Delivery<'_>> {
        self.deliveries.get(self.deliveries.len().checked_sub(1)?)
    }
}

/// The events of a log that `Engine.route_stored` gets.
pub enum EventsArgument<'py> {
    /// Deliveries of a server.
    Delivered(Bound<'py, Deliveries>),
    /// A sequence of tuples.
    Given(Vec<GivenEvent<'py>>),
}

impl<'py> FromPyObject<'_, 'py> for EventsArgument<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.cast::<Deliveries>() {
            Ok(deliveries) => Ok(Self::Delivered(deliveries.to_owned())),
            Err(_) => given_events(&object).map(Self::Given),
        }
    }
}

fn fields<'py>(py: Python<'py>, delivery: &Delivery<'_>) -> Fields<'py> {
    let text = |bytes: &[u8]| PyString::new(py, &String::from_utf8_lossy(bytes));
    let payload = PyBytes::new(py, delivery.payload);
    (delivery.seq, text(delivery.subject), payload, delivery.attempt, text(delivery.reply), delivery.time)
}

/// (first sequence, lift) of each, an argument of `DeliveryBuffer.attach`.
#[derive(Default)]
struct GivenLifts(Vec<(u64, u64)>);

impl FromPyObject<'_, '_> for GivenLifts {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        items(&object, "lifts", |index, tuple| {
            if tuple.len() != 2 {
                return Err(wrong_length(format_args!("lifts[{index}]"), "(first sequence, lift)", tuple.len()));
            }
            let number = |at| natural_of(&tuple.get_item(at)?, format_args!("lifts[{index}][{at}]"));
            Ok((number(0)?, number(1)?))
        })
        .map(Self)
    }
}

#[doc = doc!("DeliveryBuffer")]
#[pyclass(frozen, module = "fanout._core")]
pub struct DeliveryBuffer {
    buffer: Arc<Mutex<fanout_nats::DeliveryBuffer>>,
}

#[pymethods]
impl DeliveryBuffer {
    #[new]
    #[pyo3(signature = (batch, *, ordered = false), text_signature = "(batch, *, ordered=False)")]
    fn new(batch: Natural<names::Batch, usize>, ordered: bool) -> Self {
        Self { buffer: Arc::new(Mutex::new(fanout_nats::DeliveryBuffer::new(batch.0, ordered))) }
    }

    fn __repr__(&self) -> String {
        let (events, bytes, error) = (self.__len__(), self.bytes(), self.error());
        let values =
            [("events", repr::plain(events)), ("bytes", repr::plain(bytes)), ("error", repr::text(error.as_deref()))];
        repr::object("DeliveryBuffer", values)
    }

    #[doc = doc!("DeliveryBuffer.attach")]
    #[pyo3(signature = (consumer, lifts = GivenLifts::default()), text_signature = "($self, consumer, lifts=[])")]
    fn attach(&self, consumer: Text<names::Consumer>, lifts: GivenLifts) {
        self.buffer.lock().attach(consumer.as_bytes(), Lifts::new(lifts.0));
    }

    #[doc = doc!("DeliveryBuffer.pause")]
    fn pause(&self) {
        self.buffer.lock().pause();
    }

    #[doc = doc!("DeliveryBuffer.clear")]
    fn clear(&self) {
        self.buffer.lock().clear();
    }

    #[doc = doc!("DeliveryBuffer.take")]
    fn take(&self) -> Option<Deliveries> {
        let deliveries = self.buffer.lock().take()?;
        Some(Deliveries { deliveries })
    }

    fn __len__(&self) -> usize {
        self.buffer.lock().len()
    }

    #[doc = doc!("DeliveryBuffer.bytes")]
    #[getter]
    fn bytes(&self) -> usize {
        self.buffer.lock().bytes()
    }

    #[doc = doc!("DeliveryBuffer.order")]
    #[getter]
    fn order(&self) -> u64 {
        self.buffer.lock().order()
    }

    #[doc = doc!("DeliveryBuffer.error")]
    #[getter]
    fn error(&self) -> Option<String> {
        self.buffer.lock().error().map(|error| error.to_string())
    }

    #[doc = doc!("DeliveryBuffer.received")]
    #[getter]
    fn received(&self) -> u64 {
        self.buffer.lock().received()
    }

    #[doc = doc!("DeliveryBuffer.replies")]
    fn replies(&self) -> Vec<String> {
        let buffer = self.buffer.lock();
        let waiting = buffer.batches().flat_map(fanout_nats::Deliveries::iter);
        waiting.map(|one| String::from_utf8_lossy(one.reply).into_owned()).collect()
    }
}

#[doc = doc!("Splitter")]
#[pyclass(frozen, module = "fanout._core")]
pub struct Splitter {
    splitter: Mutex<fanout_nats::Splitter>,
}

#[pymethods]
impl Splitter {
    #[new]
    fn new() -> Self {
        Self { splitter: Mutex::default() }
    }

    fn __repr__(&self) -> String {
        repr::object("Splitter", [("subscriptions", repr::plain(self.splitter.lock().subscriptions()))])
    }

    #[doc = doc!("Splitter.take")]
    fn take(&self, sid: Natural<names::Sid, u64>, buffer: &DeliveryBuffer) {
        self.splitter.lock().take(sid.0, buffer.buffer.clone());
    }

    #[doc = doc!("Splitter.leave")]
    fn leave(&self, sid: Natural<names::Sid, u64>) {
        self.splitter.lock().leave(sid.0);
    }

    #[doc = doc!("Splitter.reset")]
    fn reset(&self) {
        self.splitter.lock().reset();
    }

    #[doc = doc!("Splitter.feed")]
    fn feed<'py>(&self, py: Python<'py>, data: BytesLike<'_, names::Data>) -> (Bound<'py, PyBytes>, Vec<u64>) {
        let Fed { rest, touched } = self.splitter.lock().feed(&data);
        (PyBytes::new(py, &rest), touched)
    }
}
