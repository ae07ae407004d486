//! The locks and atomics of the crate; no other module names their types.
//!
//! With `--cfg shuttle` they are those of the checker shuttle. It runs a test many times, each time with another random
//! order of the threads. It tries only few of all orders, but runs the engine unchanged. (A checker that tries all
//! orders, like loom, finishes for a few atomics, not for a table of shards.) Tables then have few shards, and windows
//! and pages are small, so that short tests reach their ends.

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

/// A random number, made of the process's addresses and the clock. It is hard to guess from outside, but not safe for
/// cryptography.
#[cfg(not(shuttle))]
pub(crate) fn random() -> u64 {
    use std::hash::BuildHasher;

    foldhash::quality::RandomState::default().hash_one(0)
}
