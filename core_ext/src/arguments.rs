//! Python's arguments as the engine wants them: wrong types are a `TypeError`, wrong values a `ValueError`.

use std::time::Duration;

use fanout_engine::Stored;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// An integer from 0 to the most that `T` holds.
pub struct Natural<T>(pub T);

impl<T: TryFrom<u64>> FromPyObject<'_, '_> for Natural<T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let out_of_range = || PyValueError::new_err("the integer is negative or too large");
        let number = match object.extract::<u64>() {
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => Err(out_of_range()),
            other => other,
        }?;
        T::try_from(number).map(Self).map_err(|_| out_of_range())
    }
}

/// Seconds as nanoseconds; a time too long to count is as good as one without end.
pub fn nanoseconds(seconds: f64) -> PyResult<u64> {
    if !seconds.is_finite() || seconds < 0.0 {
        return Err(PyValueError::new_err("a time must be finite and not negative"));
    }
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Ok(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// The strings of an iterable; they keep alive what [`texts`] borrows from them.
pub fn strings<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyString>>> {
    if iterable.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("expected an iterable of ids, not one string"));
    }
    iterable.try_iter()?.map(|item| Ok(item?.cast_into::<PyString>()?)).collect()
}

/// The text of strings, without a copy.
pub fn texts<'a>(strings: &'a [Bound<'_, PyString>]) -> PyResult<Vec<&'a str>> {
    strings.iter().map(|string| string.to_str()).collect()
}

/// (channel, event) as `Engine.route_many` gets it.
pub type Event<'py> = (Bound<'py, PyString>, Bound<'py, PyBytes>);

/// (seq, channel, payload) as `Engine.route_messages` gets it.
pub type StoredEvent<'py> = (Natural<u64>, Bound<'py, PyString>, Bound<'py, PyBytes>);

/// An event as the engine takes it.
pub fn borrow_event<'a>((channel, event): &'a Event<'_>) -> PyResult<(&'a str, &'a [u8])> {
    Ok((channel.to_str()?, event.as_bytes()))
}

/// A stored event as the engine takes it.
pub fn borrow_stored<'a>((seq, channel, payload): &'a StoredEvent<'_>) -> PyResult<Stored<'a>> {
    Ok((seq.0, channel.to_str()?, payload.as_bytes()))
}
