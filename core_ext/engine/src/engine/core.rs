//! The engine: a routing table and an outbox, each behind its lock.

use crate::error::{Error, Result};
use crate::events::frame::max_event;
use crate::names::hashed_name::Keys;
use crate::outbox::core::Outbox;
use crate::outbox::instance_queues::Due;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::table::cache::Cache;
use crate::table::core::Table;

/// The lowest limit of a batch, in bytes: it holds an event of one or two kilobytes and what a batch adds to it.
pub const MIN_BATCH: usize = 4 << 10;

/// The highest limit of a batch, in bytes: positions in a block of payloads, which may hold an event of that length, have
/// 32 bits.
const HIGHEST_MAX_BATCH: usize = 1 << 30;

/// The settings of an engine; times are in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The time from the first event of a batch until the batch is due.
    pub flush_interval: u64,
    /// The number of events with which a batch is due at once.
    pub flush_events: usize,
    /// The most bytes of a batch: the limit of one message on the bus.
    pub max_batch: usize,
    /// The number of users whose lists are cached.
    pub cache_users: usize,
    /// The age from which a cached list is no longer used.
    pub cache_ttl: u64,
    /// Determines the keys of the hashes, on which some orders and the places in memory depend. None: random keys, which
    /// nobody can guess.
    pub seed: Option<u64>,
}

/// A routing table and the batches that wait to be sent. Threads may share it.
///
/// Where a method takes `now`, it is nanoseconds since an origin that the caller chooses once.
///
/// Order of the locks: the lock of snapshots, the lock of drops, a user's turn or the lock of the lanes, the outbox,
/// the locks of the table. A thread that routes holds the outbox while it reads the targets. So a dropped instance gets
/// nothing more after its drop has passed the outbox.
pub struct Engine {
    pub(crate) table: Table,
    pub(crate) outbox: Mutex<Outbox>,
    /// The most bytes of a batch. Another thread may change it, so an event may be checked against the previous limit.
    pub(crate) max_batch: AtomicUsize,
    /// Held by a thread that drops an instance, so that the instance keeps its number until the drop is done.
    pub(crate) drops: Mutex<()>,
    /// Held by a thread that advances a lane, so that no other thread advances it between two events of one call.
    pub(crate) lanes: Mutex<()>,
    /// Held by a thread that writes a snapshot, because only one pin of the channels can exist at a time.
    pub(crate) snapshots: Mutex<()>,
    pub(crate) snapshot_note: Vec<u8>,
}

impl Engine {
    /// An empty engine.
    pub fn new(config: Config) -> Result<Self> {
        if config.flush_events == 0 {
            return Err(Error::InvalidArgument("flush_events must be at least 1".to_owned()));
        }
        check_max_batch(config.max_batch)?;
        let due = Due { interval: config.flush_interval, events: config.flush_events };
        let table = Table::new(Cache::new(config.cache_users, config.cache_ttl), Keys::of(config.seed));
        let lock = || Mutex::new(());
        Ok(Self {
            table,
            outbox: Mutex::new(Outbox::new(due, close_at(config.max_batch))),
            max_batch: AtomicUsize::new(config.max_batch),
            drops: lock(),
            lanes: lock(),
            snapshots: lock(),
            snapshot_note: Vec::new(),
        })
    }

    /// The most bytes that a batch may have.
    pub fn max_batch(&self) -> usize {
        self.max_batch.load(Ordering::Relaxed)
    }

    /// Set the most bytes of a batch from now on. Batches that wait already may be longer.
    pub fn set_max_batch(&self, bytes: usize) -> Result<()> {
        check_max_batch(bytes)?;
        self.max_batch.store(bytes, Ordering::Relaxed);
        self.outbox.lock().close_at(close_at(bytes));
        Ok(())
    }

    /// The most bytes that an event may have now.
    pub(crate) fn max_event(&self) -> usize {
        max_event(self.max_batch())
    }
}

fn check_max_batch(bytes: usize) -> Result<()> {
    if (MIN_BATCH..=HIGHEST_MAX_BATCH).contains(&bytes) {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!("max_batch must be from {MIN_BATCH} to {HIGHEST_MAX_BATCH}")))
}

/// A batch is closed at half of the limit. Only a batch with a single long event is longer.
fn close_at(max_batch: usize) -> usize {
    max_batch / 2
}
