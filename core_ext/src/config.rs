//! The settings of an engine, out of the constructor's arguments.

use fanout_engine::Config;

use crate::arguments::{Natural, Seconds};
use crate::names::{CacheTtl, CacheUsers, FlushEvents, FlushInterval, MaxBatch, Seed};

/// The settings.
pub fn config(
    flush_interval: Seconds<FlushInterval>,
    flush_events: Natural<FlushEvents, usize>,
    cache_users: Natural<CacheUsers, usize>,
    cache_ttl: Seconds<CacheTtl>,
    max_batch: Natural<MaxBatch, usize>,
    seed: Option<Natural<Seed, u64>>,
) -> Config {
    Config {
        flush_interval: flush_interval.0,
        flush_events: flush_events.0,
        max_batch: max_batch.0,
        cache_users: cache_users.0,
        cache_ttl: cache_ttl.0,
        seed: seed.map(|seed| seed.0),
    }
}
