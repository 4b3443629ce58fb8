//! How many queries run, and whose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use storage::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::error::ApiError;
use crate::metrics::Metrics;

/// Seconds after which somebody whose queries all run may ask again.
const RETRY_AFTER_S: u32 = 1;

/// The places for queries, all people together, and a share for each.
#[derive(Debug)]
pub struct Queries {
    places: Arc<Semaphore>,
    each_max: u32,
    running: Mutex<HashMap<UserId, u32>>,
    metrics: Metrics,
}

/// The right to one running query; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    queries: Arc<Queries>,
    user: UserId,
    _permit: OwnedSemaphorePermit,
}

impl Queries {
    /// None runs; limits are those of a configuration.
    pub fn new(limits: &Limits, metrics: Metrics) -> Self {
        let places = usize::try_from(limits.queries_max).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            each_max: limits.queries_each_max,
            running: Mutex::default(),
            metrics,
        }
    }

    /// Takes a place for a person.
    ///
    /// # Errors
    /// 429 if so many of theirs run already as one may have, 503 if all places are taken.
    pub(crate) fn begin(self: &Arc<Self>, user: UserId) -> Result<Place, ApiError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let own = running.get(&user).copied().unwrap_or(0);
        if own >= self.each_max {
            return Err(ApiError::too_many(RETRY_AFTER_S));
        }
        let full = |_| ApiError::busy("too many queries are running; try again in a moment", RETRY_AFTER_S);
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        running.insert(user, own + 1);
        self.metrics.queries.increment(1.0);
        Ok(Place { queries: Arc::clone(self), user, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.queries.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(&self.user) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(running.remove(&self.user)),
        }
        self.queries.metrics.queries.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_share_of_the_places() {
        let limits = Limits { queries_max: 3, queries_each_max: 2, ..Limits::default() };
        let queries = Arc::new(Queries::new(&limits, Metrics::new()));
        let [ada, bo] = ["usr_0000000a", "usr_0000000b"].map(|id| UserId::parse(id).unwrap());
        let first = queries.begin(ada).unwrap();
        let _second = queries.begin(ada).unwrap();
        assert_eq!(queries.begin(ada).unwrap_err().status(), 429);
        let third = queries.begin(bo).unwrap();
        assert_eq!(queries.begin(bo).unwrap_err().status(), 503);
        drop(first);
        let _fourth = queries.begin(ada).unwrap();
        assert_eq!(queries.begin(ada).unwrap_err().status(), 429);
        drop(third);
        assert_eq!(queries.running.lock().unwrap().len(), 1, "who runs none is forgotten");
    }
}
