//! Converts the engine's answers to Python objects.

use fanout_engine::{Batch, Name};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFrozenSet};

use crate::gil::give_way;

/// The one copy that a target costs: into the `bytes` that are published.
pub fn payload<'py>(py: Python<'py>, batch: &Batch, with_gil: bool) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, batch.len(), |payload| {
        if with_gil {
            batch.write(payload);
        } else {
            give_way(py, || batch.write(payload));
        }
        Ok(())
    })
}

/// Names as strings.
pub fn owned(names: impl IntoIterator<Item = Name>) -> Vec<String> {
    names.into_iter().map(String::from).collect()
}

/// Names as a set.
pub fn frozen_set<'py>(py: Python<'py>, names: &[Name]) -> PyResult<Bound<'py, PyFrozenSet>> {
    PyFrozenSet::new(py, names.iter().map(Name::as_str))
}

/// Names with a space between them.
pub fn joined(names: &[Name]) -> Vec<u8> {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    names.join(" ").into_bytes()
}
