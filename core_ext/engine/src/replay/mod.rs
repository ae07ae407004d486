//! The newest part of a log, for clients that were away.

pub(crate) mod cache;
pub(crate) mod channel_index;
pub(crate) mod chunk;
