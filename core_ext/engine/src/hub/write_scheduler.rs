//! Which socket is written next: sockets wait in rounds, one round for each event, and the rounds take turns.
//!
//! So an event of many readers holds up one of few for no more than a short turn of each round. A socket stands in the
//! round of the first event that waits for it, and a second time in that of an event of few readers, which would wait
//! for a long round to pass otherwise; whichever comes first takes all that waits. A flood of events to the same many
//! readers is one round.

use std::collections::VecDeque;

use crate::hub::wire::Socket;

/// Sockets in one turn of a round; an event of no more readers has a round of its own.
const SOCKETS_IN_A_TURN: usize = 32;

/// The rounds that wait, the one whose turn it is first.
#[derive(Default)]
pub(super) struct WriteScheduler {
    rounds: VecDeque<Round>,
    /// How many sockets of the first round were written in this turn.
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
    /// Begin the round of an event of so many readers.
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
    /// A socket of the event; `first` when nothing else waits for it.
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
