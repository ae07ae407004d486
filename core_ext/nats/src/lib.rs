//! What a NATS server sends, taken in as bytes: deliveries of `JetStream`'s consumers go by the batch to who reads them,
//! everything else to the client library. No Python, no sockets, no clock.

mod deliveries;
mod delivery_buffer;
mod lifts;
mod message;
mod reply;
mod splitter;

pub use deliveries::{Deliveries, Delivery};
pub use delivery_buffer::{BufferError, DeliveryBuffer};
pub use lifts::Lifts;
pub use splitter::{Fed, Splitter};
