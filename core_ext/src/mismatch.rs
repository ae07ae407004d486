//! Errors that say which argument is wrong, where in it, and what stands there. Nothing here runs on success.

use std::fmt::Display;

use fanout_engine::{Error, shortened};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

use crate::errors::CoreError;

/// A value of the wrong type. `place` is an argument, or an item of one, such as `channels[3]`.
#[cold]
pub fn wrong_type(place: impl Display, expected: &str, object: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("{place} must be {expected}, not {}", found(object)))
}

/// An integer that is too small or too large.
#[cold]
pub fn out_of_range(place: impl Display, object: &Bound<'_, PyAny>) -> PyErr {
    PyValueError::new_err(format!("{place} is negative or too large: {}", value(object).unwrap_or_default()))
}

/// A tuple with too few or too many items.
#[cold]
pub fn wrong_length(place: impl Display, expected: &str, length: usize) -> PyErr {
    PyValueError::new_err(format!("{place} must be {expected}, not a tuple of {length}"))
}

/// A string with a surrogate, which UTF-8 does not have, in the place of an id.
#[cold]
pub fn no_text(place: impl Display, string: &Bound<'_, PyString>) -> PyErr {
    CoreError::from(Error::invalid_id(place, &string.to_string_lossy())).into()
}

/// The type, and the start of a value that is short: a payload or a list is not shown.
fn found(object: &Bound<'_, PyAny>) -> String {
    let kind = object.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    value(object).map_or(kind.clone(), |value| format!("{kind}: {value}"))
}

fn value(object: &Bound<'_, PyAny>) -> Option<String> {
    if let Ok(string) = object.cast::<PyString>() {
        return Some(shortened(&string.to_string_lossy()));
    }
    let is_number = object.is_instance_of::<PyInt>() || object.is_instance_of::<PyFloat>();
    let is_plain = object.is_exact_instance_of::<PyBool>() || is_number;
    // An integer of many thousand digits has no repr.
    let repr = is_plain.then(|| object.repr().ok()).flatten()?.to_string();
    Some(if repr.len() > MOST_DIGITS { format!("{}...", &repr[..MOST_DIGITS]) } else { repr })
}

/// The most characters of a number that an error shows.
const MOST_DIGITS: usize = 40;
