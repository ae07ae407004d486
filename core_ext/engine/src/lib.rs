//! The routing table and batches of Fanout: no Python, no sockets, no clock.
//!
//! Each folder uses only those below it, and within a folder no two files use each other:
//!
//! ```text
//! hub       replay      snapshot
//! engine
//! outbox
//! table     events
//! names
//! memory    sync    error.rs
//! ```
//!
//! The main type of a folder stands in its `core.rs`. A `mod.rs` declares files and holds nothing else, but for `sync`.

mod engine;
mod error;
mod events;
mod hub;
mod memory;
mod names;
mod outbox;
mod replay;
mod snapshot;
mod sync;
mod table;

#[cfg(all(test, shuttle))]
mod concurrency_tests;

pub use engine::core::{Config, Engine, MIN_BATCH};
pub use engine::queries::Name;
pub use error::{Error, Refusal, Result, shortened, shortened_value};
pub use events::batch::{Batch, BatchEvent, BatchPosition, Decoder, RecordKind};
pub use events::frame::{MAX_BATCH, check_event, text_frame_head};
pub use events::partition::partition_of;
pub use events::stored::{StoredEvent, StoredKind};
pub use hub::core::{Flushed, Hub, LiveFrame};
pub use hub::lane_progress::{Check, LaneProgress};
pub use hub::receiving::{Pause, Received};
pub use hub::set_aside::Lost;
pub use hub::wire::{Frame, Socket, Wire};
pub use names::ids::{Ids, check_at as check_id_at};
pub use replay::cache::{Frames, LogCache, Span, Wanted};
pub use snapshot::format::Moment;
pub use table::presence_sets::Digest;
