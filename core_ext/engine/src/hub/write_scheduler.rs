//! Whose turn it is: sockets wait in waves, one for each event, and the waves take turns.
//!
//! So an event of many readers holds up one of few for no more than a short turn of each wave. A socket stands in the
//! wave of the first event that waits for it, and a second time in that of an event of few readers, which would wait
//! for a long wave to pass otherwise; whichever comes first takes all that waits. A flood of events to the same many
//! readers is one wave.

use std::collections::VecDeque;

use crate::hub::wire::Socket;

/// Sockets in one turn of a wave; an event of no more readers has a wave of its own.
const TURN: usize = 32;

/// The waves.
#[derive(Default)]
pub(super) struct WriteScheduler {
    waves: VecDeque<Wave>,
    /// Sockets that the first wave has had in its turn.
    had: usize,
}

struct Wave {
    sockets: Vec<Socket>,
    next: usize,
}

/// A wave that is being gathered.
pub(super) struct Gathering<'a> {
    turns: &'a mut WriteScheduler,
    sockets: Vec<Socket>,
    small: bool,
}

impl WriteScheduler {
    /// Gather the wave of an event of so many readers.
    pub(super) fn begin(&mut self, readers: usize) -> Gathering<'_> {
        Gathering { turns: self, sockets: Vec::new(), small: readers <= TURN }
    }

    /// Let sockets wait, whether they do already or not.
    pub(super) fn give(&mut self, sockets: impl Into<Vec<Socket>>) {
        self.waves.push_back(Wave { sockets: sockets.into(), next: 0 });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waves.is_empty()
    }

    /// The socket whose turn it is.
    pub(super) fn next(&mut self) -> Option<Socket> {
        let wave = self.waves.front_mut()?;
        let socket = wave.sockets[wave.next];
        wave.next += 1;
        self.had += 1;
        if wave.next == wave.sockets.len() {
            self.waves.pop_front();
            self.had = 0;
        } else if self.had == TURN {
            self.waves.rotate_left(1);
            self.had = 0;
        }
        Some(socket)
    }
}

impl Gathering<'_> {
    /// A socket of the event; `first` when nothing else waits for it.
    pub(super) fn add(&mut self, socket: Socket, first: bool) {
        if first || self.small {
            self.sockets.push(socket);
        }
    }

    pub(super) fn end(self) {
        if !self.sockets.is_empty() {
            self.turns.give(self.sockets);
        }
    }
}
