//! Batches from fan-out workers on their way to the sockets.

use crate::engine::core::Engine;
use crate::error::Result;
use crate::events::batch::{Decoder, Record};
use crate::events::frame::text_frame_head;
use crate::hub::core::{Hub, readers_of};
use crate::hub::lane_progress::{Chains, Verdict};
use crate::hub::wire::{Frame, Socket};

/// Why a delivery stopped before the end of its batch, or at it.
#[derive(Debug, PartialEq, Eq)]
pub enum Pause<'a> {
    /// There is no more.
    Done,
    /// As many frames wait as may.
    Full,
    /// The caller has to see to this record; nothing was done with it.
    Look(Record<'a>),
    /// The record was delivered, but for some sockets that the caller has to judge.
    Judge(Record<'a>, Vec<Socket>),
}

/// What a delivery did.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Why it stopped.
    pub pause: Pause<'a>,
    /// Events that were passed over, because they had been delivered.
    pub stale: usize,
}

impl Hub {
    /// Queue the events of a batch for the readers of their channels, as long as nothing needs more than that.
    ///
    /// The caller has to look at what is behind a hole, what is of a lane that is not plain or not known, and what
    /// names a user. It stops, too, when more than `most` frames wait.
    pub fn receive<'a>(
        &self,
        engine: &Engine,
        decoder: &mut Decoder<'a>,
        chains: &mut Chains,
        most: usize,
    ) -> Result<Received<'a>> {
        let state = &mut *self.state.lock();
        let mut passed_over = 0;
        let pause = loop {
            if state.waiting > most {
                break Pause::Full;
            }
            let Some(record) = decoder.next().transpose()? else { break Pause::Done };
            match way(&record, chains) {
                Way::Readers(channel) => {
                    let readers = readers_of(engine, channel, &[], &[]);
                    let to_judge = state.deliver(&readers, &frame(record.event), record.lane == 0);
                    if !to_judge.is_empty() {
                        break Pause::Judge(record, to_judge);
                    }
                }
                Way::Nowhere => {}
                Way::Stale => passed_over += 1,
                Way::Caller => break Pause::Look(record),
            }
        };
        Ok(Received { pause, stale: passed_over })
    }
}

/// Where a record goes.
enum Way<'a> {
    Readers(&'a str),
    Nowhere,
    Stale,
    Caller,
}

fn way<'a>(record: &Record<'a>, chains: &mut Chains) -> Way<'a> {
    if record.lane == 0 {
        return match (record.channel, record.user) {
            (Some(channel), None) => Way::Readers(channel),
            _ => Way::Caller,
        };
    }
    match (chains.pass(record), record.channel) {
        (Some(Verdict::Next), Some(_)) if chains.is_repeat(record.event) => Way::Stale,
        (Some(Verdict::Next), Some(channel)) => Way::Readers(channel),
        (Some(Verdict::Stale), Some(_)) => Way::Stale,
        (Some(Verdict::Next | Verdict::Stale), None) => Way::Nowhere,
        (Some(Verdict::Hole) | None, _) => Way::Caller,
    }
}

/// An event in an unmasked, final text frame.
fn frame(event: &[u8]) -> Frame {
    let head = text_frame_head(event.len());
    [head.as_ref(), event].concat().into()
}
