//! The types of the checker with the interface of `parking_lot`, which has no poisoning. A test fails with the first
//! panic of a thread, so no other thread finds a poisoned lock.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

use shuttle::rand::{RngCore, thread_rng};
use shuttle::sync;
pub(crate) use shuttle::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
pub(crate) use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

/// A random number that the checker chooses, so that it can repeat a run.
pub(crate) fn random() -> u64 {
    thread_rng().next_u64()
}

#[derive(Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

/// None while its thread waits for a [`Condvar`].
pub(crate) struct MutexGuard<'a, T>(Option<sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.0.try_lock().is_err()
    }
}

impl<T> MutexGuard<'_, T> {
    pub(crate) fn unlock_fair(guard: Self) {
        drop(guard);
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("who waits reads nothing")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("who waits changes nothing")
    }
}

#[derive(Default)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<T>) {
        let waiting = guard.0.take().expect("a guard waits once at a time");
        guard.0 = Some(self.0.wait(waiting).unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A thread that waits to write holds `door`, so that threads which come later do not read before it. The real lock may
/// do the same. So a thread that locks for reading twice can wait for a writer that waits for its first lock.
#[derive(Default)]
pub(crate) struct RwLock<T> {
    door: sync::Mutex<()>,
    inner: sync::RwLock<T>,
}

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { door: sync::Mutex::new(()), inner: sync::RwLock::new(value) }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        let _door = self.door.lock();
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        let _door = self.door.lock();
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}
