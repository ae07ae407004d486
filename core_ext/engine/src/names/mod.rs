//! Names and their numbers.

pub(crate) mod hash_index;
pub(crate) mod hashed_name;
pub(crate) mod ids;
pub(crate) mod interner;
pub(crate) mod name_table;
