//! What the parts of a snapshot share: its sections, and what reading them gives.

use crate::error::Refusal;

/// What was read, or why it cannot be true.
pub(super) type Checked<T> = std::result::Result<T, Refusal>;

/// A point in time, by two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The engine's, as everywhere.
    pub now: u64,
    /// The one that goes on while no engine is there: nanoseconds since the beginning of 1970.
    pub unix: u64,
}

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(super) enum Kind {
    Head = 1,
    Instances,
    Channels,
    Users,
}

/// A section ends with the item that passes so many bytes.
pub(super) const SECTION: usize = 256 << 10;
