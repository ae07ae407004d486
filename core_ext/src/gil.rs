//! The only place that releases the GIL.

use fanout_engine::Result;
use pyo3::Python;

use crate::errors::CoreResult;

/// Do work without the GIL. Use it for work that may take longer than a few microseconds, or may wait.
pub fn released<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> Result<T>) -> CoreResult<T> {
    Ok(py.detach(work)?)
}

/// Do work without the GIL in the middle of a long call, and yield the processor to a thread that waits for the GIL.
///
/// Without the yield this thread would mostly take the GIL back before the other one is awake.
pub fn give_way(py: Python<'_>, work: impl Send + FnOnce()) {
    py.detach(|| {
        work();
        std::thread::yield_now();
    });
}
