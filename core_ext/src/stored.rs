//! Stored events as Python gives them: those of a log, or single ones.

use fanout_engine::Stored;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::arguments::Natural;

/// (seq, channel, payload) as `Engine.route_messages` gets it.
pub type StoredEvent<'py> = (Natural<u64>, Bound<'py, PyString>, Bound<'py, PyBytes>);

/// A stored event as the engine takes it.
pub fn borrow_stored<'a>((seq, channel, payload): &'a StoredEvent<'_>) -> PyResult<Stored<'a>> {
    Ok((seq.0, channel.to_str()?, payload.as_bytes()))
}
