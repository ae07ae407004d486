//! Converts Python's arguments to those of the engine: wrong types are a `TypeError`, wrong values a `ValueError`.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

use crate::mismatch::{kind_of, no_text, not_a_time, or_wrong_type, out_of_range, wrong_type};
use crate::names::Name;

/// A string in the place of an id.
pub struct Text<'a, N>(&'a str, PhantomData<N>);

impl<N> Deref for Text<'_, N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl<'a, 'py, N: Name> FromPyObject<'a, 'py> for Text<'a, N> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let text = object.extract::<&'a str>();
        text.map(|text| Self(text, PhantomData)).map_err(|_| match object.cast::<PyString>() {
            Ok(string) => no_text(N::NAME, &string),
            Err(_) => wrong_type(N::NAME, "a str", &object),
        })
    }
}

/// The bytes of an event, a frame or a batch: `bytes` as they are, those of any other buffer copied.
pub struct BytesLike<'py, N>(pub Bound<'py, PyBytes>, PhantomData<N>);

impl<N> Deref for BytesLike<'_, N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl<'py, N: Name> FromPyObject<'_, 'py> for BytesLike<'py, N> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        bytes_of(&object, format_args!("{}", N::NAME)).map(|bytes| Self(bytes, PhantomData))
    }
}

/// The string at a place.
pub fn string_of<'py>(object: &Bound<'py, PyAny>, place: fmt::Arguments) -> PyResult<Bound<'py, PyString>> {
    object.cast::<PyString>().cloned().map_err(|_| wrong_type(place, "a str", object))
}

/// The bytes at a place.
pub fn bytes_of<'py>(object: &Bound<'py, PyAny>, place: fmt::Arguments) -> PyResult<Bound<'py, PyBytes>> {
    match object.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.clone()),
        Err(_) => copied(object, place),
    }
}

/// The bytes of any buffer, whatever its items: through a view, because `bytes(object)` would ask the object for
/// something else first.
fn copied<'py>(object: &Bound<'py, PyAny>, place: fmt::Arguments) -> PyResult<Bound<'py, PyBytes>> {
    let py = object.py();
    let view = PyMemoryView::from(object).map_err(|error| {
        let is_none = error.is_instance_of::<PyTypeError>(py);
        if is_none {
            PyTypeError::new_err(format!("{place} must be bytes-like, not {}", kind_of(object)))
        } else {
            error
        }
    })?;
    Ok(py.get_type::<PyBytes>().call1((view,))?.cast_into()?)
}

/// The integer at a place.
pub fn natural_of<T: TryFrom<u64>>(object: &Bound<'_, PyAny>, place: fmt::Arguments) -> PyResult<T> {
    let number = object.extract::<u64>().map_err(|error| no_number(error, place, "an int", object))?;
    T::try_from(number).map_err(|_| out_of_range(place, object))
}

#[cold]
fn no_number(error: PyErr, place: impl fmt::Display, expected: &str, object: &Bound<'_, PyAny>) -> PyErr {
    if error.is_instance_of::<PyOverflowError>(object.py()) {
        out_of_range(place, object)
    } else {
        or_wrong_type(error, place, expected, object)
    }
}

/// An integer from 0 to the highest value of `T`.
pub struct Natural<N, T>(pub T, PhantomData<N>);

impl<N, T> Natural<N, T> {
    /// A default.
    pub const fn of(number: T) -> Self {
        Self(number, PhantomData)
    }
}

impl<N: Name, T: TryFrom<u64>> FromPyObject<'_, '_> for Natural<N, T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        natural_of(&object, format_args!("{}", N::NAME)).map(Self::of)
    }
}

/// A time in seconds, as nanoseconds; a longer time than the type can hold becomes its highest value.
pub struct Seconds<N>(pub u64, PhantomData<N>);

impl<N> Seconds<N> {
    /// A default.
    pub const fn of_milliseconds(milliseconds: u64) -> Self {
        Self(milliseconds * 1_000_000, PhantomData)
    }
}

impl<N: Name> FromPyObject<'_, '_> for Seconds<N> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let seconds: f64 = object.extract().map_err(|error| no_number(error, N::NAME, "a float", &object))?;
        if !seconds.is_finite() || seconds < 0.0 {
            return Err(not_a_time(N::NAME, &object));
        }
        let duration = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Ok(Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), PhantomData))
    }
}
