//! The queue of each instance, by the instance's number, and which queues are not empty.

use compact_str::CompactString;

use crate::events::batch::Batch;

/// The most bytes that a batch adds to a body, or takes for a mark: its version; a lane's record (kind, length, lane,
/// epoch); the kind and the length of a mark; the lane's `prev` and the distance of the seq from it. One of these two
/// has ten bytes at most, because both together are a `u64`.
pub(crate) const MAX_HEAD: usize = 1 + (1 + 1 + 5 + 10) + (1 + 1) + (10 + 9);

/// When a batch is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    /// Nanoseconds from the first record until the batch is due.
    pub(crate) interval: u64,
    /// The number of records with which it is due at once.
    pub(crate) events: usize,
}

/// The batches that wait for one instance.
pub(crate) struct InstanceQueue {
    name: CompactString,
    /// Whether the instance is suspended: no stored event and no mark may wait.
    pub(crate) suspended: bool,
    closed: Vec<Batch>,
    open: Batch,
    since: u64,
}

/// A queue for every instance that was ever a target, until the instance is dropped.
pub(crate) struct InstanceQueues {
    /// Bytes. A batch is closed before it grows beyond them.
    pub(crate) close_at: usize,
    queues: Vec<Option<InstanceQueue>>,
    /// The instances whose queue is not empty, in no order, so that nothing has to search the queues of idle instances.
    waiting: Vec<u32>,
}

impl InstanceQueues {
    /// No queues; batches are closed before they grow beyond `close_at` bytes.
    pub(crate) fn new(close_at: usize) -> Self {
        Self { close_at, queues: Vec::new(), waiting: Vec::new() }
    }

    /// The queue of an instance; `make` creates it the first time.
    pub(crate) fn reach(&mut self, instance: u32, make: impl FnOnce() -> InstanceQueue) -> &mut InstanceQueue {
        let index = instance as usize;
        if self.queues.len() <= index {
            self.queues.resize_with(index + 1, || None);
        }
        self.queues[index].get_or_insert_with(make)
    }

    /// The queue of an instance, if it was reached.
    pub(crate) fn get_mut(&mut self, instance: u32) -> Option<&mut InstanceQueue> {
        self.queues.get_mut(instance as usize)?.as_mut()
    }

    /// The batch to which a record of `length` bytes beside its head is added. The queue must exist.
    pub(crate) fn batch(&mut self, instance: u32, length: usize, now: u64) -> &mut Batch {
        let queue = self.queues[instance as usize].as_mut().expect("it was reached");
        if queue.is_empty() {
            self.waiting.push(instance);
        }
        queue.batch(length, self.close_at, now)
    }

    /// Forget an instance and the batches that wait for it.
    pub(crate) fn remove(&mut self, instance: u32) {
        if let Some(queue) = self.queues.get_mut(instance as usize) {
            *queue = None;
        }
        self.waiting.retain(|&other| other != instance);
    }

    /// Take the batches that are due, or all, with the instance of each; those of one instance are in order.
    pub(crate) fn take(&mut self, due: Due, now: u64, force: bool) -> Vec<(CompactString, Batch)> {
        let mut batches = Vec::with_capacity(self.waiting.len());
        self.waiting.sort_unstable();
        self.waiting.retain(|&instance| {
            let queue = self.queues[instance as usize].as_mut().expect("what is removed does not wait");
            if force || queue.open_due_at(due) <= now {
                queue.close();
            }
            batches.extend(queue.closed.drain(..).map(|batch| (queue.name.clone(), batch)));
            !queue.open.is_empty()
        });
        batches
    }

    /// The time at which the first batch is due; None if nothing waits.
    pub(crate) fn due_at(&self, due: Due) -> Option<u64> {
        self.waiting().map(|queue| queue.due_at(due)).min()
    }

    /// Records and bytes that wait.
    pub(crate) fn pending(&self) -> (usize, usize) {
        let batches = self.waiting().flat_map(|queue| queue.closed.iter().chain([&queue.open]));
        batches.fold((0, 0), |(records, bytes), batch| (records + batch.records(), bytes + batch.len()))
    }

    fn waiting(&self) -> impl Iterator<Item = &InstanceQueue> {
        self.waiting.iter().filter_map(|&instance| self.queues[instance as usize].as_ref())
    }
}

impl InstanceQueue {
    pub(crate) fn new(name: CompactString, suspended: bool) -> Self {
        Self { name, suspended, closed: Vec::new(), open: Batch::default(), since: 0 }
    }

    fn is_empty(&self) -> bool {
        self.open.is_empty() && self.closed.is_empty()
    }

    fn batch(&mut self, length: usize, close_at: usize, now: u64) -> &mut Batch {
        if self.open.len() + MAX_HEAD + length > close_at {
            self.close();
        }
        if self.open.is_empty() {
            self.since = now;
        }
        &mut self.open
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed.push(std::mem::take(&mut self.open));
        }
    }

    /// The time at which a batch of the queue is due; a closed batch is due at once.
    fn due_at(&self, due: Due) -> u64 {
        if self.closed.is_empty() { self.open_due_at(due) } else { 0 }
    }

    fn open_due_at(&self, due: Due) -> u64 {
        if self.open.records() >= due.events { 0 } else { self.since.saturating_add(due.interval) }
    }
}
