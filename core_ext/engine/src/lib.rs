//! The routing table and batches of Fanout: no Python, no sockets, no clock.

mod batch;
mod engine;
mod error;
mod frame;
mod ids;
mod lru;
mod memberships;
mod outbox;
mod pages;
mod partition;
mod placements;
mod portable;
mod queries;
mod rosters;
mod route;
mod sync;
mod table;
mod updates;

pub use batch::{Decoder, Encoder, Record};
pub use engine::{Config, Engine};
pub use error::{Error, Result};
pub use frame::{MAX_EVENT, check_event, message_new, text_frame_head};
pub use ids::check as check_id;
pub use outbox::MAX_BATCH;
pub use partition::partition_of;
pub use queries::Name;
pub use rosters::Digest;
pub use route::Stored;
