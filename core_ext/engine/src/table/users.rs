//! Users: the locations and the membership list of each, in shards by the hash of the user's name.
//!
//! A thread that changes a user first waits for the user's *turn*, and keeps it for the whole operation. So changes of
//! one user never interleave, and changes of other users do not wait. No lock is held meanwhile.

use compact_str::CompactString;
use smallvec::SmallVec;

use crate::memory::pages::reserve;
use crate::names::hash_index::Local;
use crate::names::hashed_name::{HASH_BITS, HashedName, Key, NameHasher};
use crate::names::ids::Id;
use crate::names::name_table::Names;
use crate::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering};
use crate::table::membership_lists::MembershipList;
use crate::table::subscriptions::Subscription;

/// A user's number in the engine.
pub(crate) type User = u32;

const SHARD_BITS: u32 = if cfg!(any(shuttle, miri)) { 1 } else { 8 };
const SHARDS: usize = 1 << SHARD_BITS;

/// A user on an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) instance: u32,
    pub(crate) subscription: Subscription,
}

/// The locations of a user; nearly always one.
pub(crate) type Locations = SmallVec<[Location; 2]>;

/// The users that are online or cached.
pub(crate) struct Users {
    hasher: NameHasher,
    shards: Box<[Shard]>,
    online: AtomicUsize,
    bytes_names: AtomicUsize,
    bytes_lists: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    state: Mutex<State>,
    turn_ended: Condvar,
}

#[derive(Default)]
struct State {
    names: Names<HashedName>,
    members: Vec<Member>,
}

#[derive(Default)]
struct Member {
    list: Option<MembershipList>,
    locations: Locations,
    busy: bool,
}

/// The turn to change a user, which ends when it is dropped. A user without list and location is forgotten then.
pub(crate) struct Turn<'a> {
    users: &'a Users,
    user: User,
}

impl Users {
    pub(crate) fn new(hasher: NameHasher) -> Self {
        let zero = || AtomicUsize::new(0);
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { hasher, shards, online: zero(), bytes_names: zero(), bytes_lists: zero() }
    }

    /// Wait for the turn of a user, known or not.
    pub(crate) fn turn(&self, name: &Id) -> Turn<'_> {
        let key = self.hasher.key(name.packed());
        self.wait(shard_of(key.hashed.hash()), |state| Some(state.intern(key))).expect("an interned user is there")
    }

    /// Wait for the turn of a user, if the user is known.
    pub(crate) fn turn_of_known(&self, name: &Id) -> Option<Turn<'_>> {
        let key = self.hasher.key(name.packed());
        self.wait(shard_of(key.hashed.hash()), |state| state.names.find(key))
    }

    /// Wait for the turn of the user who has a number now.
    pub(crate) fn turn_of_number(&self, user: User) -> Option<Turn<'_>> {
        let (shard, local) = split(user);
        self.wait(shard, |state| state.names.is_used(local).then_some(local))
    }

    /// The user's list, if the user is online.
    pub(crate) fn online_list(&self, name: &Id) -> Option<MembershipList> {
        self.ask_online(name, |member| member.list.clone()).flatten()
    }

    /// The number of channels in the user's list, online or not; 0 if the user is not known.
    pub(crate) fn list_len(&self, name: &Id) -> usize {
        let key = self.hasher.key(name.packed());
        let state = self.shards[shard_of(key.hashed.hash())].state.lock();
        let list = state.names.find(key).and_then(|local| state.members[local as usize].list.as_ref());
        list.map_or(0, MembershipList::len)
    }

    /// Whether nobody has the user's turn, and the user's list has at most so many channels.
    pub(crate) fn is_brief(&self, name: &Id, channels: usize) -> bool {
        let key = self.hasher.key(name.packed());
        let state = self.shards[shard_of(key.hashed.hash())].state.lock();
        let Some(local) = state.names.find(key) else { return true };
        let member = &state.members[local as usize];
        !member.busy && member.list.as_ref().map_or(0, MembershipList::len) <= channels
    }

    /// The user's locations, if the user is online.
    pub(crate) fn locations(&self, name: &Id) -> Option<Locations> {
        self.ask_online(name, |member| member.locations.clone())
    }

    /// Call `ask` with the user's locations while they are locked; None if the user is not online.
    pub(crate) fn ask_locations<R>(&self, name: &Id, ask: impl FnOnce(&Locations) -> R) -> Option<R> {
        self.ask_online(name, |member| ask(&member.locations))
    }

    /// The name of a user, if the user is known.
    pub(crate) fn name(&self, user: User) -> Option<CompactString> {
        let (shard, local) = split(user);
        self.shards[shard].state.lock().names.name(&self.hasher, local)
    }

    /// The numbers that users may have, shard by shard, including some that no user has.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = User> {
        (0..SHARDS).flat_map(|shard| {
            let bound = self.shards[shard].state.lock().names.bound();
            (0..Local::try_from(bound).expect("a number for each")).map(move |local| join(shard, local))
        })
    }

    /// The number of online users.
    pub(crate) fn online(&self) -> usize {
        self.online.load(Ordering::Relaxed)
    }

    /// The number of known users.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.shards.iter().map(|shard| shard.state.lock().names.len()).sum()
    }

    /// Bytes of memory for names, and for lists and locations.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let shards = self.shards.len() * size_of::<Shard>();
        (self.bytes_names.load(Ordering::Relaxed), self.bytes_lists.load(Ordering::Relaxed) + shards)
    }

    fn ask_online<R>(&self, name: &Id, ask: impl FnOnce(&Member) -> R) -> Option<R> {
        let key = self.hasher.key(name.packed());
        let state = self.shards[shard_of(key.hashed.hash())].state.lock();
        let member = &state.members[state.names.find(key)? as usize];
        (!member.locations.is_empty()).then(|| ask(member))
    }

    fn wait(&self, shard: usize, find: impl Fn(&mut State) -> Option<Local>) -> Option<Turn<'_>> {
        let Shard { state, turn_ended } = &self.shards[shard];
        let mut state = state.lock();
        loop {
            let local = self.counted(&mut state, &find)?;
            let member = &mut state.members[local as usize];
            if !member.busy {
                member.busy = true;
                return Some(Turn { users: self, user: join(shard, local) });
            }
            turn_ended.wait(&mut state);
        }
    }

    fn counted<R>(&self, state: &mut MutexGuard<State>, change: impl FnOnce(&mut State) -> R) -> R {
        let (names, members) = state.bytes();
        let result = change(state);
        let (names_now, members_now) = state.bytes();
        self.bytes_names.fetch_add(names_now.wrapping_sub(names), Ordering::Relaxed);
        self.bytes_lists.fetch_add(members_now.wrapping_sub(members), Ordering::Relaxed);
        result
    }
}

impl State {
    fn bytes(&self) -> (usize, usize) {
        (self.names.bytes(), self.members.capacity() * size_of::<Member>())
    }

    fn intern(&mut self, key: Key) -> Local {
        self.names.find(key).unwrap_or_else(|| {
            let local = self.names.insert(key);
            if self.members.len() <= local as usize {
                reserve(&mut self.members);
                self.members.push(Member::default());
            }
            local
        })
    }

    fn forget(&mut self, local: Local) {
        self.names.remove(local);
        let bound = self.names.bound();
        if bound < self.members.len() {
            self.members.truncate(bound);
            self.members.shrink_to(bound + bound / 8);
        }
    }
}

impl Turn<'_> {
    pub(crate) fn user(&self) -> User {
        self.user
    }

    /// The user's list, which no other thread changes during the turn.
    pub(crate) fn list(&self) -> Option<MembershipList> {
        self.with(|member| member.list.clone())
    }

    /// Replace the user's list.
    pub(crate) fn set_list(&self, list: Option<MembershipList>) {
        let bytes = |list: Option<&MembershipList>| list.map_or(0, MembershipList::bytes);
        let new = bytes(list.as_ref());
        let old = self.with(|member| std::mem::replace(&mut member.list, list));
        self.count_list(bytes(old.as_ref()), new);
    }

    /// Change the user's list. Returns the answer of `change`, or false if there is no list.
    pub(crate) fn change_list(&self, change: impl FnOnce(&mut MembershipList) -> bool) -> bool {
        // The list is cloned, so that another thread that reads it meanwhile finds the old list, not none.
        let Some(mut list) = self.list() else { return false };
        let changed = change(&mut list);
        if changed {
            self.set_list(Some(list));
        }
        changed
    }

    pub(crate) fn locations(&self) -> Locations {
        self.with(|member| member.locations.clone())
    }

    /// Add a location of the user.
    pub(crate) fn arrive(&self, location: Location) {
        let first = self.with(|member| {
            member.locations.push(location);
            member.locations.len() == 1
        });
        self.users.online.fetch_add(usize::from(first), Ordering::Relaxed);
    }

    /// Remove a location of the user.
    pub(crate) fn depart(&self, location: Location) {
        let last = self.with(|member| {
            member.locations.retain(|other| *other != location);
            member.locations.is_empty()
        });
        self.users.online.fetch_sub(usize::from(last), Ordering::Relaxed);
    }

    fn count_list(&self, before: usize, after: usize) {
        self.users.bytes_lists.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    fn with<R>(&self, work: impl FnOnce(&mut Member) -> R) -> R {
        let (shard, local) = split(self.user);
        work(&mut self.users.shards[shard].state.lock().members[local as usize])
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let (shard, local) = split(self.user);
        let Shard { state, turn_ended } = &self.users.shards[shard];
        let mut state = state.lock();
        let member = &mut state.members[local as usize];
        member.busy = false;
        if member.list.is_none() && member.locations.is_empty() {
            self.users.counted(&mut state, |state| state.forget(local));
        }
        drop(state);
        turn_ended.notify_all();
    }
}

fn shard_of(hash: u64) -> usize {
    (hash >> (HASH_BITS - SHARD_BITS)) as usize
}

/// The number of a user. Numbers are dense, so that an array by user has few unused entries.
#[expect(clippy::cast_possible_truncation, reason = "below SHARDS")]
fn join(shard: usize, local: Local) -> User {
    local << SHARD_BITS | shard as u32
}

fn split(user: User) -> (usize, Local) {
    (user as usize % SHARDS, user >> SHARD_BITS)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    fn id(name: &str) -> Id {
        Id::new(name, "user").unwrap()
    }

    #[test]
    fn a_turn_waits_for_that_of_the_same_user_only() {
        let users = Users::new(NameHasher::random());
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let turn = users.turn(&id("ann"));
            drop(users.turn(&id("ben")));
            let waiting = scope.spawn(|| {
                let _turn = users.turn(&id("ann"));
                assert!(ended.load(Ordering::Acquire), "two have the turn at once");
            });
            thread::yield_now();
            ended.store(true, Ordering::Release);
            drop(turn);
            waiting.join().unwrap();
        });
    }

    #[test]
    fn a_panic_ends_the_turn() {
        let users = Users::new(NameHasher::random());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let turn = users.turn(&id("ann"));
            turn.with(|_| panic!("in the midst of a change"));
        }));
        assert!(panicked.is_err());
        assert!(users.turn_of_known(&id("ann")).is_none(), "nothing is left, and nobody waits for good");
    }

    #[test]
    fn a_user_without_list_and_place_is_forgotten() {
        let users = Users::new(NameHasher::random());
        let turn = users.turn(&id("ann"));
        turn.set_list(Some(MembershipList::of(&[1, 2])));
        drop(turn);
        let turn = users.turn_of_known(&id("ann")).unwrap();
        assert_eq!(turn.list().unwrap().ids(), [1, 2]);
        turn.set_list(None);
        drop(turn);
        assert!(users.turn_of_known(&id("ann")).is_none());
        assert_eq!(users.bytes().0, 0);
    }

    #[test]
    fn online_is_who_has_a_place() {
        let users = Users::new(NameHasher::random());
        let (turn, location) = (users.turn(&id("ann")), Location { instance: 1, subscription: 2 });
        assert_eq!(users.locations(&id("ann")), None);
        turn.arrive(location);
        assert_eq!((users.online(), users.locations(&id("ann")).unwrap().as_slice()), (1, &[location][..]));
        turn.depart(location);
        assert_eq!((users.online(), users.locations(&id("ann"))), (0, None));
    }
}
