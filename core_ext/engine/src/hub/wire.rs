//! The frames that a hub writes, and the system call with which it writes them.

use std::io::{self, IoSlice};
use std::sync::Arc;

/// The bytes of one WebSocket frame, the same for all its readers.
pub type Frame = Arc<[u8]>;

/// A socket of a hub: the number of its session among the table's instances.
pub type Socket = u32;

/// The system calls of a hub.
pub trait Wire {
    /// Send as much of the slices as the socket takes now, without waiting. Returns the number of bytes.
    fn send(&mut self, descriptor: i32, slices: &[IoSlice]) -> io::Result<usize>;
}
