//! The routing table: which user reads which channel on which instance.

pub(crate) mod bitmap_subscribers;
pub(crate) mod cache;
pub(crate) mod channel_rows;
pub(crate) mod channels;
pub(crate) mod core;
pub(crate) mod instances;
pub(crate) mod membership_lists;
pub(crate) mod presence_sets;
pub(crate) mod shard_order;
pub(crate) mod subscriptions;
pub(crate) mod users;
