//! The locks and atomics of everything that threads share; nothing else in the crate names their types.
//!
//! With `--cfg shuttle` they are those of a checker, which runs a test many times, each time with the threads taking
//! turns in another order. It chooses orders at random and goes through few of all there are; in return it runs the
//! engine as it is. (A checker that goes through all, like loom, ends for a few atomics, not for a table of shards.)
//! Tables have few shards then, and windows, slices and pages are small, so that short tests cross their borders.

#[cfg(not(shuttle))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

#[cfg(not(shuttle))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(shuttle)]
mod checked;

#[cfg(shuttle)]
pub(crate) use checked::{
    AtomicU32, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, RwLock, RwLockReadGuard, RwLockWriteGuard, random,
};

/// A number that is another each time: of the process's addresses and the clock, so hard to guess from outside, and no
/// secret for cryptography.
#[cfg(not(shuttle))]
pub(crate) fn random() -> u64 {
    use std::hash::BuildHasher;

    foldhash::quality::RandomState::default().hash_one(0)
}
