//! The whole importer on files that are written here, byte by byte.

pub(super) mod sink;
pub(super) mod writer;

mod archives;
mod files;
mod hostile;
