//! The lock discipline, and nothing else.
//!
//! Many readers, one writer. A writer first waits for its *turn*, which it keeps for its whole operation, so that
//! operations never interleave. Within its turn it takes the value in *slices* of bounded work, and hands the lock
//! fairly to whoever waited in between: a reader waits for one slice at most, never for a whole bulk write.
//!
//! Between slices readers see the operation half done. Each slice leaves the value sound in itself.
//!
//! Order of the locks: a turn, then whatever else, then the value. Nothing is locked while the value is held.

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Items per slice: some tens of microseconds of work, far above the price of handing the lock over.
pub(crate) const SLICE: usize = 256;

/// A value that many read and one at a time changes.
#[derive(Default)]
pub(crate) struct Shared<T> {
    turn: Mutex<()>,
    value: RwLock<T>,
}

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { turn: Mutex::new(()), value: RwLock::new(value) }
    }

    /// Read the value. Keep the guard for bounded work only: a waiting slice keeps other readers waiting too.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.value.read()
    }

    /// Wait for the turn to write.
    pub(crate) fn writer(&self) -> Writer<'_, T> {
        Writer { shared: self, _turn: self.turn.lock() }
    }
}

/// The one writer, until it is dropped.
pub(crate) struct Writer<'a, T> {
    shared: &'a Shared<T>,
    _turn: MutexGuard<'a, ()>,
}

impl<T> Writer<'_, T> {
    /// Read beside the other readers; nothing changes meanwhile, since this is the writer's turn.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.shared.read()
    }

    /// Do one bounded piece of work.
    pub(crate) fn once<R>(&mut self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.shared.value.write();
        let result = work(&mut value);
        RwLockWriteGuard::unlock_fair(value);
        result
    }

    /// Work on each of `items`, in slices.
    pub(crate) fn each<I>(&mut self, items: &[I], mut work: impl FnMut(&mut T, &I)) {
        for slice in items.chunks(SLICE) {
            self.once(|value| slice.iter().for_each(|item| work(value, item)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// What a reader sees who comes during the first of four slices.
    fn seen_by_a_reader_who_waits() -> usize {
        let shared = Shared::new(0_usize);
        let (begun, coming) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !begun.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                coming.store(true, Ordering::Release);
                *shared.read()
            });
            shared.writer().each(&[1; 4 * SLICE], |value, item| {
                *value += item;
                begun.store(true, Ordering::Release);
                while !coming.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                if *value == SLICE {
                    thread::sleep(Duration::from_millis(20)); // by now the reader waits for the lock
                }
            });
            reader.join().unwrap()
        })
    }

    #[test]
    fn a_reader_waits_for_one_slice() {
        assert!((0..20).any(|_| seen_by_a_reader_who_waits() == SLICE));
    }

    #[test]
    fn operations_do_not_interleave() {
        let shared = Shared::new(Vec::new());
        thread::scope(|scope| {
            for name in 0..4 {
                let shared = &shared;
                scope.spawn(move || shared.writer().each(&[name; 3 * SLICE], |value, &item| value.push(item)));
            }
        });
        let value = shared.read();
        assert!(value.chunks(3 * SLICE).all(|run| run.iter().all(|item| item == &run[0])));
        assert_eq!(value.len(), 4 * 3 * SLICE);
    }
}
