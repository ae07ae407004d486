//! Stored events that Python gives as tuples.

use fanout_engine::{StoredEvent, StoredKind};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::arguments::Natural;

/// (seq, channel, payload) or (seq, channel, payload, also), an argument of `Engine.route_stored`.
pub struct GivenEvent<'py> {
    seq: u64,
    channel: Bound<'py, PyString>,
    payload: Bound<'py, PyBytes>,
    also: Option<Bound<'py, PyString>>,
}

impl<'py> FromPyObject<'_, 'py> for GivenEvent<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let has_also = object.cast::<PyTuple>().is_ok_and(|tuple| tuple.len() > 3);
        let (Natural(seq), channel, payload, also) = if has_also {
            object.extract()?
        } else {
            let (seq, channel, payload) = object.extract()?;
            (seq, channel, payload, None)
        };
        Ok(Self { seq, channel, payload, also })
    }
}

impl GivenEvent<'_> {
    /// Convert the event for the engine.
    pub fn borrow(&self) -> PyResult<StoredEvent<'_>> {
        let also = self.also.as_ref().map(|user| user.to_str()).transpose()?;
        Ok(StoredEvent { seq: self.seq, channel: self.channel.to_str()?, payload: self.payload.as_bytes(), also })
    }
}

/// A kind of stored events, by its name.
pub struct Kind(pub StoredKind);

impl FromPyObject<'_, '_> for Kind {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let name = object.cast::<PyString>()?;
        let name = name.to_str()?;
        let unknown = || PyValueError::new_err(format!("no kind of stored events is named {name:?}"));
        StoredKind::named(name).map(Self).ok_or_else(unknown)
    }
}
