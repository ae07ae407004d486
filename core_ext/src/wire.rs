//! Sending on sockets that Python owns.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

/// The `Wire` of a hub: the kernel.
pub struct Kernel;

impl fanout_engine::Wire for Kernel {
    fn send(&mut self, descriptor: i32, slices: &[IoSlice]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let socket = acquire(descriptor);
        Ok(match slices {
            [slice] => send(socket, slice, flags)?,
            slices => sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?,
        })
    }
}

#[expect(unsafe_code, reason = "the descriptor is Python's, and its number is all that Python can give")]
fn acquire<'a>(descriptor: i32) -> BorrowedFd<'a> {
    // SAFETY: the descriptor is not -1, because a hub sends on no negative one. It is open and belongs to the socket:
    // `Hub.add` obliges the caller to block or remove a socket before its descriptor is closed.
    unsafe { BorrowedFd::borrow_raw(descriptor) }
}
