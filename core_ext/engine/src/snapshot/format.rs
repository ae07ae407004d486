//! The sections of a snapshot, and the types that reading and writing share.

use crate::error::Refusal;

/// The value that was read, or the reason why the bytes are invalid.
pub(super) type Checked<T> = std::result::Result<T, Refusal>;

/// A point in time, by two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Nanoseconds of the engine's clock.
    pub now: u64,
    /// Nanoseconds since the beginning of 1970. This clock continues while no engine exists.
    pub unix: u64,
}

/// The kind of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(super) enum SectionKind {
    Head = 1,
    Instances,
    Channels,
    Users,
}

/// A section ends with the item that exceeds this number of bytes.
pub(super) const SECTION: usize = 256 << 10;
