//! The functions of the module that need no engine.

use std::collections::BTreeSet;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use fanout_engine::{Digest, check_id, message_new};

use crate::arguments::{Natural, strings};
use crate::batch::frame;
use crate::errors::CoreResult;

/// Refuse an event that no call of the engine would route.
#[pyfunction]
pub fn check_event(event: &[u8]) -> CoreResult<()> {
    Ok(fanout_engine::check_event(event)?)
}

/// The `message.new` object for a stored message event.
#[pyfunction]
pub fn message_frame<'py>(
    py: Python<'py>,
    seq: Natural<u64>,
    part: Natural<u32>,
    channel: &str,
    payload: &[u8],
) -> CoreResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &message_new(seq.0, part.0, channel, payload)?))
}

/// An unmasked, final WebSocket text frame around `event`.
#[pyfunction]
pub fn text_frame<'py>(py: Python<'py>, event: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    frame(py, event)
}

/// The partition of a channel.
#[pyfunction]
pub fn partition_of(channel: &str, partitions: Natural<u32>) -> PyResult<u32> {
    if partitions.0 == 0 {
        return Err(PyValueError::new_err("partitions must be at least 1"));
    }
    Ok(fanout_engine::partition_of(channel, partitions.0))
}

/// The count and hash that `Engine.digest` gives for an instance with these users.
#[pyfunction]
pub fn presence_digest(users: &Bound<'_, PyAny>) -> PyResult<(u64, u64)> {
    let users = strings(users)?;
    let names: BTreeSet<&str> = users.iter().map(|user| user.to_str()).collect::<PyResult<_>>()?;
    let digest = digest_of(&names)?;
    Ok((digest.count, digest.hash))
}

fn digest_of(names: &BTreeSet<&str>) -> CoreResult<Digest> {
    names.iter().try_for_each(|name| check_id(name, "user"))?;
    Ok(Digest::of(names.iter().copied()))
}
