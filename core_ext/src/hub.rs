//! `fanout_engine::Hub` for Python, with an engine that Python code uses too.

use fanout_engine::{Flushed, Frame, LiveFrame, Pause};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arguments::{BytesLike, Natural, Text};
use crate::batch::{BatchEvent, InboundBatch, LaneProgress};
use crate::engine::Engine;
use crate::errors::CoreResult;
use crate::gil::released;
use crate::lists::SocketNumbers;
use crate::names;
use crate::repr;
use crate::wire::Kernel;

#[doc = doc!("Hub")]
#[pyclass(frozen, module = "fanout._core")]
pub struct Hub {
    hub: fanout_engine::Hub,
    engine: Py<Engine>,
}

/// The number of frames that are written without releasing the GIL; they take some 0.1 ms.
const FEW: usize = 16;

/// (frames, [(socket, bytes)], more)
type Answer<'py> = (usize, Vec<(u32, Bound<'py, PyBytes>)>, bool);

#[pymethods]
impl Hub {
    #[new]
    fn new(engine: Py<Engine>) -> Self {
        Self { hub: fanout_engine::Hub::default(), engine }
    }

    fn __repr__(&self) -> String {
        let counts = [("sockets", self.hub.sockets()), ("frames", self.hub.frames())];
        repr::object("Hub", counts.map(|(name, count)| (name, repr::plain(count))))
    }

    #[doc = doc!("Hub.add")]
    fn add(
        &self,
        session: Text<names::Session>,
        descriptor: Option<Natural<names::Descriptor, i32>>,
        budget: Natural<names::Budget, usize>,
    ) -> CoreResult<u32> {
        let descriptor = descriptor.map(|descriptor| descriptor.0);
        Ok(self.hub.add(self.engine.get().core(), &session, descriptor, budget.0)?)
    }

    #[doc = doc!("Hub.remove")]
    fn remove(&self, socket: Natural<names::Socket, u32>) {
        self.hub.remove(socket.0);
    }

    #[doc = doc!("Hub.deliver")]
    #[pyo3(
        signature = (
            channel,
            frame,
            *,
            seq = Natural::of(0),
            ephemeral = false,
            without = SocketNumbers::default(),
            also = SocketNumbers::default()
        ),
        text_signature = "($self, channel, frame, *, seq=0, ephemeral=False, without=(), also=())"
    )]
    fn deliver(
        &self,
        channel: Text<names::Channel>,
        frame: BytesLike<'_, names::FrameBytes>,
        seq: Natural<names::Seq, u64>,
        ephemeral: bool,
        without: SocketNumbers<names::Without>,
        also: SocketNumbers<names::Also>,
    ) -> CoreResult<Vec<u32>> {
        // The GIL is not released: this mostly takes a microsecond, and getting the GIL back from a busy thread takes
        // thousands.
        let engine = self.engine.get().core();
        let live = LiveFrame { frame: Frame::from(&*frame), seq: Some(seq.0).filter(|&seq| seq > 0), ephemeral };
        Ok(self.hub.deliver(engine, &channel, &live, &without.0, &also.0)?)
    }

    #[doc = doc!("Hub.receive")]
    fn receive(
        &self,
        py: Python<'_>,
        inbound: &InboundBatch,
        progress: &LaneProgress,
        most: Natural<names::Most, usize>,
    ) -> PyResult<(Option<BatchEvent>, Vec<u32>, usize, usize)> {
        // The GIL is not released, as in `deliver`: the caller limits by `most` how long this takes.
        let engine = self.engine.get().core();
        let progress = &mut *progress.progress.lock();
        let received = inbound.go_on(py, |decoder| self.hub.receive(engine, decoder, progress, most.0))?;
        let (record, sockets) = match received.pause {
            Pause::Done | Pause::Full => (None, Vec::new()),
            Pause::Look(record) => (Some(record), Vec::new()),
            Pause::OverBudget(record, sockets) => (Some(record), sockets),
        };
        Ok((record.map(|record| BatchEvent::new(py, &record)).transpose()?, sockets, received.stale, received.unknown))
    }

    #[doc = doc!("Hub.push")]
    fn push(&self, socket: Natural<names::Socket, u32>, frame: BytesLike<'_, names::FrameBytes>) -> bool {
        self.hub.push(socket.0, &Frame::from(&*frame))
    }

    #[doc = doc!("Hub.catch_up")]
    fn catch_up(&self, socket: Natural<names::Socket, u32>, most_aside: Natural<names::MostAside, usize>) {
        self.hub.catch_up(socket.0, most_aside.0);
    }

    #[doc = doc!("Hub.hold")]
    fn hold(&self, socket: Natural<names::Socket, u32>) {
        self.hub.hold(socket.0);
    }

    #[doc = doc!("Hub.is_holding")]
    fn is_holding(&self, socket: Natural<names::Socket, u32>) -> bool {
        self.hub.is_holding(socket.0)
    }

    #[doc = doc!("Hub.set_aside")]
    #[pyo3(
        signature = (socket, frame, *, ephemeral = false),
        text_signature = "($self, socket, frame, *, ephemeral=False)"
    )]
    fn set_aside(
        &self,
        socket: Natural<names::Socket, u32>,
        frame: BytesLike<'_, names::FrameBytes>,
        ephemeral: bool,
    ) -> bool {
        self.hub.set_aside(socket.0, &Frame::from(&*frame), ephemeral)
    }

    #[doc = doc!("Hub.go_live")]
    #[pyo3(signature = (socket, floor, end = None), text_signature = "($self, socket, floor, end=None)")]
    fn go_live(
        &self,
        socket: Natural<names::Socket, u32>,
        floor: Natural<names::Floor, u64>,
        end: Option<BytesLike<'_, names::End>>,
    ) -> (usize, usize) {
        let end = end.map(|end| Frame::from(&*end));
        let lost = self.hub.go_live(socket.0, floor.0, end.as_ref());
        (lost.ephemeral, lost.durable)
    }

    #[doc = doc!("Hub.waiting")]
    fn waiting(&self, socket: Natural<names::Socket, u32>) -> usize {
        self.hub.waiting(socket.0)
    }

    #[doc = doc!("Hub.frames")]
    #[getter]
    fn frames(&self) -> usize {
        self.hub.frames()
    }

    #[doc = doc!("Hub.open")]
    fn open(&self, socket: Natural<names::Socket, u32>, first: BytesLike<'_, names::First>) {
        self.hub.open(socket.0, &Frame::from(&*first));
    }

    #[doc = doc!("Hub.block")]
    fn block(&self, socket: Natural<names::Socket, u32>, blocked: bool) {
        self.hub.block(socket.0, blocked);
    }

    #[doc = doc!("Hub.mute")]
    fn mute(&self, socket: Natural<names::Socket, u32>) {
        self.hub.mute(socket.0);
    }

    #[doc = doc!("Hub.flush")]
    fn flush<'py>(&self, py: Python<'py>, most: Natural<names::Most, usize>) -> PyResult<Answer<'py>> {
        let flush = || self.hub.flush(most.0, &mut Kernel);
        // As in `deliver`: a few writes take less time than getting the GIL back.
        let flushed = if self.hub.frames() > FEW { released(py, || Ok(flush()))? } else { flush() };
        Ok(answer(py, flushed))
    }

    #[doc = doc!("Hub.flush_one")]
    fn flush_one<'py>(&self, py: Python<'py>, socket: Natural<names::Socket, u32>) -> Answer<'py> {
        answer(py, self.hub.flush_one(socket.0, &mut Kernel))
    }
}

fn answer(py: Python<'_>, flushed: Flushed) -> Answer<'_> {
    let left = flushed.left.into_iter().map(|(socket, left)| (socket, PyBytes::new(py, &left))).collect();
    (flushed.frames, left, flushed.more)
}
