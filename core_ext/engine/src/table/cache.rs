//! The membership cache: which users' lists are cached. It keeps the most recently used ones, each until it is too old.

use crate::memory::lru::Recency;
use crate::memory::pages::extend_to;
use crate::table::users::User;

/// The cache, without the lists themselves, which `users` holds.
pub(crate) struct Cache {
    recency: Recency,
    times: Vec<Times>,
    uses: u64,
    capacity: usize,
    ttl: u64,
}

#[derive(Clone, Copy, Default)]
struct Times {
    loaded_at: u64,
    /// The number of the last use of this list.
    used: u64,
}

/// The times of a cached list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cached {
    /// The number of its last use. It rises with every use of the cache, so it gives the order of last use without
    /// walking the ring under the lock.
    pub(crate) used: u64,
    /// Nanoseconds since the list was loaded.
    pub(crate) age: u64,
}

impl Cache {
    /// An empty cache for `capacity` lists, each of which is used for `ttl` nanoseconds.
    pub(crate) fn new(capacity: usize, ttl: u64) -> Self {
        Self { recency: Recency::default(), times: Vec::new(), uses: 0, capacity, ttl }
    }

    /// Note a user's list as cached, loaded at `now`. Returns the user whose list has no more room.
    pub(crate) fn put(&mut self, user: User, now: u64) -> Option<User> {
        let position = user as usize;
        extend_to(&mut self.times, position + 1, Times::default());
        self.times[position].loaded_at = now;
        self.touch(user);
        let victim = self.recency.oldest().filter(|_| self.recency.len() > self.capacity)?;
        self.recency.remove(victim);
        Some(victim)
    }

    /// Use a user's list. Returns whether it is cached and not too old. A list that is too old is removed.
    pub(crate) fn recall(&mut self, user: User, now: u64) -> bool {
        let usable = self.cached(user, now).is_some_and(|cached| self.is_fresh(cached.age));
        if usable {
            self.touch(user);
        } else {
            self.recency.remove(user);
        }
        usable
    }

    /// Whether a list of that age may be used.
    pub(crate) fn is_fresh(&self, age: u64) -> bool {
        age < self.ttl
    }

    /// Remove a user's list from the cache.
    pub(crate) fn forget(&mut self, user: User) {
        self.recency.remove(user);
    }

    /// Remove the least recently used list. Returns its user.
    pub(crate) fn pop(&mut self) -> Option<User> {
        let oldest = self.recency.oldest()?;
        self.recency.remove(oldest);
        Some(oldest)
    }

    /// Whether a user's list is cached.
    pub(crate) fn contains(&self, user: User) -> bool {
        self.recency.contains(user)
    }

    /// The times of a user's list, if it is cached.
    pub(crate) fn cached(&self, user: User, now: u64) -> Option<Cached> {
        let times = self.times.get(user as usize).filter(|_| self.contains(user))?;
        Some(Cached { used: times.used, age: since(times.loaded_at, now) })
    }

    /// The number of cached lists.
    pub(crate) fn len(&self) -> usize {
        self.recency.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.recency.bytes() + self.times.capacity() * size_of::<Times>()
    }

    fn touch(&mut self, user: User) {
        self.recency.touch(user);
        self.uses += 1;
        self.times[user as usize].used = self.uses;
    }
}

/// The nanoseconds from a time to `now`. A time before the clock's origin is a very large number and counts as long
/// ago. A time slightly after `now`, which another thread read, counts as 0.
fn since(time: u64, now: u64) -> u64 {
    now.wrapping_sub(time).cast_signed().max(0).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cache_gives_up_the_list_used_least_recently() {
        let mut cache = Cache::new(2, 100);
        assert_eq!((cache.put(0, 0), cache.put(1, 0)), (None, None));
        assert!(cache.recall(0, 1));
        assert_eq!(cache.put(2, 1), Some(1));
        assert_eq!((cache.len(), cache.contains(1)), (2, false));
    }

    #[test]
    fn a_cache_without_room_holds_nothing() {
        let mut cache = Cache::new(0, 100);
        assert_eq!(cache.put(0, 0), Some(0));
        assert!(!cache.recall(0, 0));
    }

    #[test]
    fn a_list_too_old_is_not_used_however_recently_it_was() {
        let mut cache = Cache::new(1, 10);
        cache.put(0, 5);
        assert!(cache.recall(0, 14));
        assert!(!cache.recall(0, 15));
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn a_list_may_have_been_loaded_before_the_origin_of_times() {
        let mut cache = Cache::new(1, 10);
        cache.put(0, 2_u64.wrapping_sub(7));
        assert_eq!(cache.cached(0, 2), Some(Cached { used: 1, age: 7 }));
        assert!(cache.recall(0, 4));
        assert!(!cache.recall(0, 5));
    }

    #[test]
    fn times_that_threads_read_out_of_order_do_no_harm() {
        let mut cache = Cache::new(1, 10);
        cache.put(0, 5);
        assert!(cache.recall(0, 4));
    }

    #[test]
    fn the_order_of_last_use_is_known() {
        let mut cache = Cache::new(3, 10);
        assert!((0..3).all(|user| cache.put(user, 0).is_none()));
        cache.recall(1, 0);
        let mut order = [0, 1, 2];
        order.sort_by_key(|&user| cache.cached(user, 0).map(|cached| cached.used));
        assert_eq!(order, [0, 2, 1]);
    }
}
