//! Errors that say which argument is wrong, where in it, and what stands there. Nothing here runs on success.

use std::fmt::Display;

use fanout_engine::{Error, shortened, shortened_value};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

use crate::errors::CoreError;

/// A value of the wrong type. `place` is an argument, or an item of one, such as `channels[3]`.
#[cold]
pub fn wrong_type(place: impl Display, expected: &str, object: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("{place} must be {expected}, not {}", found(object)))
}

/// [`wrong_type`] for a conversion that says so; an error that the object's own code has raised stays what it is.
#[cold]
pub fn or_wrong_type(error: PyErr, place: impl Display, expected: &str, object: &Bound<'_, PyAny>) -> PyErr {
    if error.is_instance_of::<PyTypeError>(object.py()) { wrong_type(place, expected, object) } else { error }
}

/// An integer that is too small or too large.
#[cold]
pub fn out_of_range(place: impl Display, object: &Bound<'_, PyAny>) -> PyErr {
    let shown = value(object).map(|value| format!(": {value}")).unwrap_or_default();
    PyValueError::new_err(format!("{place} is negative or too large{shown}"))
}

/// A number of seconds that is no time.
#[cold]
pub fn not_a_time(place: impl Display, object: &Bound<'_, PyAny>) -> PyErr {
    let shown = value(object).map(|value| format!(", not {value}")).unwrap_or_default();
    PyValueError::new_err(format!("{place} must be finite and not negative{shown}"))
}

/// A list that became longer or shorter while it was read. As with Python's sets and dicts it is a `RuntimeError`.
#[cold]
pub fn changed_size(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("{what} changed size during the call"))
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
    let kind = kind_of(object);
    match value(object) {
        Some(value) => format!("{kind}: {value}"),
        None => kind,
    }
}

/// The name of the type.
pub fn kind_of(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "object".to_owned(), |name| shortened_value(&name.to_string_lossy()))
}

fn value(object: &Bound<'_, PyAny>) -> Option<String> {
    if let Ok(string) = object.cast::<PyString>() {
        return Some(shortened(&string.to_string_lossy()));
    }
    let is_number = object.is_instance_of::<PyInt>() || object.is_instance_of::<PyFloat>();
    let is_plain = object.is_exact_instance_of::<PyBool>() || is_number;
    // An integer of many thousand digits has no repr, and that of a subclass may be any text.
    let repr = is_plain.then(|| object.repr().ok()).flatten()?;
    Some(shortened_value(&repr.to_string_lossy()))
}
