//! Delivers batches of the fan-out workers to the write queues of the sockets.

use crate::engine::core::Engine;
use crate::error::Result;
use crate::events::batch::{BatchEvent, Decoder, RecordKind};
use crate::events::frame::text_frame_head;
use crate::hub::core::{Hub, LiveFrame, sockets_of};
use crate::hub::lane_progress::{Check, LaneProgress};
use crate::hub::wire::{Frame, Socket};

/// Why a delivery stopped before the end of its batch, or at it.
#[derive(Debug, PartialEq, Eq)]
pub enum Pause<'a> {
    /// The batch has no more records.
    Done,
    /// The most frames that may wait do wait.
    Full,
    /// The caller has to handle this record; nothing was done with it.
    Look(BatchEvent<'a>),
    /// The record was delivered, but not to these sockets: it is over budget for them.
    OverBudget(BatchEvent<'a>, Vec<Socket>),
}

/// The result of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Why it stopped.
    pub pause: Pause<'a>,
    /// The number of events that were skipped because they had been delivered.
    pub stale: usize,
    /// The number of records that were skipped because this version does not know their kind.
    pub unknown: usize,
}

impl Hub {
    /// Queue the events of a batch for the readers of their channels, up to one that needs more than that.
    ///
    /// The caller has to handle a record that is behind a gap, names a user, or belongs to a lane that is unknown or
    /// not plain. The delivery also stops when more than `most` frames wait.
    pub fn receive<'a>(
        &self,
        engine: &Engine,
        decoder: &mut Decoder<'a>,
        progress: &mut LaneProgress,
        most: usize,
    ) -> Result<Received<'a>> {
        let state = &mut *self.state.lock();
        let (mut passed_over, mut unknown) = (0, 0);
        let pause = loop {
            if state.waiting > most {
                break Pause::Full;
            }
            let Some(record) = decoder.next().transpose()? else { break Pause::Done };
            match destination(&record, progress) {
                Destination::Readers(channel) => {
                    let targets = sockets_of(engine, channel, &[], &[]);
                    let over_budget = state.deliver(&targets, &live_frame(&record));
                    if !over_budget.is_empty() {
                        break Pause::OverBudget(record, over_budget);
                    }
                }
                Destination::Nowhere => {}
                Destination::Stale => passed_over += 1,
                Destination::Unknown => unknown += 1,
                Destination::Caller => break Pause::Look(record),
            }
        };
        Ok(Received { pause, stale: passed_over, unknown })
    }
}

/// The sockets or the caller to which a record goes.
enum Destination<'a> {
    Readers(&'a str),
    Nowhere,
    Stale,
    Unknown,
    Caller,
}

fn destination<'a>(record: &BatchEvent<'a>, progress: &mut LaneProgress) -> Destination<'a> {
    let is_unknown = record.kind == RecordKind::Unknown;
    if record.lane == 0 {
        return match (record.channel, record.user) {
            _ if is_unknown => Destination::Unknown,
            (Some(channel), None) => Destination::Readers(channel),
            _ => Destination::Caller,
        };
    }
    match (progress.pass(record), record.channel) {
        (Some(Check::Next), Some(_)) if progress.is_repeat(record.event) => Destination::Stale,
        (Some(Check::Next), Some(channel)) => Destination::Readers(channel),
        (Some(Check::Stale), Some(_)) => Destination::Stale,
        (Some(Check::Next), None) if is_unknown => Destination::Unknown,
        (Some(Check::Next | Check::Stale), None) => Destination::Nowhere,
        (Some(Check::Gap) | None, _) => Destination::Caller,
    }
}

fn live_frame(record: &BatchEvent) -> LiveFrame {
    let is_replayed = matches!(record.kind, RecordKind::Stored(kind) if kind.is_replayed());
    LiveFrame { frame: frame(record.event), seq: is_replayed.then_some(record.seq), ephemeral: record.lane == 0 }
}

/// An event in an unmasked, final text frame.
fn frame(event: &[u8]) -> Frame {
    let head = text_frame_head(event.len());
    [head.as_ref(), event].concat().into()
}

#[cfg(test)]
#[path = "receiving_tests.rs"]
mod tests;
