//! The write queue of one socket: the frames that wait for it.

use std::io::{self, IoSlice};

use smallvec::SmallVec;

use crate::hub::set_aside::{Lost, SetAside};
use crate::hub::wire::{Frame, Wire};

/// The most slices in one write. The kernel takes a thousand, but 64 of the smallest frames fill a packet already.
const MOST_SLICES: usize = 64;

/// The queue of a socket, its descriptor and its budget.
pub(super) struct WriteQueue {
    frames: Vec<Frame>,
    bytes: usize,
    budget: usize,
    /// Negative if there is none.
    descriptor: i32,
    open: bool,
    blocked: bool,
    muted: bool,
    /// Events of the log up to here were given to the socket or do not concern it.
    floor: u64,
    /// None while the socket is live.
    aside: Option<Box<SetAside>>,
}

/// The result of a write.
#[derive(Default)]
pub(super) struct Written {
    /// The number of frames that no longer wait.
    pub(super) frames: usize,
    /// The bytes of these frames that the owner has to write.
    pub(super) left: Vec<u8>,
}

impl WriteQueue {
    pub(super) fn new(descriptor: Option<i32>, budget: usize) -> Self {
        let descriptor = descriptor.unwrap_or(-1);
        let (frames, floor, aside) = (Vec::new(), 0, None);
        Self { frames, bytes: 0, budget, descriptor, open: false, blocked: false, muted: false, floor, aside }
    }

    /// Leave out the events of the log, and set other frames aside, until `go_live`.
    pub(super) fn catch_up(&mut self, most_aside: usize) {
        self.aside = Some(Box::new(SetAside::new(most_aside)));
    }

    /// The frames that are set aside; None while the socket is live.
    pub(super) fn aside(&mut self) -> Option<&mut SetAside> {
        self.aside.as_deref_mut()
    }

    /// Whether a live frame is to be queued now. If not, it was set aside or left out.
    ///
    /// `seq` is the place in the log of an event that the log has.
    pub(super) fn takes(&mut self, seq: Option<u64>, frame: &Frame, ephemeral: bool) -> bool {
        match &mut self.aside {
            Some(aside) => {
                aside.take(seq, frame, ephemeral);
                false
            }
            None => seq.is_none_or(|seq| seq > self.floor),
        }
    }

    /// Queue `end` and the frames that were set aside, and from now on every live frame. Events of the log up to
    /// `floor` are left out.
    pub(super) fn go_live(&mut self, floor: u64, end: Option<&Frame>) -> Lost {
        self.floor = floor;
        if let Some(end) = end {
            self.push(end);
        }
        let Some(aside) = self.aside.take() else { return Lost::default() };
        let (kept, lost) = aside.release(floor);
        for frame in kept {
            self.push(&frame);
        }
        lost
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn block(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// Take no more frames as a reader of channels.
    pub(super) fn mute(&mut self) {
        self.muted = true;
    }

    pub(super) fn is_muted(&self) -> bool {
        self.muted
    }

    /// Whether a frame can be queued without asking the owner. Ephemeral frames may use half of the budget.
    pub(super) fn fits(&self, frame: &Frame, ephemeral: bool) -> bool {
        let budget = if ephemeral { self.budget / 2 } else { self.budget };
        self.is_direct() && self.bytes + frame.len() <= budget
    }

    /// Queue a frame. Returns whether it is the first one.
    pub(super) fn push(&mut self, frame: &Frame) -> bool {
        self.frames.push(frame.clone());
        self.bytes += frame.len();
        self.frames.len() == 1
    }

    pub(super) fn open(&mut self, first: &Frame) {
        self.frames.insert(0, first.clone());
        self.bytes += first.len();
        self.open = true;
    }

    /// Send all frames that wait in one write. The owner writes the bytes that the socket did not take.
    pub(super) fn write(&mut self, wire: &mut impl Wire) -> Written {
        if !self.open || self.frames.is_empty() {
            return Written::default();
        }
        // The queue's memory is freed too, because most sockets are idle at any time.
        let frames = std::mem::take(&mut self.frames);
        self.bytes = 0;
        let left = if self.is_direct() { send(&frames, self.descriptor, wire) } else { frames.concat() };
        Written { frames: frames.len(), left }
    }

    fn is_direct(&self) -> bool {
        self.open && !self.blocked && self.descriptor >= 0
    }
}

/// Send frames and return the bytes that are left. An error is not reported here: the owner gets it when it writes the
/// rest.
fn send(queue: &[Frame], descriptor: i32, wire: &mut impl Wire) -> Vec<u8> {
    let mut at = 0;
    while at < queue.len() {
        let slices: SmallVec<[IoSlice; 16]> =
            queue[at..].iter().take(MOST_SLICES).map(|frame| IoSlice::new(frame)).collect();
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        match wire.send(descriptor, &slices) {
            Ok(sent) if sent == wanted => at += slices.len(),
            Ok(sent) => return rest(&queue[at..], sent),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return rest(&queue[at..], 0),
        }
    }
    Vec::new()
}

/// The bytes of frames behind the first `sent`.
fn rest(frames: &[Frame], sent: usize) -> Vec<u8> {
    let mut bytes = frames.concat();
    bytes.drain(..sent);
    bytes
}
