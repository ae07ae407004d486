//! Data structures that are independent of their content.

pub(crate) mod blocks;
pub(crate) mod free;
pub(crate) mod lru;
pub(crate) mod pages;
pub(crate) mod prefetch;
pub(crate) mod rice;
