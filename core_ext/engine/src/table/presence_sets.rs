//! The presence set of each instance, with a digest that is updated as users come and go.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

/// The number of users and the sum of their hashes. It does not depend on the order in which users came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// The number of users.
    pub count: u64,
    /// The sum of `hash_of` over them, modulo 2^64.
    pub hash: u64,
}

impl Digest {
    /// The digest of users, each given once.
    pub fn of<'a>(users: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Self::default();
        users.into_iter().for_each(|user| digest.add(user));
        digest
    }

    fn add(&mut self, user: &str) {
        self.count += 1;
        self.hash = self.hash.wrapping_add(hash_of(user));
    }

    fn subtract(&mut self, user: &str) {
        self.count -= 1;
        self.hash = self.hash.wrapping_sub(hash_of(user));
    }
}

/// The hash of a user, the same in every process: 64-bit FNV-1a, then the finaliser of `SplitMix64`, so that sums of
/// similar names differ.
fn hash_of(user: &str) -> u64 {
    let mix = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = user.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, mix);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The users of each instance.
#[derive(Default)]
pub(crate) struct PresenceSets {
    presence: Vec<PresenceSet>,
}

#[derive(Default)]
struct PresenceSet {
    users: BTreeSet<u32>,
    digest: Digest,
}

impl PresenceSets {
    /// Make room for an instance that has just got its number.
    pub(crate) fn reach(&mut self, instance: u32) {
        let len = self.presence.len().max(instance as usize + 1);
        self.presence.resize_with(len, PresenceSet::default);
    }

    pub(crate) fn add(&mut self, instance: u32, user: u32, name: &str) {
        let set = &mut self.presence[instance as usize];
        if set.users.insert(user) {
            set.digest.add(name);
        }
    }

    pub(crate) fn remove(&mut self, instance: u32, user: u32, name: &str) {
        let set = &mut self.presence[instance as usize];
        if set.users.remove(&user) {
            set.digest.subtract(name);
        }
    }

    /// The users of an instance after a given one, or all of them, in rising order.
    pub(crate) fn users_after(&self, instance: u32, last: Option<u32>) -> impl Iterator<Item = u32> {
        let from = last.map_or(Unbounded, Excluded);
        self.presence[instance as usize].users.range((from, Unbounded)).copied()
    }

    pub(crate) fn is_empty(&self, instance: u32) -> bool {
        self.presence[instance as usize].users.is_empty()
    }

    pub(crate) fn digest(&self, instance: u32) -> Digest {
        self.presence[instance as usize].digest
    }

    /// The instances that hold a user, in rising order.
    pub(crate) fn instances(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.presence).filter(|(_, set)| !set.users.is_empty()).map(|(instance, _)| instance)
    }

    /// Bytes of memory, estimated: the nodes of a tree are about two thirds full.
    pub(crate) fn bytes(&self) -> usize {
        let users: usize = self.presence.iter().map(|set| set.users.len()).sum();
        self.presence.capacity() * size_of::<PresenceSet>() + users * size_of::<u32>() * 3 / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_users_in_any_order() {
        let mut presence = PresenceSets::default();
        presence.reach(0);
        for (user, name) in [(3, "carol"), (1, "alice"), (2, "bob"), (1, "alice")] {
            presence.add(0, user, name);
        }
        assert_eq!(presence.digest(0), Digest::of(["alice", "bob", "carol"]));
        presence.remove(0, 2, "bob");
        presence.remove(0, 2, "bob");
        assert_eq!(presence.digest(0), Digest::of(["carol", "alice"]));
        assert_ne!(presence.digest(0), Digest::of(["carol", "bob"]));
    }

    #[test]
    fn a_digest_is_the_same_in_every_version() {
        assert_eq!(Digest::of(["alice"]).hash, 0xc5d1_556d_6677_4a5c);
    }

    #[test]
    fn users_are_listed_from_any_point() {
        let mut presence = PresenceSets::default();
        presence.reach(1);
        for user in [4, 2, 9] {
            presence.add(1, user, "x");
        }
        assert_eq!(presence.users_after(1, None).collect::<Vec<_>>(), [2, 4, 9]);
        assert_eq!(presence.users_after(1, Some(2)).collect::<Vec<_>>(), [4, 9]);
        assert_eq!(presence.instances().collect::<Vec<_>>(), [1]);
    }
}
