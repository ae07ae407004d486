//! The one conversion of errors: each of the engine's becomes the Python class that the stub names.

use fanout_engine::Error;
use pyo3::PyErr;
use pyo3::exceptions::{PyLookupError, PyValueError};

mod classes {
    pyo3::import_exception!(fanout.errors, InvalidEvent);
    pyo3::import_exception!(fanout.errors, InvalidId);
    pyo3::import_exception!(fanout.errors, MembershipUnknown);
}

/// An error of the engine on its way to Python.
pub struct CoreError(Error);

/// What a fallible function of the module returns.
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
        }
    }
}
