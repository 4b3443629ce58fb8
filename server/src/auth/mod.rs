//! Who is asking: passwords, one-time codes, tokens, keys.
//!
//! ```text
//! headers ─▶ X-API-Key ─▶ SHA-256 ──────────┐
//!         └▶ Bearer ─▶ HMAC, kid, claims ───┴▶ cache ─▶ (unknown, or a change since) control database ─▶ Principal
//! register, login, one-time code ─▶ session ─▶ access token + refresh token
//! ```
//!
//! What it guarantees: a credential that was ended in this process is refused from the next request on, one that was
//! ended by another process within a second. No answer, and no time that an answer takes, tells who has an account,
//! registration of a taken address aside.
//!
//! Not here: what a principal may see of others (grants), and how often one may ask (rate limits).

mod account;
mod api_key;
mod cache;
mod clients;
mod error;
mod keys;
mod otp;
mod password;
mod principal;
mod proof;
pub(crate) mod random;
mod recovery;
mod refresh;
mod system;
#[cfg(test)]
mod tests;
mod token;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use storage::UserId;

pub use self::account::{EMAIL_BYTES_MAX, NewUser, normal_email};
pub use self::clients::CLIENT_TOKEN_S;
pub use self::error::AuthError;
pub use self::keys::NewKey;
pub use self::password::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, Passwords};
pub use self::principal::{Means, Principal, Role, Scopes};
pub(crate) use self::recovery::code_hashes;
pub use self::refresh::Grant;
pub use self::system::{Resource, SystemScopes};
pub use self::token::{Claims, ClientClaims, SecretError, Tokens};
use crate::config::{self, Config};
use crate::control::Control;
use crate::control::repository::{api_keys, sessions};

const KEY_HEADER: &str = "x-api-key";

/// The use of a key is noted at most this often.
const NOTE_USE_EVERY_US: i64 = 3600 * 1_000_000;

/// Checks and hands out credentials. `Clone` is a reference count.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    control: Control,
    tokens: Tokens,
    passwords: Passwords,
    credentials: cache::Credentials,
    /// Keys whose use is to be noted, with the time of it.
    used: Mutex<HashMap<Arc<str>, i64>>,
    config: config::Auth,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("tokens", &self.inner.tokens).finish_non_exhaustive()
    }
}

/// Authentication cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The signing secrets cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Passwords cannot be hashed.
    #[error(transparent)]
    Password(#[from] AuthError),
}

impl Auth {
    /// Reads the signing secrets, makes them at the first start, and starts the task that watches for changes by other
    /// processes. Must be called on a runtime; the task ends with the last clone.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: &Config, control: Control) -> Result<Self, OpenError> {
        let auth = Self::open_unwatched(config, control)?;
        watch::spawn(&auth.inner);
        Ok(auth)
    }

    /// As [`Self::open`], without the task: every request asks the database. For the command line.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_unwatched(config: &Config, control: Control) -> Result<Self, OpenError> {
        let inner = Inner {
            tokens: Tokens::open(config)?,
            passwords: Passwords::new(config.auth.password_hashes_max)?,
            credentials: cache::Credentials::new(Arc::clone(control.clock())),
            used: Mutex::default(),
            config: config.auth.clone(),
            control,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Who the credentials of a request belong to. A token counts before a key where both are sent. The token of another
    /// system is refused: it is good for paths of FHIR alone, see [`Self::authenticate_at`].
    ///
    /// Cost: a hash and a look-up in memory; a few queries where the credential is not remembered.
    ///
    /// # Errors
    /// [`AuthError::Missing`], [`AuthError::Invalid`], [`AuthError::Elsewhere`], [`AuthError::Control`].
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, AuthError> {
        // No client has a scope for no path.
        self.authenticate_at(headers, "").await
    }

    /// As [`Self::authenticate`], for what is at `path`, the whole path of the request: the token of another system counts
    /// where its scopes let it in.
    ///
    /// # Errors
    /// As [`Self::authenticate`]; [`AuthError::WantsScope`].
    pub async fn authenticate_at(&self, headers: &HeaderMap, path: &str) -> Result<Principal, AuthError> {
        let principal = self.identify(headers).await?;
        principal.require_path(path)?;
        Ok(principal)
    }

    async fn identify(&self, headers: &HeaderMap) -> Result<Principal, AuthError> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let text = value.to_str().map_err(|_| AuthError::Invalid)?;
            let token = bearer(text).ok_or(AuthError::Invalid)?;
            return self.by_token(token).await;
        }
        let value = headers.get(KEY_HEADER).ok_or(AuthError::Missing)?;
        let key = value.to_str().map_err(|_| AuthError::Invalid)?;
        self.by_key(key).await
    }

    /// Whether that by which somebody was let in still stands: the session has not ended, the key is there, and so is the
    /// account. That a token has run out since does not count. For answers that take long.
    ///
    /// # Errors
    /// [`AuthError::Control`].
    pub async fn stands(&self, principal: &Principal) -> Result<bool, AuthError> {
        match &principal.means {
            Means::Token { session, .. } => match self.read_session(session).await {
                Ok(session) => Ok(session.user == principal.user),
                Err(AuthError::Invalid) => Ok(false),
                Err(error) => Err(error),
            },
            Means::Key { id, .. } => Ok(api_keys::is_of(self.inner.control.read(), principal.user.as_str(), id).await?),
            Means::Client { id, .. } => match self.read_client(id).await {
                Ok(client) => Ok(client.user == principal.user),
                Err(AuthError::Invalid) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// Makes every remembered credential worthless in this process. Call it behind the commit of what ends one.
    pub fn forget(&self) {
        self.inner.credentials.forget();
    }

    /// What the background task does every hour.
    #[cfg(test)]
    pub(crate) async fn sweep_expired(&self) -> Result<(), AuthError> {
        watch::sweep(self).await
    }

    async fn by_token(&self, token: &str) -> Result<Principal, AuthError> {
        let Ok(claims) = self.inner.tokens.verify(token, self.inner.control.now_us()) else {
            return self.by_client_token(token).await;
        };
        let session = match self.inner.credentials.session(&claims.sid) {
            Some(session) => session,
            None => self.read_session(&claims.sid).await?,
        };
        if session.user.as_str() != claims.sub {
            return Err(AuthError::Invalid);
        }
        let means = Means::Token { jti: claims.jti, session: claims.sid };
        Ok(Principal { user: session.user, role: session.role, means })
    }

    async fn read_session(&self, id: &str) -> Result<cache::Session, AuthError> {
        let generation = self.inner.credentials.generation();
        let owner = sessions::owner(self.inner.control.read(), id).await?.ok_or(AuthError::Invalid)?;
        let session = cache::Session { user: user_of(&owner.id)?, role: role_of(&owner.role)? };
        self.inner.credentials.remember_session(id, generation, session);
        Ok(session)
    }

    async fn by_key(&self, key: &str) -> Result<Principal, AuthError> {
        let hash = api_key::hash(key).ok_or(AuthError::Invalid)?;
        let key = match self.inner.credentials.key(&hash) {
            Some(key) => key,
            None => self.read_key(hash).await?,
        };
        let now_us = self.inner.control.now_us();
        if key.expires_at.is_some_and(|expires_at| expires_at <= now_us) {
            return Err(AuthError::Invalid);
        }
        if now_us.saturating_sub(key.last_used_at.load(Ordering::Relaxed)) >= NOTE_USE_EVERY_US {
            key.last_used_at.store(now_us, Ordering::Relaxed);
            let mut used = self.inner.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.insert(Arc::clone(&key.id), now_us);
        }
        let means = Means::Key { id: Arc::clone(&key.id), scopes: key.scopes };
        Ok(Principal { user: key.user, role: key.role, means })
    }

    async fn read_key(&self, hash: [u8; 32]) -> Result<Arc<cache::Key>, AuthError> {
        let generation = self.inner.credentials.generation();
        let found = api_keys::by_hash(self.inner.control.read(), &hash).await?;
        let (row, owner) = found.ok_or(AuthError::Invalid)?;
        let key = Arc::new(cache::Key {
            id: row.id.into(),
            user: user_of(&owner.id)?,
            role: role_of(&owner.role)?,
            scopes: Scopes::parse(row.scopes.split(' ')).ok_or(AuthError::Invalid)?,
            expires_at: row.expires_at,
            last_used_at: AtomicI64::new(row.last_used_at.unwrap_or(0)),
        });
        self.inner.credentials.remember_key(hash, generation, Arc::clone(&key));
        Ok(key)
    }

    fn control(&self) -> &Control {
        &self.inner.control
    }

    fn tokens(&self) -> &Tokens {
        &self.inner.tokens
    }

    fn refresh_life_us(&self) -> i64 {
        micros(self.inner.config.refresh_token_s)
    }
}

/// The token of an `Authorization` header; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

fn user_of(id: &str) -> Result<UserId, AuthError> {
    UserId::parse(id).ok_or_else(|| unknown(id, "id"))
}

fn role_of(word: &str) -> Result<Role, AuthError> {
    Role::parse(word).ok_or_else(|| unknown(word, "role"))
}

fn unknown(id: &str, column: &'static str) -> AuthError {
    crate::control::Error::Row { table: "users", id: id.to_owned(), column }.into()
}
