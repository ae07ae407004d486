//! The one place that lets other Python threads run.

use fanout_engine::Result;
use pyo3::Python;

use crate::errors::CoreResult;

/// Do work that may take longer than a few microseconds, or may wait, without the GIL.
pub fn released<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> Result<T>) -> CoreResult<T> {
    Ok(py.detach(work)?)
}

/// Do work without the GIL in the midst of a long call, and leave the processor to a thread that waits for it.
///
/// Without the second half the GIL would mostly be taken back before that thread is awake.
pub fn give_way(py: Python<'_>, work: impl Send + FnOnce()) {
    py.detach(|| {
        work();
        std::thread::yield_now();
    });
}
