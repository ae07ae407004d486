//! Converts Python's arguments to those of the engine: wrong types are a `TypeError`, wrong values a `ValueError`.

use std::time::Duration;

use fanout_engine::Ids;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use crate::gil::released;

/// An integer from 0 to the highest value of `T`.
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

/// Seconds as nanoseconds; a longer time than the type can hold becomes its highest value.
pub fn nanoseconds(seconds: f64) -> PyResult<u64> {
    if !seconds.is_finite() || seconds < 0.0 {
        return Err(PyValueError::new_err("a time must be finite and not negative"));
    }
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Ok(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// The strings of an iterable.
pub fn strings<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyString>>> {
    if iterable.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("expected an iterable of ids, not one string"));
    }
    iterable.try_iter()?.map(|item| Ok(item?.cast_into::<PyString>()?)).collect()
}

/// The number of ids that are copied out of their strings while the GIL is held; that takes at most some hundred
/// microseconds.
const COPIED_AT_A_TIME: usize = 8192;

/// The ids of an iterable of strings; `what` names the field in the error.
///
/// Other threads run in between. If one of them changes the list meanwhile, each part is read as it is at that time.
pub fn ids(iterable: &Bound<'_, PyAny>, what: &'static str) -> PyResult<Ids> {
    let py = iterable.py();
    let list = match iterable.cast::<PyList>() {
        Ok(list) => list.clone(),
        Err(_) => PyList::new(py, strings(iterable)?)?,
    };
    let (mut ids, mut copied, mut items) = (Ids::with_capacity(list.len()), Copied::default(), list.iter());
    while copied.refill(&mut items)? {
        released(py, || copied.pack(&mut ids, what))?;
    }
    Ok(ids)
}

/// The bytes of some strings, one after the other.
#[derive(Default)]
struct Copied {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Copied {
    /// Replace the strings by the next ones. Returns whether there were any.
    fn refill<'py>(&mut self, items: &mut impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<bool> {
        self.bytes.clear();
        self.ends.clear();
        for item in items.take(COPIED_AT_A_TIME) {
            let item = item.cast_into::<PyString>()?;
            let text = item.to_str()?.as_bytes();
            self.bytes.extend_from_slice(&text[..text.len().min(MOST_OF_A_STRING)]);
            self.ends.push(self.bytes.len());
        }
        Ok(!self.ends.is_empty())
    }

    fn pack(&self, ids: &mut Ids, what: &'static str) -> fanout_engine::Result<()> {
        let mut start = 0;
        self.ends.iter().try_for_each(|&end| {
            let name = &self.bytes[start..end];
            start = end;
            ids.push(name, what)
        })
    }
}

/// The most bytes that are copied of a string. It is longer than any id, so the rest does not matter.
const MOST_OF_A_STRING: usize = 256;

/// (channel, event), the argument of `Engine.route_many`.
pub type Event<'py> = (Bound<'py, PyString>, Bound<'py, PyBytes>);

/// Convert an event for the engine.
pub fn borrow_event<'a>((channel, event): &'a Event<'_>) -> PyResult<(&'a str, &'a [u8])> {
    Ok((channel.to_str()?, event.as_bytes()))
}
