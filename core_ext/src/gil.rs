//! The one place that lets other Python threads run.

use fanout_engine::Result;
use pyo3::Python;

use crate::errors::CoreResult;

/// Do work that may take longer than a few microseconds, or may wait, without the GIL.
pub fn released<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> Result<T>) -> CoreResult<T> {
    Ok(py.detach(work)?)
}
