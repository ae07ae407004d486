//! Names, and the numbers that stand for them in the table.

pub(crate) mod hash_index;
pub(crate) mod hashed_name;
pub(crate) mod ids;
pub(crate) mod interner;
pub(crate) mod name_table;
