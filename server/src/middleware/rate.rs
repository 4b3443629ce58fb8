//! How often one address, one key, one person may ask: 429 beyond it.
//!
//! Counting is governor's (the generic cell rate algorithm). An IPv6 client is its /64 network, because whoever has one
//! address of it has them all. Memory is bounded: every [`SWEEP_EVERY`]-th question forgets whoever's allowance is full
//! again, so that only those are kept who have asked in the last seconds, and at most so many more.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use storage::UserId;

use crate::auth::{Means, Principal};
use crate::config::Limits;
use crate::error::ApiError;
use crate::fhir::smart::TOKEN_PATH;

/// Questions between two sweeps.
pub const SWEEP_EVERY: u64 = 4_096;

/// The counters of a server.
#[derive(Debug)]
pub struct Rates {
    /// `None` if limits are off.
    limits: Option<Counters>,
}

#[derive(Debug)]
struct Counters {
    address: Counter<IpAddr>,
    login: Counter<IpAddr>,
    principal: Counter<Who>,
}

/// One key, all tokens of one person, or all of one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Person(UserId),
    Key(Arc<str>),
    Client(Arc<str>),
}

impl Rates {
    /// Counters for the limits of a configuration.
    pub fn new(limits: &Limits) -> Self {
        let counters = limits.enabled.then(|| Counters {
            address: Counter::new(Quota::per_second(positive(limits.address_per_s)), limits.address_burst),
            login: Counter::new(Quota::per_minute(positive(limits.auth_per_minute)), limits.auth_burst),
            principal: Counter::new(Quota::per_second(positive(limits.key_per_s)), limits.key_burst),
        });
        Self { limits: counters }
    }

    /// Counts a request of an address; `path` decides whether the stricter limit of logins holds too.
    ///
    /// # Errors
    /// 429.
    pub fn admit_address(&self, address: IpAddr, path: &str) -> Result<(), ApiError> {
        let Some(counters) = &self.limits else {
            return Ok(());
        };
        let client = network_of(address);
        counters.address.admit(&client)?;
        let is_login = path.starts_with("/api/v1/auth/") || path == TOKEN_PATH;
        if is_login { counters.login.admit(&client) } else { Ok(()) }
    }

    /// Counts a request of somebody who is let in.
    ///
    /// # Errors
    /// 429.
    pub fn admit_principal(&self, principal: &Principal) -> Result<(), ApiError> {
        let Some(counters) = &self.limits else {
            return Ok(());
        };
        counters.principal.admit(&match &principal.means {
            Means::Token { .. } => Who::Person(principal.user),
            Means::Key { id, .. } => Who::Key(Arc::clone(id)),
            Means::Client { id, .. } => Who::Client(Arc::clone(id)),
        })
    }
}

fn positive(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// What is counted as one client.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// One kind of limit.
#[derive(Debug)]
struct Counter<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
    asked: AtomicU64,
}

impl<K: Hash + Eq + Clone> Counter<K> {
    fn new(quota: Quota, burst: u32) -> Self {
        let limiter = RateLimiter::keyed(quota.allow_burst(positive(burst)));
        Self { limiter, clock: DefaultClock::default(), asked: AtomicU64::new(0) }
    }

    fn admit(&self, client: &K) -> Result<(), ApiError> {
        // Looked at rarely, so that an ordinary question costs one look-up.
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(client).map(drop).map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            ApiError::too_many(u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(change: impl FnOnce(&mut Limits)) -> Rates {
        let mut limits = Limits { address_per_s: 1, address_burst: 3, auth_burst: 2, ..Limits::default() };
        change(&mut limits);
        Rates::new(&limits)
    }

    fn admitted(rates: &Rates, address: &str, path: &str, tries: usize) -> usize {
        (0..tries).filter(|_| rates.admit_address(address.parse().unwrap(), path).is_ok()).count()
    }

    #[test]
    fn beyond_the_burst_an_address_waits() {
        let rates = rates(|_| {});
        assert_eq!(admitted(&rates, "192.0.2.1", "/api/v1/wearables/latest", 10), 3);
        assert_eq!(admitted(&rates, "192.0.2.2", "/api/v1/wearables/latest", 10), 3);
        assert_eq!(rates.admit_address("192.0.2.1".parse().unwrap(), "/").unwrap_err().status(), 429);
    }

    #[test]
    fn logins_have_a_stricter_limit() {
        assert_eq!(admitted(&rates(|_| {}), "192.0.2.1", "/api/v1/auth/login", 10), 2);
        assert_eq!(admitted(&rates(|_| {}), "192.0.2.1", "/fhir/R4/auth/token", 10), 2);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let rates = rates(|_| {});
        assert_eq!(admitted(&rates, "2001:db8::1", "/", 2), 2);
        assert_eq!(admitted(&rates, "2001:db8::2", "/", 2), 1);
        assert_eq!(admitted(&rates, "2001:db8:0:1::1", "/", 1), 1);
    }

    #[test]
    fn a_key_and_a_person_s_tokens_count_apart() {
        let rates = rates(|limits| (limits.key_per_s, limits.key_burst) = (1, 2));
        let user = UserId::parse("usr_7jRtHvBk").unwrap();
        let principal = |means| Principal { user, role: crate::auth::Role::Patient, means };
        let key = principal(Means::Key { id: "key_1".into(), scopes: crate::auth::Scopes::ALL });
        let token = principal(Means::Token { jti: "j".to_owned(), session: "s".to_owned() });
        for principal in [key, token] {
            assert_eq!((0..5).filter(|_| rates.admit_principal(&principal).is_ok()).count(), 2);
        }
    }

    #[test]
    fn who_has_been_quiet_is_forgotten() {
        let counter = Counter::new(Quota::per_second(positive(1_000_000)), 1);
        for client in 0..3 * SWEEP_EVERY {
            counter.admit(&client).unwrap();
        }
        assert!(counter.limiter.len() <= 2 * usize::try_from(SWEEP_EVERY).unwrap());
    }

    #[test]
    fn limits_can_be_turned_off() {
        let rates = rates(|limits| limits.enabled = false);
        assert_eq!(admitted(&rates, "192.0.2.1", "/api/v1/auth/login", 100), 100);
    }
}
