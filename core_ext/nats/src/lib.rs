//! Splits what a NATS server sends, as bytes: readers get the deliveries of their `JetStream` consumers in batches, and
//! the client library gets everything else. No Python, no sockets, no clock.

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
