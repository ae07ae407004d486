//! The functions of the module that need no engine.

use std::collections::BTreeSet;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use fanout_engine::{Digest, check_id, message_new};

use crate::arguments::{Natural, strings};
use crate::batch::frame;
use crate::errors::CoreResult;

#[doc = doc!("check_event")]
#[pyfunction]
pub fn check_event(event: &[u8]) -> CoreResult<()> {
    Ok(fanout_engine::check_event(event)?)
}

#[doc = doc!("message_frame")]
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

#[doc = doc!("text_frame")]
#[pyfunction]
pub fn text_frame<'py>(py: Python<'py>, event: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    frame(py, event)
}

#[doc = doc!("partition_of")]
#[pyfunction]
pub fn partition_of(channel: &str, partitions: Natural<u32>) -> PyResult<u32> {
    if partitions.0 == 0 {
        return Err(PyValueError::new_err("partitions must be at least 1"));
    }
    Ok(fanout_engine::partition_of(channel, partitions.0))
}

#[doc = doc!("presence_digest")]
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
