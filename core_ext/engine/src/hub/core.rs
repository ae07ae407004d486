//! The sockets of a notification instance, and the frames that wait to be written to each.
//!
//! All frames that wait for a socket leave in one write. The routing table says which sockets read a channel: each
//! session is one of the table's "instances", and its socket has the number of that instance.
//!
//! The hub writes only to a socket that takes everything at once. A frame for a socket that lags, has no descriptor or
//! is not open yet is *over budget*: the hub does not queue it and names the socket in its answer. The socket's owner,
//! who knows what is buffered, decides.
//!
//! A socket that is *catching up* gets older events from its owner, by [`Hub::push`]. Live frames are set aside for it
//! until it is live again.

use crate::engine::core::Engine;
use crate::error::{Error, Result};
use crate::hub::set_aside::Lost;
use crate::hub::wire::{Frame, Socket, Wire};
use crate::hub::write_queue::{WriteQueue, Written};
use crate::hub::write_scheduler::WriteScheduler;
use crate::names::ids::{Id, check};
use crate::sync::Mutex;
use crate::table::channel_rows::InstanceIds;

/// The result of a flush.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// The number of frames that no longer wait, those of `left` included.
    pub frames: usize,
    /// The bytes that the owner of each socket has to write, in the order in which the sockets were written.
    pub left: Vec<(Socket, Vec<u8>)>,
    /// Whether more sockets wait for their turn.
    pub more: bool,
}

/// A frame for the readers of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFrame {
    /// Its bytes.
    pub frame: Frame,
    /// The place in the log, if the log has the event and a socket that catches up gets it from there.
    pub seq: Option<u64>,
    /// Whether a slow reader may miss it.
    pub ephemeral: bool,
}

/// The sockets of an instance.
#[derive(Default)]
pub struct Hub {
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    sockets: Vec<Option<WriteQueue>>,
    scheduler: WriteScheduler,
    /// Frames that wait for open sockets; a frame that waits for two sockets counts twice.
    pub(super) waiting: usize,
}

impl Hub {
    /// Add a socket; nothing is written to it before it is opened.
    ///
    /// Its session must be no instance of the table yet. Once it is one, it must stay one until the socket is removed.
    pub fn add(&self, engine: &Engine, session: &str, descriptor: Option<i32>, budget: usize) -> Result<Socket> {
        let socket = engine.table.instances.reach(&Id::new(session, "session")?);
        let state = &mut *self.state.lock();
        let index = socket as usize;
        if state.sockets.len() <= index {
            state.sockets.resize_with(index + 1, || None);
        }
        if state.sockets[index].is_some() {
            return Err(Error::InvalidArgument(format!("{session} has a socket already")));
        }
        state.sockets[index] = Some(WriteQueue::new(descriptor, budget));
        Ok(socket)
    }

    /// Forget a socket and the frames that wait for it. Removing it twice has no further effect.
    pub fn remove(&self, socket: Socket) {
        let state = &mut *self.state.lock();
        if let Some(gone) = state.sockets.get_mut(socket as usize).and_then(Option::take) {
            state.waiting -= if gone.is_open() { gone.frames() } else { 0 };
        }
    }

    /// Queue a frame for the readers of a channel and for `also`, each once, but not for those of `without`.
    ///
    /// Returns the sockets for which it was not queued, because it is over budget there.
    pub fn deliver(
        &self,
        engine: &Engine,
        channel: &str,
        frame: &LiveFrame,
        without: &[Socket],
        also: &[Socket],
    ) -> Result<Vec<Socket>> {
        check(channel, "channel")?;
        let targets = sockets_of(engine, channel, without, also);
        Ok(self.state.lock().deliver(&targets, frame))
    }

    /// Let a socket catch up: leave out the live events of the log, and set other live frames aside, at most
    /// `most_aside` bytes.
    pub fn catch_up(&self, socket: Socket, most_aside: usize) {
        if let Some(queue) = self.state.lock().get(socket) {
            queue.catch_up(most_aside);
        }
    }

    /// Set the live events of the log aside too, for a socket that is catching up.
    pub fn hold(&self, socket: Socket) {
        if let Some(aside) = self.state.lock().get(socket).and_then(WriteQueue::aside) {
            aside.hold();
        }
    }

    /// Whether no live event was left out since the last [`Hub::hold`] of a socket that is catching up. If one was,
    /// for want of room, the log has to be read on.
    pub fn is_holding(&self, socket: Socket) -> bool {
        self.state.lock().get(socket).and_then(WriteQueue::aside).is_some_and(|aside| aside.is_holding())
    }

    /// Set a frame aside for a socket that is catching up; returns whether it is.
    pub fn set_aside(&self, socket: Socket, frame: &Frame, ephemeral: bool) -> bool {
        let state = &mut *self.state.lock();
        let aside = state.get(socket).and_then(WriteQueue::aside);
        aside.map(|aside| aside.take(None, frame, ephemeral)).is_some()
    }

    /// Queue `end` and the frames that were set aside, and from now on every live frame that is not an event of the log
    /// up to `floor`. Returns how many frames found no room while they were set aside.
    pub fn go_live(&self, socket: Socket, floor: u64, end: Option<&Frame>) -> Lost {
        let state = &mut *self.state.lock();
        let Some(queue) = state.get(socket) else { return Lost::default() };
        let before = queue.frames();
        let lost = queue.go_live(floor, end);
        if queue.is_open() {
            let more = queue.frames() - before;
            state.waiting += more;
            state.scheduler.give([socket]);
        }
        lost
    }

    /// Queue a frame whatever the budget; returns false if there is no such socket.
    pub fn push(&self, socket: Socket, frame: &Frame) -> bool {
        self.state.lock().push(socket, frame)
    }

    /// Bytes that wait in the hub for a socket.
    pub fn waiting(&self, socket: Socket) -> usize {
        self.state.lock().get(socket).map_or(0, |queue| queue.bytes())
    }

    /// Frames that wait for open sockets; a frame that waits for two sockets counts twice.
    pub fn frames(&self) -> usize {
        self.state.lock().waiting
    }

    /// How many sockets there are.
    pub fn sockets(&self) -> usize {
        self.state.lock().sockets.iter().flatten().count()
    }

    /// Begin to write to a socket: `first`, then everything that waits. Call it once.
    pub fn open(&self, socket: Socket, first: &Frame) {
        let state = &mut *self.state.lock();
        if let Some(queue) = state.get(socket) {
            queue.open(first);
            let frames = queue.frames();
            state.waiting += frames;
            state.scheduler.give([socket]);
        }
    }

    /// Let the owner write everything for a socket, or let the hub write again. A socket is blocked while its owner has
    /// to write something first, and when nothing more may be written.
    pub fn block(&self, socket: Socket, blocked: bool) {
        if let Some(queue) = self.state.lock().get(socket) {
            queue.block(blocked);
        }
    }

    /// Queue no more frames for a socket as a reader of channels. Frames that wait or are pushed are still written.
    ///
    /// This takes effect at once, however many channels the session reads; removing the session from the table takes
    /// longer.
    pub fn mute(&self, socket: Socket) {
        if let Some(queue) = self.state.lock().get(socket) {
            queue.mute();
        }
    }

    /// Write the frames that wait, to at most `most` sockets, in the order of the write scheduler.
    pub fn flush(&self, most: usize, wire: &mut impl Wire) -> Flushed {
        let state = &mut *self.state.lock();
        let mut flushed = Flushed::default();
        for _ in 0..most {
            let Some(socket) = state.scheduler.next() else { break };
            state.write(socket, wire, &mut flushed);
        }
        flushed.more = !state.scheduler.is_empty();
        flushed
    }

    /// Write the frames that wait for one socket.
    pub fn flush_one(&self, socket: Socket, wire: &mut impl Wire) -> Flushed {
        let state = &mut *self.state.lock();
        let mut flushed = Flushed::default();
        state.write(socket, wire, &mut flushed);
        flushed.more = !state.scheduler.is_empty();
        flushed
    }
}

impl State {
    fn get(&mut self, socket: Socket) -> Option<&mut WriteQueue> {
        self.sockets.get_mut(socket as usize)?.as_mut()
    }

    pub(super) fn deliver(&mut self, targets: &[Socket], live: &LiveFrame) -> Vec<Socket> {
        let LiveFrame { frame, seq, ephemeral } = live;
        let Self { sockets, scheduler, waiting } = self;
        let mut over_budget = Vec::new();
        let mut round = scheduler.begin(targets.len());
        for &socket in targets {
            let Some(queue) = sockets.get_mut(socket as usize).and_then(Option::as_mut) else { continue };
            if queue.is_muted() || !queue.takes(*seq, frame, *ephemeral) {
                continue;
            }
            if queue.fits(frame, *ephemeral) {
                round.add(socket, queue.push(frame));
                *waiting += 1;
            } else {
                over_budget.push(socket);
            }
        }
        round.end();
        over_budget
    }

    fn push(&mut self, socket: Socket, frame: &Frame) -> bool {
        let Some(queue) = self.get(socket) else { return false };
        queue.push(frame);
        if queue.is_open() {
            self.waiting += 1;
            self.scheduler.give([socket]);
        }
        true
    }

    fn write(&mut self, socket: Socket, wire: &mut impl Wire, flushed: &mut Flushed) {
        let Some(queue) = self.get(socket) else { return };
        let Written { frames, left } = queue.write(wire);
        self.waiting -= frames;
        flushed.frames += frames;
        if !left.is_empty() {
            flushed.left.push((socket, left));
        }
    }
}

pub(super) fn sockets_of(engine: &Engine, channel: &str, without: &[Socket], also: &[Socket]) -> InstanceIds {
    let mut targets = Id::new(channel, "channel")
        .map_or_else(|_| InstanceIds::new(), |channel| engine.table.channel_targets(&channel));
    if !also.is_empty() {
        targets.extend_from_slice(also);
        targets.sort_unstable();
        targets.dedup();
    }
    if !without.is_empty() {
        targets.retain(|reader| !without.contains(reader));
    }
    targets
}

#[cfg(test)]
#[path = "core_tests.rs"]
pub(super) mod tests;
