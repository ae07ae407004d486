//! Restores an engine from a snapshot's file: first the names, which get new numbers; then the lists, of many users at
//! a time.

use std::path::Path;

use crate::engine::core::{Config, Engine};
use crate::error::{Refusal, Result};
use crate::names::ids::{Id, Ids};
use crate::snapshot::coding::Cursor;
use crate::snapshot::format::{Checked, Moment, SectionKind};
use crate::snapshot::reading::Reader;
use crate::table::channels::Channel;
use crate::table::channels::filling::Filling;
use crate::table::instances::Named;
use crate::table::membership_lists::MembershipList;
use crate::table::users::{Turn, User};

/// The number of names that are numbered at a time.
const NAMES: usize = 128 << 10;

/// The number of memberships that are added at a time: some thousand for each shard, in 50 MB.
const MEMBERSHIPS: usize = 4 << 20;

/// The most users of a file. The table has room for so many, however their hashes are distributed, and a channel can be
/// in so many lists.
const MOST_USERS: usize = (1 << 28) - 1;

/// The most instances of a file. The table has room for so many.
const MOST_INSTANCES: usize = 1 << 20;

/// The most channels of a file. The table has room for so many, however their hashes are distributed.
const MOST_CHANNELS: usize = 1 << 31;

/// The fewest bytes of a channel's name: a length and a character. A file that claims more channels than its bytes can
/// hold is refused before memory is reserved for them.
const FEWEST_BYTES_OF_A_CHANNEL: usize = 2;

/// Stands for a number of the file that belongs to no channel.
const NO_CHANNEL: Channel = Channel::MAX;

impl Engine {
    /// Restore an engine from a file; see `_core.pyi`.
    pub fn restore(path: &Path, config: Config, moment: Moment) -> Result<Self> {
        let engine = Self::new(config)?;
        let mut file = Reader::open(path)?;
        let mut restored = Restored::new(engine, moment, file.left() / FEWEST_BYTES_OF_A_CHANNEL);
        while let Some((kind, bytes)) = file.next()? {
            restored.section(kind, Cursor(bytes))?;
        }
        Ok(restored.finish()?)
    }

    /// The note of the snapshot that the engine was restored from.
    #[must_use]
    pub fn snapshot_note(&self) -> &[u8] {
        &self.snapshot_note
    }
}

/// An engine that is being filled. No other thread has it yet.
struct Restored {
    engine: Engine,
    moment: Moment,
    /// Nanoseconds since the file was written, known once its head was read; the largest number if the clock went back.
    elapsed: Option<u64>,
    kind: SectionKind,
    /// The most channels that the bytes of the file can hold.
    most_channels: usize,
    instances: Vec<Id>,
    /// The channels, by their number in the file.
    channels: Vec<Channel>,
    names: Ids,
    /// The numbers of these names in the file.
    named: Vec<usize>,
    users: usize,
    filling: Filling,
    /// The users whose lists the cache has no room for.
    victims: Vec<User>,
}

/// A user in the file.
struct Person {
    id: Id,
    name: String,
    age: Option<u64>,
    instances: Vec<usize>,
    channels: Vec<Channel>,
}

impl Restored {
    fn new(engine: Engine, moment: Moment, most_channels: usize) -> Self {
        Self {
            engine,
            moment,
            elapsed: None,
            kind: SectionKind::Head,
            most_channels,
            instances: Vec::new(),
            channels: Vec::new(),
            names: Ids::default(),
            named: Vec::new(),
            users: 0,
            filling: Filling::default(),
            victims: Vec::new(),
        }
    }

    fn section(&mut self, kind: SectionKind, mut section: Cursor) -> Checked<()> {
        if kind < self.kind || (kind == SectionKind::Head) != self.elapsed.is_none() {
            return Err(Refusal::Inconsistent("sections out of order"));
        }
        self.kind = kind;
        match kind {
            SectionKind::Head => self.head(&mut section)?,
            SectionKind::Instances => while_any(&mut section, |section| self.instance(section))?,
            SectionKind::Channels => while_any(&mut section, |section| self.channel(section))?,
            SectionKind::Users => {
                self.number_channels()?;
                while_any(&mut section, |section| self.user(section))?;
            }
        }
        Ok(())
    }

    fn head(&mut self, section: &mut Cursor) -> Checked<()> {
        self.elapsed = Some(self.moment.unix.checked_sub(section.number()?).unwrap_or(u64::MAX));
        let channels = section.count()?.min(self.most_channels);
        self.engine.table.channels.reserve(channels);
        self.engine.snapshot_note = section.0.to_vec();
        Ok(())
    }

    fn instance(&mut self, section: &mut Cursor) -> Checked<()> {
        if self.instances.len() == MOST_INSTANCES {
            return Err(Refusal::Inconsistent("more instances than a table holds"));
        }
        self.instances.push(id_of(section.name()?)?.0);
        Ok(())
    }

    fn channel(&mut self, section: &mut Cursor) -> Checked<()> {
        let name = section.name()?;
        if !name.is_empty() {
            self.names.push(name, "channel").map_err(|_| NO_ID)?;
            self.named.push(self.channels.len());
        }
        if self.channels.len() == MOST_CHANNELS {
            return Err(Refusal::Inconsistent("more channels than a table holds"));
        }
        self.channels.push(NO_CHANNEL);
        if self.named.len() == NAMES { self.number_channels() } else { Ok(()) }
    }

    fn number_channels(&mut self) -> Checked<()> {
        let (channels, named) = (&mut self.channels, &self.named);
        let ids = std::mem::take(&mut self.names);
        let new = self.engine.table.channels.number(ids, |name, channel| channels[named[name]] = channel);
        self.named.clear();
        if new { Ok(()) } else { Err(Refusal::Inconsistent("a channel twice")) }
    }

    fn user(&mut self, section: &mut Cursor) -> Checked<()> {
        let person = self.person(section)?;
        self.users += 1;
        if self.users > MOST_USERS {
            return Err(TOO_MANY_USERS);
        }
        if person.instances.is_empty() && person.age.is_none() {
            return Ok(());
        }
        self.add(&person)?;
        if self.filling.len() >= MEMBERSHIPS {
            self.enter();
        }
        Ok(())
    }

    fn person(&self, section: &mut Cursor) -> Checked<Person> {
        let (id, name) = id_of(section.name()?)?;
        let age = section.number()?.checked_sub(1);
        let mut instances = Vec::new();
        for _ in 0..section.count()? {
            instances.push(section.count()?);
        }
        Ok(Person { id, name, age: age.and_then(|age| self.age_now(age)), instances, channels: self.list(section)? })
    }

    /// The present age of a list, unless the list is too old to be used.
    fn age_now(&self, age: u64) -> Option<u64> {
        let age = age.saturating_add(self.elapsed?);
        Some(age).filter(|&age| self.engine.table.cache.lock().is_fresh(age))
    }

    fn list(&self, section: &mut Cursor) -> Checked<Vec<Channel>> {
        let (mut list, mut next) = (Vec::new(), 0_usize);
        for _ in 0..section.count()? {
            let number = next.checked_add(section.count()?).ok_or(NO_SUCH_CHANNEL)?;
            let channel = self.channels.get(number).copied().filter(|&channel| channel != NO_CHANNEL);
            list.push(channel.ok_or(NO_SUCH_CHANNEL)?);
            next = number + 1;
        }
        list.sort_unstable();
        Ok(list)
    }

    fn add(&mut self, person: &Person) -> Checked<()> {
        let table = &self.engine.table;
        let turn = table.users.turn(&person.id);
        if turn.list().is_some() {
            return Err(Refusal::Inconsistent("a user twice"));
        }
        turn.set_list(Some(MembershipList::of(&person.channels)));
        for &instance in &person.instances {
            self.place(&turn, person, instance)?;
        }
        self.filling.push(&person.channels, turn.locations().iter().map(|location| location.subscription));
        if let Some(age) = person.age {
            let loaded_at = self.moment.now.wrapping_sub(age);
            self.victims.extend(table.cache.lock().put(turn.user(), loaded_at));
        }
        Ok(())
    }

    fn place(&self, turn: &Turn, person: &Person, instance: usize) -> Checked<()> {
        let instance = self.instances.get(instance).ok_or(Refusal::Inconsistent("no such instance"))?;
        let (table, named) = (&self.engine.table, Named { user: turn.user(), name: &person.name });
        let known = table.instances.find(instance);
        if turn.locations().iter().any(|location| Some(location.instance) == known) {
            return Err(Refusal::Inconsistent("a location twice"));
        }
        turn.arrive(table.instances.place(instance, named).map_err(|_| TOO_MANY_USERS)?);
        Ok(())
    }

    fn enter(&mut self) {
        self.engine.table.channels.fill(&self.filling, self.engine.table.instances.subscriptions());
        self.filling.clear();
    }

    fn finish(mut self) -> Checked<Engine> {
        self.number_channels()?;
        self.enter();
        let Self { engine, elapsed, victims, .. } = self;
        for victim in victims {
            if let Some(turn) = engine.table.users.turn_of_number(victim) {
                engine.table.discard_unless_online_or_cached(&turn);
            }
        }
        engine.table.channels.sweep();
        elapsed.map(|_| engine).ok_or(Refusal::Inconsistent("no head"))
    }
}

const NO_ID: Refusal = Refusal::Inconsistent("a name that is no id");
const TOO_MANY_USERS: Refusal = Refusal::Inconsistent("more users than a table holds");
const NO_SUCH_CHANNEL: Refusal = Refusal::Inconsistent("no such channel");

fn id_of(name: &[u8]) -> Checked<(Id, String)> {
    let name = std::str::from_utf8(name).map_err(|_| NO_ID)?;
    Ok((Id::new(name, "name").map_err(|_| NO_ID)?, name.to_owned()))
}

fn while_any<'a>(section: &mut Cursor<'a>, mut read: impl FnMut(&mut Cursor<'a>) -> Checked<()>) -> Checked<()> {
    while !section.is_at_end() {
        read(section)?;
    }
    Ok(())
}
