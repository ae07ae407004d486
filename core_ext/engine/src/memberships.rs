//! User -> channels, and where the user is; also the membership cache.
//!
//! A user has one list of channels, held while the user is online or cached: so the cache of an online user costs no
//! second list, and a change of membership has one place to be made in.

use smallvec::SmallVec;

use crate::lru::Recency;
use crate::pages::Pages;

/// The instances that a user is on; nearly always one.
pub(crate) type Places = SmallVec<[u32; 4]>;

/// The users that the table knows: whose id is interned is held here, and the other way round.
pub(crate) struct Memberships {
    users: Pages<Member>,
    recency: Recency,
    capacity: usize,
    ttl: u64,
    online: usize,
    listed: usize,
}

#[derive(Default)]
struct Member {
    channels: Vec<u32>,
    places: Places,
    cached_at: Option<u64>,
}

impl Memberships {
    /// Args: how many lists the cache holds, and nanoseconds after which one is no longer used.
    pub(crate) fn new(capacity: usize, ttl: u64) -> Self {
        let (users, recency) = (Pages::default(), Recency::default());
        Self { users, recency, capacity, ttl, online: 0, listed: 0 }
    }

    /// Make room for a user who was just interned.
    pub(crate) fn reach(&mut self, user: u32) {
        self.users.reach(user);
    }

    /// The user's channels, in rising order.
    pub(crate) fn channels(&self, user: u32) -> &[u32] {
        &self.users[user].channels
    }

    pub(crate) fn places(&self, user: u32) -> &Places {
        &self.users[user].places
    }

    pub(crate) fn is_online(&self, user: u32) -> bool {
        !self.users[user].places.is_empty()
    }

    /// Whether the user's list is still wanted.
    pub(crate) fn is_held(&self, user: u32) -> bool {
        self.is_online(user) || self.users[user].cached_at.is_some()
    }

    pub(crate) fn has(&self, user: u32, channel: u32) -> bool {
        self.channels(user).binary_search(&channel).is_ok()
    }

    /// Put a list, in rising order, in the place of the user's; the one that was there.
    pub(crate) fn replace(&mut self, user: u32, channels: Vec<u32>) -> Vec<u32> {
        self.listed += bytes_of(&channels);
        let old = std::mem::replace(&mut self.users[user].channels, channels);
        self.listed -= bytes_of(&old);
        old
    }

    /// Add a channel; whether it is new.
    pub(crate) fn insert(&mut self, user: u32, channel: u32) -> bool {
        self.edit(user, |channels| {
            let place = channels.binary_search(&channel).err();
            place.inspect(|&place| channels.insert(place, channel)).is_some()
        })
    }

    /// Remove a channel; whether it was there.
    pub(crate) fn remove(&mut self, user: u32, channel: u32) -> bool {
        self.edit(user, |channels| {
            let place = channels.binary_search(&channel).ok();
            place.map(|place| channels.remove(place)).is_some()
        })
    }

    /// Note that the user is on an instance.
    pub(crate) fn place(&mut self, user: u32, instance: u32) {
        let places = &mut self.users[user].places;
        self.online += usize::from(places.is_empty());
        places.push(instance);
    }

    /// Note that the user left an instance.
    pub(crate) fn displace(&mut self, user: u32, instance: u32) {
        let places = &mut self.users[user].places;
        places.retain(|place| *place != instance);
        self.online -= usize::from(places.is_empty());
    }

    /// Begin to count the user's list as cached, loaded at `now`. Returns whom the cache has no more room for.
    pub(crate) fn cache(&mut self, user: u32, now: u64) -> Option<u32> {
        self.users[user].cached_at = Some(now);
        self.recency.touch(user);
        let victim = self.recency.oldest().filter(|_| self.recency.len() > self.capacity)?;
        self.forget(victim);
        Some(victim)
    }

    /// Use the cached list; whether there is one that is not too old.
    pub(crate) fn recall(&mut self, user: u32, now: u64) -> bool {
        let fresh = |loaded: u64| now.saturating_sub(loaded) < self.ttl;
        let usable = self.users[user].cached_at.is_some_and(fresh);
        if usable {
            self.recency.touch(user);
        } else {
            self.forget(user);
        }
        usable
    }

    /// Count the user's list as cached no longer.
    pub(crate) fn forget(&mut self, user: u32) {
        self.users[user].cached_at = None;
        self.recency.remove(user);
    }

    /// How many users are online.
    pub(crate) fn online(&self) -> usize {
        self.online
    }

    /// How many lists the cache holds.
    pub(crate) fn cached(&self) -> usize {
        self.recency.len()
    }

    /// Bytes held, the lists included.
    pub(crate) fn bytes(&self) -> usize {
        self.users.bytes() + self.listed
    }

    /// Bytes that the cache takes beside the lists.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.recency.bytes()
    }

    fn edit(&mut self, user: u32, work: impl FnOnce(&mut Vec<u32>) -> bool) -> bool {
        let channels = &mut self.users[user].channels;
        self.listed -= bytes_of(channels);
        let changed = work(channels);
        self.listed += bytes_of(channels);
        changed
    }
}

fn bytes_of(channels: &Vec<u32>) -> usize {
    channels.capacity() * size_of::<u32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_users(users: u32, capacity: usize, ttl: u64) -> Memberships {
        let mut memberships = Memberships::new(capacity, ttl);
        memberships.reach(users);
        memberships
    }

    #[test]
    fn a_list_stays_in_order_and_without_doubles() {
        let mut memberships = with_users(1, 1, 1);
        for (channel, new) in [(5, true), (2, true), (9, true), (5, false)] {
            assert_eq!(memberships.insert(0, channel), new);
        }
        assert_eq!(memberships.channels(0), [2, 5, 9]);
        assert!(memberships.remove(0, 5));
        assert!(!memberships.remove(0, 5));
        assert!(memberships.has(0, 9) && !memberships.has(0, 5));
    }

    #[test]
    fn a_user_is_online_until_the_last_instance_is_left() {
        let mut memberships = with_users(1, 1, 1);
        memberships.place(0, 3);
        memberships.place(0, 4);
        memberships.displace(0, 3);
        assert_eq!((memberships.online(), memberships.is_online(0)), (1, true));
        memberships.displace(0, 4);
        assert_eq!((memberships.online(), memberships.is_held(0)), (0, false));
    }

    #[test]
    fn a_full_cache_gives_up_the_list_used_least_recently() {
        let mut memberships = with_users(3, 2, 100);
        assert_eq!(memberships.cache(0, 0), None);
        assert_eq!(memberships.cache(1, 0), None);
        assert!(memberships.recall(0, 1));
        assert_eq!(memberships.cache(2, 1), Some(1));
        assert_eq!(memberships.cached(), 2);
    }

    #[test]
    fn a_cache_without_room_holds_nothing() {
        let mut memberships = with_users(1, 0, 100);
        assert_eq!(memberships.cache(0, 0), Some(0));
        assert!(!memberships.recall(0, 0));
    }

    #[test]
    fn a_list_too_old_is_not_used_however_recently_it_was() {
        let mut memberships = with_users(1, 1, 10);
        memberships.cache(0, 5);
        assert!(memberships.recall(0, 14));
        assert!(!memberships.recall(0, 15));
        assert_eq!(memberships.cached(), 0);
    }

    #[test]
    fn the_bytes_of_lists_are_given_back() {
        let mut memberships = with_users(1, 1, 1);
        let empty = memberships.bytes();
        memberships.replace(0, vec![1, 2, 3]);
        assert_eq!(memberships.bytes(), empty + 12);
        memberships.replace(0, Vec::new());
        assert_eq!(memberships.bytes(), empty);
    }
}
