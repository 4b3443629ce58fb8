//! What waits for its caller to come back: plans behind tickets, prepared statements behind handles.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::UserId;

use crate::error::ApiError;

/// Bytes of a handle: those of the server that gave it, and random ones, so that nobody guesses another's.
pub(super) const HANDLE_BYTES: usize = 16;
/// Bytes of a handle by which a server knows its own.
const SERVER_BYTES: usize = 4;
/// Most things of one caller.
const EACH_MAX: usize = 64;
/// Most things of all callers.
const ALL_MAX: usize = 1_024;
/// Seconds after which a caller may try again.
const RETRY_AFTER_S: u32 = 1;

pub(super) type Handle = [u8; HANDLE_BYTES];

/// What the handles of one server begin with, from its start to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server([u8; SERVER_BYTES]);

impl Server {
    /// One like no other's.
    pub(super) fn new() -> Self {
        Self(rand::random())
    }

    /// Whether a handle is one of this server's.
    pub(super) fn gave(self, handle: &[u8]) -> bool {
        handle.starts_with(&self.0)
    }
}

/// Things of callers, each for a while. Bounded in number, by caller and in all.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    server: Server,
    life: Duration,
    things: Mutex<HashMap<Handle, Thing<T>>>,
}

#[derive(Debug)]
struct Thing<T> {
    owner: UserId,
    value: T,
    until: Duration,
}

impl<T> Shelf<T> {
    /// An empty shelf whose things live so long.
    pub(super) fn new(server: Server, life: Duration) -> Self {
        Self { server, life, things: Mutex::default() }
    }

    /// Puts something there at `now` of the clock's elapsed time.
    ///
    /// # Errors
    /// 429 if the caller has too much there, 503 if all have.
    pub(super) fn put(&self, owner: UserId, value: T, now: Duration) -> Result<Handle, ApiError> {
        let mut things = self.things();
        things.retain(|_, thing| thing.until > now);
        if things.values().filter(|thing| thing.owner == owner).count() >= EACH_MAX {
            return Err(ApiError::too_many(RETRY_AFTER_S));
        }
        if things.len() >= ALL_MAX {
            return Err(ApiError::busy("too many statements wait to be run", RETRY_AFTER_S));
        }
        let mut handle: Handle = rand::random();
        for (byte, of_server) in handle.iter_mut().zip(self.server.0) {
            *byte = of_server;
        }
        things.insert(handle, Thing { owner, value, until: now + self.life });
        Ok(handle)
    }

    /// Takes something away, if it is the caller's and still there.
    pub(super) fn take(&self, owner: UserId, handle: &[u8], now: Duration) -> Option<T> {
        let handle = Handle::try_from(handle).ok()?;
        let mut things = self.things();
        let is_theirs = things.get(&handle).is_some_and(|thing| thing.owner == owner && thing.until > now);
        if is_theirs { things.remove(&handle).map(|thing| thing.value) } else { None }
    }

    /// Looks at something, or changes it, if it is the caller's and still there; it lives on from now.
    pub(super) fn with<R>(
        &self,
        owner: UserId,
        handle: &[u8],
        now: Duration,
        look: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let handle = Handle::try_from(handle).ok()?;
        let mut things = self.things();
        let thing = things.get_mut(&handle).filter(|thing| thing.owner == owner && thing.until > now)?;
        thing.until = now + self.life;
        Some(look(&mut thing.value))
    }

    fn things(&self) -> MutexGuard<'_, HashMap<Handle, Thing<T>>> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> [UserId; 2] {
        ["usr_0000000a", "usr_0000000b"].map(|id| UserId::parse(id).unwrap())
    }

    #[test]
    fn a_thing_is_its_callers_once_and_for_a_while() {
        let server = Server::new();
        let (shelf, [ada, bo]) = (Shelf::new(server, Duration::from_mins(1)), people());
        let at = Duration::from_secs;
        let handle = shelf.put(ada, "plan", at(0)).unwrap();
        assert!(server.gave(&handle) && !Server(server.0.map(|byte| !byte)).gave(&handle));
        assert_eq!(shelf.take(bo, &handle, at(1)), None, "not another's");
        assert_eq!(shelf.take(ada, b"guess", at(1)), None);
        assert_eq!(shelf.with(ada, &handle, at(59), |plan| *plan), Some("plan"), "a use lengthens its life");
        assert_eq!(shelf.take(ada, &handle, at(118)), Some("plan"));
        assert_eq!(shelf.take(ada, &handle, at(118)), None, "once");
        let late = shelf.put(ada, "plan", at(200)).unwrap();
        assert_eq!(shelf.take(ada, &late, at(260)), None, "too late");
    }

    #[test]
    fn nobody_fills_it_for_the_others() {
        let (shelf, [ada, bo]) = (Shelf::new(Server::new(), Duration::from_mins(1)), people());
        for _ in 0..EACH_MAX {
            shelf.put(ada, (), Duration::ZERO).unwrap();
        }
        assert_eq!(shelf.put(ada, (), Duration::ZERO).unwrap_err().status(), 429);
        shelf.put(bo, (), Duration::ZERO).unwrap();
        shelf.put(ada, (), Duration::from_mins(1)).unwrap();
        for nth in 0..ALL_MAX {
            let other = UserId::parse(&format!("usr_{nth:08}")).unwrap();
            let _ = shelf.put(other, (), Duration::from_mins(1));
        }
        assert_eq!(shelf.put(bo, (), Duration::from_mins(1)).unwrap_err().status(), 503);
    }
}
