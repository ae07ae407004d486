//! A model of the engine, in sets of sets.

use std::collections::{BTreeMap, BTreeSet};

use super::{CACHE_TTL, CACHE_USERS, Name, USERS};

/// A record without its event, which is always the same: lane, epoch, prev, seq, channel, user.
pub type Sent = (u32, u64, u64, u64, Option<String>, Option<String>);

#[derive(Default)]
pub struct Lane {
    pub epoch: u64,
    pub position: u64,
    pub last_seqs: BTreeMap<Name, u64>,
}

#[derive(Default)]
pub struct Model {
    pub now: u64,
    pub lists: BTreeMap<Name, BTreeSet<Name>>,
    pub locations: BTreeMap<Name, BTreeSet<Name>>,
    pub cache: Vec<(Name, u64)>,
    pub lanes: BTreeMap<u32, Lane>,
    pub suspended: BTreeSet<Name>,
    pub sent: BTreeMap<Name, Vec<Sent>>,
}

impl Model {
    pub fn online(&self, user: Name) -> bool {
        self.locations.contains_key(user)
    }

    pub fn entries(&self) -> BTreeSet<(Name, Name)> {
        let of = |(user, locations): (&Name, &BTreeSet<Name>)| {
            let list = self.lists[user].clone();
            locations
                .iter()
                .flat_map(move |&instance| list.clone().into_iter().map(move |c| (c, instance)))
                .collect::<Vec<_>>()
        };
        self.locations.iter().flat_map(of).collect()
    }

    pub fn instances(&self, channel: Name) -> BTreeSet<Name> {
        self.entries().into_iter().filter(|entry| entry.0 == channel).map(|entry| entry.1).collect()
    }

    pub fn members(&self, channel: Name) -> BTreeMap<String, BTreeSet<String>> {
        let mut members = BTreeMap::<String, BTreeSet<String>>::new();
        for (user, locations) in self.locations.iter().filter(|(user, _)| self.lists[*user].contains(channel)) {
            for instance in locations {
                members.entry((*instance).to_owned()).or_default().insert((*user).to_owned());
            }
        }
        members
    }

    pub fn locations(&self, user: Name) -> BTreeSet<Name> {
        self.locations.get(user).cloned().unwrap_or_default()
    }

    fn cached(&self, user: Name) -> Option<usize> {
        self.cache.iter().position(|(cached, _)| *cached == user)
    }

    /// Use the cached list, if there is one that is not too old.
    fn recall(&mut self, user: Name) -> bool {
        let Some(entry) = self.cached(user).map(|location| self.cache.remove(location)) else { return false };
        let fresh = self.now - entry.1 < CACHE_TTL;
        if fresh {
            self.cache.push(entry);
        }
        fresh
    }

    fn tidy(&mut self) {
        while self.cache.len() > CACHE_USERS {
            self.cache.remove(0);
        }
        let kept: Vec<Name> = USERS.into_iter().filter(|u| self.online(u) || self.cached(u).is_some()).collect();
        self.lists.retain(|user, _| kept.contains(user));
    }

    pub fn go_online(&mut self, user: Name, instance: Name, channels: Option<&[Name]>) -> Option<usize> {
        let before = self.entries();
        if let Some(channels) = channels {
            self.lists.insert(user, channels.iter().copied().collect());
            self.cache.retain(|(cached, _)| *cached != user);
            self.cache.push((user, self.now));
        } else {
            let known = self.recall(user) || self.online(user);
            self.tidy();
            known.then_some(())?;
        }
        self.locations.entry(user).or_default().insert(instance);
        self.tidy();
        Some(self.entries().difference(&before).count())
    }

    pub fn go_offline(&mut self, user: Name, instance: Name) -> usize {
        let before = self.entries();
        if let Some(locations) = self.locations.get_mut(user) {
            locations.remove(instance);
        }
        self.locations.retain(|_, locations| !locations.is_empty());
        let gone = before.difference(&self.entries()).count();
        self.tidy();
        gone
    }

    pub fn drop_instance(&mut self, instance: Name) -> usize {
        let users: Vec<Name> = USERS.into_iter().filter(|u| self.locations(u).contains(instance)).collect();
        for user in &users {
            self.go_offline(user, instance);
        }
        self.sent.remove(instance);
        self.forget_last_seqs(instance);
        users.len()
    }

    pub fn suspend(&mut self, instance: Name) {
        self.suspended.insert(instance);
        self.forget_last_seqs(instance);
    }

    fn forget_last_seqs(&mut self, instance: Name) {
        for lane in self.lanes.values_mut() {
            lane.last_seqs.remove(instance);
        }
    }

    pub fn change(&mut self, user: Name, change: impl FnOnce(&mut BTreeSet<Name>)) -> bool {
        if let Some(list) = self.lists.get_mut(user) {
            change(list);
        }
        self.online(user)
    }

    /// Restore the engine from a snapshot some time later, without pending batches, lanes and suspended instances.
    pub fn restart(&mut self, later: u64) {
        self.now += later;
        self.cache.retain(|(_, loaded)| self.now - loaded < CACHE_TTL);
        self.tidy();
        (self.lanes, self.suspended, self.sent) = Default::default();
    }

    pub fn forget(&mut self, user: Name) {
        self.cache.retain(|(cached, _)| *cached != user);
        self.tidy();
    }

    pub fn send(&mut self, targets: &BTreeSet<Name>, sent: &Sent) -> usize {
        for target in targets {
            self.sent.entry(target).or_default().push(sent.clone());
        }
        targets.len()
    }

    pub fn send_stored(&mut self, number: u32, step: u64, channel: Name, also: Option<Name>) -> Option<usize> {
        let mut targets = self.instances(channel);
        targets.extend(also.into_iter().flat_map(|user| self.locations(user)));
        let lane = self.lanes.get_mut(&number)?;
        let seq = lane.position + step;
        for target in targets.difference(&self.suspended) {
            let prev = lane.last_seqs.insert(target, seq).unwrap_or(lane.position);
            let sent = (number, lane.epoch, prev, seq, Some(channel.to_owned()), also.map(str::to_owned));
            self.sent.entry(target).or_default().push(sent);
        }
        lane.position = seq;
        Some(targets.len())
    }

    pub fn mark(&mut self) -> usize {
        let targets: BTreeSet<Name> = self.locations.values().flatten().copied().collect();
        let targets: BTreeSet<Name> = targets.difference(&self.suspended).copied().collect();
        for (&number, lane) in &mut self.lanes {
            for target in &targets {
                let prev = *lane.last_seqs.entry(target).or_insert(lane.position);
                self.sent.entry(target).or_default().push((number, lane.epoch, prev, lane.position, None, None));
            }
        }
        if self.lanes.is_empty() { 0 } else { targets.len() }
    }
}
