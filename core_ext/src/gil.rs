//! The only place that releases the GIL.
//!
//! A thread that gives the GIL away gets it back from a busy Python thread only after `sys.getswitchinterval()`, 5 ms
//! unless it is set otherwise, if that thread wakes before the work is done. So work that is known to take some
//! microseconds keeps the GIL, and longer work gives it away as rarely as it can.

use fanout_engine::Result;
use pyo3::Python;

use crate::errors::CoreResult;

/// Do work without the GIL. Use it for work that may take longer than a few microseconds, or may wait.
pub fn released<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> Result<T>) -> CoreResult<T> {
    Ok(py.detach(work)?)
}

/// Do work with the GIL if it is brief: takes some microseconds, and waits for nothing longer.
///
/// Whether it is brief is looked up before. A call that a thread without the GIL begins in between may prove it wrong,
/// which costs one wait.
pub fn released_unless<T: Send>(brief: bool, py: Python<'_>, work: impl Send + FnOnce() -> Result<T>) -> CoreResult<T> {
    if brief { Ok(work()?) } else { released(py, work) }
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
