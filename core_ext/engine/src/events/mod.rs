//! The bytes of events: checked, wrapped, framed, and written into batches.

pub(crate) mod batch;
pub(crate) mod bodies;
pub(crate) mod chunks;
pub(crate) mod coding;
pub(crate) mod frame;
pub(crate) mod json;
pub(crate) mod json_limits;
pub(crate) mod partition;
pub(crate) mod stored;
