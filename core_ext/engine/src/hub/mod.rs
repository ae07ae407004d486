//! The sockets of a notification instance: batches come in, frames go out.

pub(crate) mod core;
pub(crate) mod lane_progress;
pub(crate) mod receiving;
pub(crate) mod repeats;
pub(crate) mod set_aside;
pub(crate) mod wire;
pub(crate) mod write_queue;
pub(crate) mod write_scheduler;
