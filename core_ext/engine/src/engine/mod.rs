//! The engine: changes of the table, questions to it, and events routed by it.

pub(crate) mod core;
pub(crate) mod queries;
pub(crate) mod route;
pub(crate) mod updates;
