//! The only conversion of errors: each error of the engine becomes the Python class that the stub names.

use std::io;

use fanout_engine::Error;
use pyo3::PyErr;
use pyo3::exceptions::{PyLookupError, PyOSError, PyValueError};

mod classes {
    pyo3::import_exception!(fanout.errors, InvalidEvent);
    pyo3::import_exception!(fanout.errors, InvalidId);
    pyo3::import_exception!(fanout.errors, MembershipUnknown);
    pyo3::import_exception!(fanout.errors, SnapshotRefused);
    pyo3::import_exception!(fanout.errors, TableFull);
}

/// An error of the engine on its way to Python.
pub struct CoreError(Error);

/// The result of a function of the module that may fail.
pub type CoreResult<T> = Result<T, CoreError>;

impl From<Error> for CoreError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<CoreError> for PyErr {
    fn from(CoreError(error): CoreError) -> Self {
        let text = error.to_string();
        match error {
            Error::InvalidId(_) => classes::InvalidId::new_err(text),
            Error::InvalidEvent(_) => classes::InvalidEvent::new_err(text),
            Error::InvalidBatch(_) | Error::InvalidArgument(_) => PyValueError::new_err(text),
            Error::MembershipUnknown(_) => classes::MembershipUnknown::new_err(text),
            Error::LaneNotOpen(_) => PyLookupError::new_err(text),
            Error::Full => classes::TableFull::new_err(text),
            Error::SnapshotRefused(_) => classes::SnapshotRefused::new_err(text),
            Error::File { code, path } => PyOSError::new_err((code, meaning_of(code), path.into_os_string())),
        }
    }
}

/// The text of an error code, without the code, as in Python's own errors.
fn meaning_of(code: i32) -> String {
    let text = io::Error::from_raw_os_error(code).to_string();
    text.strip_suffix(&format!(" (os error {code})")).map(str::to_owned).unwrap_or(text)
}
