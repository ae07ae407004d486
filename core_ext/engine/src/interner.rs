//! Names of few things as numbers: one table of names with a hasher of its own.

use crate::ids::Id;
use crate::names::{Cell, Key, Local, NameHasher, Names};

/// The names.
#[derive(Default)]
pub(crate) struct Interner {
    hasher: Option<NameHasher>,
    names: Names<Cell>,
}

impl Interner {
    /// The number of a name.
    pub(crate) fn find(&self, id: &Id) -> Option<Local> {
        self.names.find(Key::new(self.hasher?, id.packed()))
    }

    /// The number of a name, new or not; whether it is new.
    pub(crate) fn intern(&mut self, id: &Id) -> (Local, bool) {
        let hasher = *self.hasher.get_or_insert_with(NameHasher::random);
        let key = Key::new(hasher, id.packed());
        match self.names.find(key) {
            Some(local) => (local, false),
            None => (self.names.insert(hasher, key), true),
        }
    }

    /// Free a number.
    pub(crate) fn remove(&mut self, local: Local) {
        if let Some(hasher) = self.hasher {
            self.names.remove(hasher, local);
        }
    }

    /// The names.
    pub(crate) fn names(&self) -> &Names<Cell> {
        &self.names
    }
}
