//! What the benches and the load driver share: the same points from the same seed, on every machine.
//!
//! Not here: anything of a competitor's. This package measures this product and the null server beside it.

mod fixture;
mod split_mix;

pub use crate::fixture::{
    Drain, Fixture, WINDOW_END_US, WINDOW_START_US, batches, body, folder, is_measuring, memory_folder, storage, user,
};
pub use crate::split_mix::SplitMix;
