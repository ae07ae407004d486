//! Stored events, as a log has them.

/// A stored event to route: its seq, its channel, and its payload.
pub type Stored<'a> = (u64, &'a str, &'a [u8]);
