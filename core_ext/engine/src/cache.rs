//! Whose lists are cached: the users used most recently, each until it is too old.

use crate::lru::Recency;
use crate::users::User;

/// The cache, without the lists: those are the users'.
pub(crate) struct Cache {
    recency: Recency,
    loaded_at: Vec<u64>,
    capacity: usize,
    ttl: u64,
}

impl Cache {
    /// Args: how many lists the cache holds, and nanoseconds after which one is no longer used.
    pub(crate) fn new(capacity: usize, ttl: u64) -> Self {
        Self { recency: Recency::default(), loaded_at: Vec::new(), capacity, ttl }
    }

    /// Begin to count a user's list as cached, loaded at `now`. Returns whom the cache has no more room for.
    pub(crate) fn put(&mut self, user: User, now: u64) -> Option<User> {
        let place = user as usize;
        if self.loaded_at.len() <= place {
            self.loaded_at.resize(place + 1, 0);
        }
        self.loaded_at[place] = now;
        self.recency.touch(user);
        let victim = self.recency.oldest().filter(|_| self.recency.len() > self.capacity)?;
        self.recency.remove(victim);
        Some(victim)
    }

    /// Use a user's list; whether it is cached and not too old. One too old is cached no longer.
    pub(crate) fn recall(&mut self, user: User, now: u64) -> bool {
        let fresh = |&loaded: &u64| now.saturating_sub(loaded) < self.ttl;
        let usable = self.contains(user) && self.loaded_at.get(user as usize).is_some_and(fresh);
        if usable {
            self.recency.touch(user);
        } else {
            self.recency.remove(user);
        }
        usable
    }

    /// Count a user's list as cached no longer.
    pub(crate) fn forget(&mut self, user: User) {
        self.recency.remove(user);
    }

    /// Whether a user's list counts as cached.
    pub(crate) fn contains(&self, user: User) -> bool {
        self.recency.contains(user)
    }

    /// How many lists are cached.
    pub(crate) fn len(&self) -> usize {
        self.recency.len()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.recency.bytes() + self.loaded_at.capacity() * size_of::<u64>()
    }
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
}
