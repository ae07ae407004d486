//! The functions of the module that need no engine.

use std::collections::BTreeSet;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use fanout_engine::{Digest, StoredEvent, StoredKind, check_id_at};

use crate::arguments::{BytesLike, Natural, Text};
use crate::batch::frame;
use crate::errors::{CoreError, CoreResult};
use crate::lists::strings;
use crate::mismatch::no_text;
use crate::names;
use crate::stored::KindArgument;

#[doc = doc!("check_event")]
#[pyfunction]
pub fn check_event(event: BytesLike<'_, names::Event>) -> CoreResult<()> {
    Ok(fanout_engine::check_event(&event)?)
}

#[doc = doc!("message_frame")]
#[pyfunction]
pub fn message_frame<'py>(
    py: Python<'py>,
    seq: Natural<names::Seq, u64>,
    part: Natural<names::Part, u32>,
    channel: Text<names::Channel>,
    payload: BytesLike<'_, names::Payload>,
) -> CoreResult<Bound<'py, PyBytes>> {
    client_event(py, KindArgument(StoredKind::Message), seq, part, channel, payload)
}

#[doc = doc!("client_event")]
#[pyfunction]
pub fn client_event<'py>(
    py: Python<'py>,
    kind: KindArgument,
    seq: Natural<names::Seq, u64>,
    part: Natural<names::Part, u32>,
    channel: Text<names::Channel>,
    payload: BytesLike<'_, names::Payload>,
) -> CoreResult<Bound<'py, PyBytes>> {
    let event = StoredEvent { seq: seq.0, channel: &channel, payload: &payload, also: None };
    Ok(PyBytes::new(py, &kind.0.client_event(part.0, &event)?))
}

#[doc = doc!("text_frame")]
#[pyfunction]
pub fn text_frame<'py>(py: Python<'py>, event: BytesLike<'_, names::Event>) -> PyResult<Bound<'py, PyBytes>> {
    frame(py, &event)
}

#[doc = doc!("partition_of")]
#[pyfunction]
pub fn partition_of(channel: Text<names::Channel>, partitions: Natural<names::Partitions, u32>) -> PyResult<u32> {
    if partitions.0 == 0 {
        return Err(PyValueError::new_err("partitions must be at least 1"));
    }
    Ok(fanout_engine::partition_of(&channel, partitions.0))
}

#[doc = doc!("presence_digest")]
#[pyfunction]
pub fn presence_digest(users: &Bound<'_, PyAny>) -> PyResult<(u64, u64)> {
    let users = strings(users, "users")?;
    let names: BTreeSet<&str> = users.iter().enumerate().map(id_of).collect::<PyResult<_>>()?;
    let digest = Digest::of(names);
    Ok((digest.count, digest.hash))
}

fn id_of<'a>((index, user): (usize, &'a Bound<'_, PyString>)) -> PyResult<&'a str> {
    let place = format_args!("users[{index}]");
    let name = user.to_str().map_err(|_| no_text(place, user))?;
    check_id_at(name, place).map_err(CoreError::from)?;
    Ok(name)
}
