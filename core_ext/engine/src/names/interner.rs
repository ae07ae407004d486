//! An interner for few names, such as those of instances: one table of names with its own hasher.

use compact_str::CompactString;

use crate::names::hash_index::Local;
use crate::names::hashed_name::{HashedName, NameHasher};
use crate::names::ids::Id;
use crate::names::name_table::Names;

/// Gives each name a small number.
pub(crate) struct Interner {
    hasher: NameHasher,
    names: Names<HashedName>,
}

impl Interner {
    pub(crate) fn new(hasher: NameHasher) -> Self {
        Self { hasher, names: Names::default() }
    }

    /// The number of a name.
    pub(crate) fn find(&self, id: &Id) -> Option<Local> {
        self.names.find(self.hasher.key(id.packed()))
    }

    /// The number of a name; a new name gets one.
    pub(crate) fn intern(&mut self, id: &Id) -> Local {
        let key = self.hasher.key(id.packed());
        self.names.find(key).unwrap_or_else(|| self.names.insert(key))
    }

    /// Remove a name, given its number, which another name may then get.
    pub(crate) fn remove(&mut self, local: Local) {
        self.names.remove(local);
    }

    /// The name that has a number, if one has.
    pub(crate) fn name(&self, local: Local) -> Option<CompactString> {
        self.names.name(&self.hasher, local)
    }

    /// The table of the names.
    pub(crate) fn names(&self) -> &Names<HashedName> {
        &self.names
    }
}
