//! Which socket is written next: sockets wait in rounds, one round for each event, and the rounds take turns.
//!
//! So an event of many readers delays an event of few by only a short turn of each round. A socket is in the round of
//! the first event that waits for it. It is a second time in the round of an event of few readers, because that event
//! would otherwise wait for a long round. The round that comes first writes all frames of the socket. Many events to
//! the same large set of readers form one round.

use std::collections::VecDeque;

use crate::hub::wire::Socket;

/// The number of sockets that are written in one turn of a round. An event of at most so many readers always gets a
/// round of its own.
const SOCKETS_IN_A_TURN: usize = 32;

/// The rounds that wait. The first one has its turn.
#[derive(Default)]
pub(super) struct WriteScheduler {
    rounds: VecDeque<Round>,
    /// The number of sockets of the first round that were written in this turn.
    had: usize,
}

struct Round {
    sockets: Vec<Socket>,
    next: usize,
}

/// A round to which sockets are added.
pub(super) struct RoundBuilder<'a> {
    scheduler: &'a mut WriteScheduler,
    sockets: Vec<Socket>,
    small: bool,
}

impl WriteScheduler {
    /// Begin the round of an event with this number of readers.
    pub(super) fn begin(&mut self, readers: usize) -> RoundBuilder<'_> {
        RoundBuilder { scheduler: self, sockets: Vec::new(), small: readers <= SOCKETS_IN_A_TURN }
    }

    /// Add a round of sockets, whether they wait already or not.
    pub(super) fn give(&mut self, sockets: impl Into<Vec<Socket>>) {
        self.rounds.push_back(Round { sockets: sockets.into(), next: 0 });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// The socket whose turn it is.
    pub(super) fn next(&mut self) -> Option<Socket> {
        let round = self.rounds.front_mut()?;
        let socket = round.sockets[round.next];
        round.next += 1;
        self.had += 1;
        if round.next == round.sockets.len() {
            self.rounds.pop_front();
            self.had = 0;
        } else if self.had == SOCKETS_IN_A_TURN {
            self.rounds.rotate_left(1);
            self.had = 0;
        }
        Some(socket)
    }
}

impl RoundBuilder<'_> {
    /// Add a reader of the event; `first`: nothing else waits for its socket.
    pub(super) fn add(&mut self, socket: Socket, first: bool) {
        if first || self.small {
            self.sockets.push(socket);
        }
    }

    pub(super) fn end(self) {
        if !self.sockets.is_empty() {
            self.scheduler.give(self.sockets);
        }
    }
}
