//! The routing table and batches of Fanout: no Python, no sockets, no clock.

mod batch;
mod blocks;
mod bodies;
mod cache;
mod cells;
mod chains;
mod channels;
mod course;
mod crowd;
mod engine;
mod error;
mod frame;
mod free;
mod hub;
mod ids;
mod inboxes;
mod instances;
mod interner;
mod lists;
mod lru;
mod names;
mod outbox;
mod pages;
mod partition;
mod portable;
mod prefetch;
mod queries;
mod readers;
mod repeats;
mod rice;
mod rosters;
mod route;
mod rows;
mod slices;
mod slots;
mod snapshot;
mod sync;
mod table;
mod updates;
mod users;

#[cfg(all(test, shuttle))]
mod concurrency_tests;

pub use batch::{Batch, Decoder, Place, Record};
pub use chains::{Chains, Verdict};
pub use engine::{Config, Engine, MIN_BATCH};
pub use error::{Error, Result};
pub use frame::{MAX_BATCH, check_event, message_new, text_frame_head};
pub use hub::{Flushed, Frame, Hub, Pause, Received, Socket, Wire};
pub use ids::{Ids, check as check_id};
pub use partition::partition_of;
pub use queries::Name;
pub use rosters::Digest;
pub use route::Stored;
pub use snapshot::{Moment, Refusal};
