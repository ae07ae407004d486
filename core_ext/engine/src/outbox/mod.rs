//! The batches that wait to be sent to each instance.

pub(crate) mod core;
pub(crate) mod instance_queues;
