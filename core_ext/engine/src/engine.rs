//! The engine: a routing table and an outbox, each behind its lock.

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::inboxes::Due;
use crate::outbox::Outbox;
use crate::sync::Mutex;
use crate::table::Table;

/// How an engine batches and caches; times are nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// After its first event a batch is due.
    pub flush_interval: u64,
    /// With so many events a batch is due at once.
    pub flush_events: usize,
    /// So many users' lists are cached.
    pub cache_users: usize,
    /// A cached list is no longer used.
    pub cache_ttl: u64,
}

/// A routing table and its outgoing batches. Shared freely between threads.
///
/// Where a method takes `now`, it is nanoseconds since an origin that the caller chooses once.
///
/// Order of the locks: the turn of snapshots, that of drops, a user's turn or that of the lanes, the outbox, the table's.
/// Who routes holds the outbox while it reads the targets, so that a dropped instance gets nothing any more once its drop
/// has passed the outbox.
pub struct Engine {
    pub(crate) table: Table,
    pub(crate) outbox: Mutex<Outbox>,
    /// Whoever drops an instance waits for this turn, so that its number stays its own until the drop is done.
    pub(crate) drops: Mutex<()>,
    /// Whoever moves a lane waits for this turn, so that a bulk of stored events is routed whole.
    pub(crate) lanes: Mutex<()>,
    /// Whoever writes a snapshot waits for this turn: the channels can be pinned once.
    pub(crate) snapshots: Mutex<()>,
    pub(crate) snapshot_note: Vec<u8>,
}

impl Engine {
    /// An empty engine.
    pub fn new(config: Config) -> Result<Self> {
        if config.flush_events == 0 {
            return Err(Error::InvalidArgument("flush_events must be at least 1".to_owned()));
        }
        let due = Due { interval: config.flush_interval, events: config.flush_events };
        let table = Table::new(Cache::new(config.cache_users, config.cache_ttl));
        let turn = || Mutex::new(());
        Ok(Self {
            table,
            outbox: Mutex::new(Outbox::new(due)),
            drops: turn(),
            lanes: turn(),
            snapshots: turn(),
            snapshot_note: Vec::new(),
        })
    }
}
