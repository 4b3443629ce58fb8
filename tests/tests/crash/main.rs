//! SIGKILL under load, again and again: what was acknowledged is there, what was not is there as a whole or not at all.
//!
//! SIGKILL proves what the process owes to itself (order of log, acknowledgement, manifest, file removal). What the
//! disk owes (lost and torn writes, failed syncs) is proved by the storage crate's simulated disk.

#[cfg(test)]
mod load;
