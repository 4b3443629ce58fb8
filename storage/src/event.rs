//! What the storage tells its owner while it runs.

use crate::point::{Accepted, MetricId, UserId};

/// What became durable, told by the log thread in order, before any ticket of the group answers.
#[derive(Debug)]
pub enum Event<'a> {
    /// A group of batches.
    Accepted(&'a [Accepted]),
    /// A deletion: what is known of (user, metric), or of the user if no metric is given, is no longer sure.
    Deleted {
        /// Whose.
        user: UserId,
        /// Which metric; all if `None`.
        metric: Option<MetricId>,
    },
}

/// Hears every [`Event`]; called on the log thread, so it must be quick and must not call the storage.
pub type Observer = Box<dyn FnMut(Event<'_>) + Send>;
