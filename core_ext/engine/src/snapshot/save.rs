//! Writes the table to a file, as names and numbers that do not depend on the table's memory layout.
//!
//! The file has these sections, in this order: the head (the time of writing, the number of channels, and the caller's
//! note), the names of the instances, the names of the channels, the users. Instances and channels are numbered by
//! their order in the file; a channel without characters is a number that nothing refers to. A user is a name, the age
//! of the cached list plus one or 0, the instances, and the channels in rising order, each as its distance from the one
//! before. Users with a cached list are in the order of last use. The table's own numbers and the keys of its hashes
//! are not in the file.
//!
//! Each user is read in the user's turn, so list and locations belong to the same moment. Other users may change
//! meanwhile.

use std::collections::HashMap;
use std::path::Path;

use compact_str::CompactString;
use smallvec::SmallVec;

use crate::engine::core::Engine;
use crate::error::Result;
use crate::snapshot::coding::{put_count, put_name, put_number, put_packed};
use crate::snapshot::format::{Moment, SECTION, SectionKind};
use crate::snapshot::writing::Writer;
use crate::table::cache::Cached;
use crate::table::channels::pinning::Pin;
use crate::table::membership_lists::MembershipList;
use crate::table::users::User;

impl Engine {
    /// Write the table to a file, which replaces an existing one; see `_core.pyi`. Returns the number of bytes.
    pub fn snapshot(&self, path: &Path, note: &[u8], moment: Moment) -> Result<u64> {
        let _turn = self.snapshots.lock();
        let mut file = Writer::create(path)?;
        let pin = self.table.channels.pin();
        let people = People::of(self, moment.now);
        let numbering = Numbering::of(&pin);
        let mut sections = Sections { file: &mut file, bytes: Vec::new() };
        sections.head(moment, &numbering, note)?;
        sections.instances(&people.instances)?;
        sections.channels(&pin, &numbering)?;
        drop(pin);
        sections.users(&people.all, &numbering)?;
        file.commit()
    }

    /// The user's data in the snapshot; None if the user is neither online nor cached.
    fn person(&self, user: User, now: u64, instances: &mut InstanceNames) -> Option<Person> {
        let turn = self.table.users.turn_of_number(user)?;
        let cached = self.table.cache.lock().cached(user, now);
        let names = self.table.instances.names();
        let locations: Locations =
            turn.locations().iter().map(|location| instances.number(names.name(location.instance))).collect();
        drop(names);
        if locations.is_empty() && cached.is_none() {
            return None;
        }
        Some(Person { name: self.table.users.name(user)?, list: turn.list()?, locations, cached })
    }
}

/// All users, with their lists as they were in the turn of each.
struct People {
    all: Vec<Person>,
    instances: InstanceNames,
}

struct Person {
    name: CompactString,
    list: MembershipList,
    locations: Locations,
    cached: Option<Cached>,
}

/// The instances of a user, by their number in the file.
type Locations = SmallVec<[usize; 2]>;

/// The instances, numbered in the order in which users were found on them.
#[derive(Default)]
struct InstanceNames {
    names: Vec<CompactString>,
    numbers: HashMap<CompactString, usize>,
}

impl People {
    fn of(engine: &Engine, now: u64) -> Self {
        let mut instances = InstanceNames::default();
        let numbers = engine.table.users.numbers();
        let mut all: Vec<Person> = numbers.filter_map(|user| engine.person(user, now, &mut instances)).collect();
        all.sort_by_key(|person| person.cached.map(|cached| cached.used));
        Self { all, instances }
    }
}

impl InstanceNames {
    fn number(&mut self, name: CompactString) -> usize {
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            self.names.len() - 1
        })
    }
}

/// The numbers of channels in the file: the numbers of a shard follow those of the shard before it.
struct Numbering {
    /// The first number of each shard, and at the end the number of all.
    starts: Vec<usize>,
}

impl Numbering {
    fn of(pin: &Pin) -> Self {
        let ends = pin.bounds().into_iter().scan(0, |end, bound| {
            *end += bound;
            Some(*end)
        });
        Self { starts: std::iter::once(0).chain(ends).collect() }
    }

    fn number(&self, channel: u32) -> usize {
        let (shard, local) = Pin::split(channel);
        self.starts[shard] + local
    }

    fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or_default()
    }

    /// The number of numbers in each shard.
    fn sizes(&self) -> impl Iterator<Item = usize> {
        self.starts.windows(2).map(|pair| pair[1] - pair[0])
    }
}

/// Collects items into sections and writes them to the file.
struct Sections<'a> {
    file: &'a mut Writer,
    bytes: Vec<u8>,
}

impl Sections<'_> {
    fn head(&mut self, moment: Moment, numbering: &Numbering, note: &[u8]) -> Result<()> {
        put_number(&mut self.bytes, moment.unix);
        put_count(&mut self.bytes, numbering.len());
        self.bytes.extend_from_slice(note);
        self.end(SectionKind::Head)
    }

    fn instances(&mut self, instances: &InstanceNames) -> Result<()> {
        for name in &instances.names {
            put_name(&mut self.bytes, name.as_bytes());
        }
        self.end(SectionKind::Instances)
    }

    fn channels(&mut self, pin: &Pin, numbering: &Numbering) -> Result<()> {
        for (shard, size) in numbering.sizes().enumerate() {
            pin.names(shard, size, |name| put_packed(&mut self.bytes, name));
            self.end_if_long(SectionKind::Channels)?;
        }
        self.end(SectionKind::Channels)
    }

    fn users(&mut self, people: &[Person], numbering: &Numbering) -> Result<()> {
        let mut block = Vec::new();
        for person in people {
            put_name(&mut self.bytes, person.name.as_bytes());
            put_number(&mut self.bytes, person.cached.map_or(0, |cached| cached.age.saturating_add(1)));
            put_count(&mut self.bytes, person.locations.len());
            person.locations.iter().for_each(|&instance| put_count(&mut self.bytes, instance));
            put_count(&mut self.bytes, person.list.len());
            let mut next = 0;
            person.list.each(&mut block, |channel| {
                let number = numbering.number(channel);
                put_count(&mut self.bytes, number - next);
                next = number + 1;
            });
            self.end_if_long(SectionKind::Users)?;
        }
        self.end(SectionKind::Users)
    }

    fn end_if_long(&mut self, kind: SectionKind) -> Result<()> {
        if self.bytes.len() >= SECTION { self.end(kind) } else { Ok(()) }
    }

    fn end(&mut self, kind: SectionKind) -> Result<()> {
        self.file.section(kind, &self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

#[cfg(test)]
#[path = "save_tests.rs"]
mod tests;
