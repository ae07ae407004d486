//! Converts Python's arguments to those of the engine: wrong types are a `TypeError`, wrong values a `ValueError`.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

use crate::mismatch::{no_text, out_of_range, wrong_type};
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

/// The bytes of an event, a frame or a batch: `bytes` as they are, other bytes-like objects copied.
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
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if object.is_instance_of::<PyByteArray>() || object.is_instance_of::<PyMemoryView>() {
        let copy = object.py().get_type::<PyBytes>().call1((object,))?;
        return Ok(copy.cast_into()?);
    }
    let kind = object.get_type().name()?;
    Err(PyTypeError::new_err(format!("{place} must be bytes-like, not {kind}")))
}

/// The integer at a place.
pub fn natural_of<T: TryFrom<u64>>(object: &Bound<'_, PyAny>, place: fmt::Arguments) -> PyResult<T> {
    let number = object.extract::<u64>().map_err(|error| {
        let is_out_of_range = error.is_instance_of::<PyOverflowError>(object.py());
        if is_out_of_range { out_of_range(place, object) } else { wrong_type(place, "an int", object) }
    })?;
    T::try_from(number).map_err(|_| out_of_range(place, object))
}

/// An integer from 0 to the highest value of `T`.
pub struct Natural<T>(pub T);

impl<T: TryFrom<u64>> FromPyObject<'_, '_> for Natural<T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        natural_of(&object, format_args!("the integer")).map(Self)
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
