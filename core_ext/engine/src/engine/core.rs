//! The engine: a routing table and an outbox, each behind its lock.

use crate::error::{Error, Result};
use crate::events::frame::max_event;
use crate::outbox::core::Outbox;
use crate::outbox::instance_queues::Due;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::table::cache::Cache;
use crate::table::core::Table;

/// The least that a batch must be able to hold: an event of a kilobyte or two, with what a batch adds.
pub const MIN_BATCH: usize = 4 << 10;

/// How an engine batches and caches; times are nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// After its first event a batch is due.
    pub flush_interval: u64,
    /// With so many events a batch is due at once.
    pub flush_events: usize,
    /// The most bytes that a batch may have: what the bus carries in one message.
    pub max_batch: usize,
    /// So many users' lists are cached.
    pub cache_users: usize,
    /// A cached list is no longer used.
    pub cache_ttl: u64,
}

/// A routing table and its outgoing batches. Shared freely between threads.
///
/// Where a method takes `now`, it is nanoseconds since an origin that the caller chooses once.
///
/// Order of the locks: the turn of snapshots, that of drops, a user's turn or that of the lanes, the outbox, the
/// table's. Who routes holds the outbox while it reads the targets, so that a dropped instance gets nothing any more
/// once its drop has passed the outbox.
pub struct Engine {
    pub(crate) table: Table,
    pub(crate) outbox: Mutex<Outbox>,
    /// The most bytes of a batch. It may change, so an event is checked against the limit of a moment before.
    pub(crate) max_batch: AtomicUsize,
    /// A thread that drops an instance waits for this turn, so that the instance keeps its number until the drop is
    /// done.
    pub(crate) drops: Mutex<()>,
    /// A thread that moves a lane waits for this turn, so that a bulk of stored events is routed whole.
    pub(crate) lanes: Mutex<()>,
    /// A thread that writes a snapshot waits for this turn: the channels can be pinned once at a time.
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
        let table = Table::new(Cache::new(config.cache_users, config.cache_ttl));
        let turn = || Mutex::new(());
        Ok(Self {
            table,
            outbox: Mutex::new(Outbox::new(due, close_at(config.max_batch))),
            max_batch: AtomicUsize::new(config.max_batch),
            drops: turn(),
            lanes: turn(),
            snapshots: turn(),
            snapshot_note: Vec::new(),
        })
    }

    /// The most bytes that a batch may have.
    pub fn max_batch(&self) -> usize {
        self.max_batch.load(Ordering::Relaxed)
    }

    /// Have batches of at most so many bytes from now on. What waits already may be longer.
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
    if bytes >= MIN_BATCH {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!("max_batch must be at least {MIN_BATCH}")))
}

/// Batches are closed at half of what they may have: only an event that is longer by itself makes a longer one.
fn close_at(max_batch: usize) -> usize {
    max_batch / 2
}
