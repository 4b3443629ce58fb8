//! Passwords: Argon2id, off the request threads, a bounded number at once.
//!
//! A check against an account that does not exist, or has no password, costs the same as one against a real hash, so
//! that the time of an answer tells nobody who has an account.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{Semaphore, TryAcquireError};

use super::{AuthError, random};

/// Shortest password, bytes.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// Longest password, bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Memory of one hash, KiB; with two passes and one lane, what OWASP asks for at least (Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const SALT_BYTES: usize = 16;

/// Callers that may wait for their turn, for each that is served: some seconds of waiting.
const WAITING_PER_TURN: usize = 64;

/// Hashes and checks passwords.
#[derive(Debug, Clone)]
pub struct Passwords {
    /// Who may wait; full means that the server is too busy.
    queue: Arc<Semaphore>,
    /// Who is served.
    turns: Arc<Semaphore>,
    /// Stands in where there is no hash to check against.
    decoy: Arc<str>,
}

impl Passwords {
    /// Serves at most `at_once` callers at the same time.
    ///
    /// # Errors
    /// [`AuthError::Random`], [`AuthError::Hash`].
    pub fn new(at_once: usize) -> Result<Self, AuthError> {
        let decoy = hash(&random::bytes::<32>()?)?;
        Ok(Self {
            queue: Arc::new(Semaphore::new(at_once.saturating_mul(WAITING_PER_TURN))),
            turns: Arc::new(Semaphore::new(at_once)),
            decoy: decoy.into(),
        })
    }

    /// Hashes a password, in PHC form.
    ///
    /// # Errors
    /// [`AuthError::Busy`], [`AuthError::Hash`], [`AuthError::Stopping`].
    pub async fn hash(&self, password: String) -> Result<String, AuthError> {
        self.run(move || hash(password.as_bytes())).await?
    }

    /// Whether a password is the one that was hashed; never, but after the same work, if there is no hash.
    ///
    /// # Errors
    /// [`AuthError::Busy`], [`AuthError::Hash`] for a stored hash that is damaged, [`AuthError::Stopping`].
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool, AuthError> {
        let decoy = Arc::clone(&self.decoy);
        self.run(move || match stored {
            Some(stored) => verify(password.as_bytes(), &stored),
            None => verify(password.as_bytes(), &decoy).map(|_| false),
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AuthError> {
        let place = Arc::clone(&self.queue).try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => AuthError::Busy,
            TryAcquireError::Closed => AuthError::Stopping,
        })?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| AuthError::Stopping)?;
        // The permits go along: a caller that hangs up must not let the next one in before the work is done.
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((turn, place));
            result
        });
        task.await.map_err(|_| AuthError::Stopping)
    }
}

fn argon2() -> Result<Argon2<'static>, AuthError> {
    let params =
        Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| AuthError::Hash(password_hash::Error::ParamsInvalid))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes with a fresh salt. Takes about 30 ms and 19 MiB.
fn hash(password: &[u8]) -> Result<String, AuthError> {
    let salt = random::bytes::<SALT_BYTES>()?;
    let hash: PasswordHash = argon2()?.hash_password_with_salt(password, &salt).map_err(AuthError::Hash)?;
    Ok(hash.to_string())
}

/// Checks with the stored hash's own parameters.
fn verify(password: &[u8], stored: &str) -> Result<bool, AuthError> {
    let stored = PasswordHash::new(stored).map_err(|_| AuthError::Hash(password_hash::Error::EncodingInvalid))?;
    match argon2()?.verify_password(password, &stored) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(AuthError::Hash(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_holds_for_its_password_alone() {
        let passwords = Passwords::new(2).unwrap();
        let stored = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify("correct horse".to_owned(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("correct horsf".to_owned(), Some(stored.clone())).await.unwrap());
        assert_ne!(passwords.hash("correct horse".to_owned()).await.unwrap(), stored);
    }

    #[tokio::test]
    async fn nobody_s_password_is_always_wrong_and_costs_as_much() {
        let passwords = Passwords::new(1).unwrap();
        assert!(!passwords.verify("anything".to_owned(), None).await.unwrap());
        let decoy = PasswordHash::new(&passwords.decoy).unwrap();
        let real = PasswordHash::new(&passwords.hash("x".to_owned()).await.unwrap()).unwrap();
        assert_eq!((decoy.algorithm, decoy.version, decoy.params), (real.algorithm, real.version, real.params));
    }

    #[tokio::test]
    async fn a_full_queue_is_refused_at_once() {
        let passwords = Passwords::new(1).unwrap();
        let _all = passwords.queue.acquire_many(u32::try_from(WAITING_PER_TURN).unwrap()).await.unwrap();
        assert!(matches!(passwords.hash("x".to_owned()).await, Err(AuthError::Busy)));
    }

    #[tokio::test]
    async fn a_damaged_hash_is_an_error_and_not_a_wrong_password() {
        let passwords = Passwords::new(1).unwrap();
        let result = passwords.verify("x".to_owned(), Some("$argon2id$garbage".to_owned())).await;
        assert!(matches!(result, Err(AuthError::Hash(_))));
    }
}
