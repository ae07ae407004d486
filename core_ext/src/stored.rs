//! Stored events that Python gives as tuples.

use fanout_engine::{StoredEvent, StoredKind, shortened};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::arguments::{bytes_of, natural_of, string_of};
use crate::lists::items;
use crate::mismatch::{no_text, wrong_length, wrong_type};

/// (seq, channel, payload) or (seq, channel, payload, also), an argument of `Engine.route_stored`.
pub struct GivenEvent<'py> {
    seq: u64,
    channel: Bound<'py, PyString>,
    payload: Bound<'py, PyBytes>,
    also: Option<Bound<'py, PyString>>,
}

/// The events of a sequence of such tuples.
pub fn given_events<'py>(sequence: &Bound<'py, PyAny>) -> PyResult<Vec<GivenEvent<'py>>> {
    items(sequence, "events", GivenEvent::new)
}

/// Given events as the engine takes them.
pub fn borrow_given<'a>(events: &'a [GivenEvent<'_>]) -> PyResult<Vec<StoredEvent<'a>>> {
    events.iter().enumerate().map(|(index, event)| event.borrow(index)).collect()
}

impl<'py> GivenEvent<'py> {
    fn new(index: usize, tuple: &Bound<'py, PyTuple>) -> PyResult<Self> {
        if !matches!(tuple.len(), 3 | 4) {
            let expected = "(seq, channel, payload) or (seq, channel, payload, also)";
            return Err(wrong_length(format_args!("events[{index}]"), expected, tuple.len()));
        }
        let seq = natural_of(&tuple.get_item(0)?, format_args!("events[{index}][0]"))?;
        let channel = string_of(&tuple.get_item(1)?, format_args!("events[{index}][1]"))?;
        let payload = bytes_of(&tuple.get_item(2)?, format_args!("events[{index}][2]"))?;
        let also = if tuple.len() == 4 { string_or_none(&tuple.get_item(3)?, index)? } else { None };
        Ok(Self { seq, channel, payload, also })
    }

    fn borrow(&self, index: usize) -> PyResult<StoredEvent<'_>> {
        let channel = self.channel.to_str().map_err(|_| no_text(format_args!("events[{index}][1]"), &self.channel))?;
        let also =
            self.also.as_ref().map(|user| user.to_str().map_err(|_| no_text(format_args!("events[{index}][3]"), user)));
        Ok(StoredEvent { seq: self.seq, channel, payload: self.payload.as_bytes(), also: also.transpose()? })
    }
}

fn string_or_none<'py>(object: &Bound<'py, PyAny>, index: usize) -> PyResult<Option<Bound<'py, PyString>>> {
    if object.is_none() {
        return Ok(None);
    }
    let place = format_args!("events[{index}][3]");
    object.cast::<PyString>().map(|user| Some(user.clone())).map_err(|_| wrong_type(place, "a str or None", object))
}

/// A kind of stored events, by its name.
pub struct KindArgument(pub StoredKind);

impl FromPyObject<'_, '_> for KindArgument {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let name = string_of(&object, format_args!("kind"))?;
        let name = &*name.to_string_lossy();
        let unknown = || {
            let (name, known) = (shortened(name), StoredKind::ALL.map(StoredKind::name).join(", "));
            PyValueError::new_err(format!("no kind of stored events is named {name}; known are {known}"))
        };
        StoredKind::named(name).map(Self).ok_or_else(unknown)
    }
}
