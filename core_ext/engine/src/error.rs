//! What can go wrong, as one enum.

/// Every error of the engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An id outside the charset of the contract; the field is named.
    #[error("{0} must be 1 to 128 characters of A-Z, a-z, 0-9, '_' or '-'")]
    InvalidId(&'static str),
    /// An event whose bytes can never be delivered, and why.
    #[error("{0}")]
    InvalidEvent(String),
    /// A batch that is cut, foreign, or of another version.
    #[error("not a batch: {0}")]
    InvalidBatch(&'static str),
    /// An argument out of its range.
    #[error("{0}")]
    InvalidArgument(String),
    /// The channels of a user are neither given nor held.
    #[error("the channels of user {0} are not known")]
    MembershipUnknown(String),
    /// A lane that was never opened, or was closed.
    #[error("lane {0} is not open")]
    LaneNotOpen(u32),
}

/// What a fallible call of the engine returns.
pub type Result<T> = std::result::Result<T, Error>;
