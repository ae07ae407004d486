//! Snapshots: the table in a file.

pub(crate) mod coding;
pub(crate) mod format;
pub(crate) mod reading;
pub(crate) mod restore;
pub(crate) mod save;
pub(crate) mod writing;
