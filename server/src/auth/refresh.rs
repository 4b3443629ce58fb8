//! Sessions and their refresh tokens: opaque, spent at each use, the family ended when a spent one comes back.

use sha2::{Digest, Sha256};

use super::{Auth, AuthError, random};
use crate::control::Write;
use crate::control::entities::user;
use crate::control::repository::sessions::{self, End, Spent};
use crate::control::repository::users;

const PREFIX: &str = "rt_";
const RANDOM_CHARACTERS: usize = 43;

/// Longest text that is looked up as a refresh token, bytes.
const TOKEN_BYTES_MAX: usize = 64;

/// What a login, a code or a refresh answers.
#[derive(Debug)]
pub struct Grant {
    /// The access token.
    pub access_token: String,
    /// The refresh token, shown this once.
    pub refresh_token: String,
    /// Life of the access token, seconds.
    pub expires_in_s: i64,
    /// Whose.
    pub user: user::Model,
}

impl Auth {
    /// Begins a session of a person, inside the caller's transaction.
    pub(super) async fn begin_session(&self, write: &Write, user: user::Model) -> Result<Grant, AuthError> {
        let now_us = self.control().now_us();
        let session = random::base62("ses_", 16)?;
        sessions::insert(write.on(), &session, &user.id, now_us, now_us).await?;
        self.issue(write, &session, user).await
    }

    /// Spends a refresh token for the next pair. A spent one ends its whole family.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], [`AuthError::Control`], [`AuthError::Random`], [`AuthError::Sign`].
    pub async fn refresh(&self, token: &str) -> Result<Grant, AuthError> {
        let hash = hash(token).ok_or(AuthError::Invalid)?;
        let write = self.control().write().await?;
        let now_us = self.control().now_us();
        match sessions::spend(write.on(), &hash, now_us).await? {
            Spent::Now { session } => {
                let owner = users::by_id(write.on(), &session.user_id).await?.ok_or(AuthError::Invalid)?;
                let grant = self.issue(&write, &session.id, owner).await?;
                write.commit().await?;
                Ok(grant)
            }
            Spent::Before { session_id } => {
                sessions::end(write.on(), &session_id, End::Reuse, now_us).await?;
                write.commit().await?;
                self.forget();
                tracing::warn!(session = session_id, "a spent refresh token came back; its session was ended");
                Err(AuthError::Invalid)
            }
            Spent::No => Err(AuthError::Invalid),
        }
    }

    /// Ends the family of a refresh token, spent or not. An unknown token ends nothing and is no error: what the
    /// caller wanted gone is gone.
    ///
    /// # Errors
    /// [`AuthError::Control`].
    pub async fn logout(&self, token: &str) -> Result<(), AuthError> {
        let Some(hash) = hash(token) else { return Ok(()) };
        let write = self.control().write().await?;
        if let Some(found) = sessions::by_token(write.on(), &hash).await? {
            sessions::end(write.on(), &found.session_id, End::Logout, self.control().now_us()).await?;
            write.commit().await?;
            self.forget();
        }
        Ok(())
    }

    /// Ends one of a person's sessions; whether there was such an open one. Its tokens are refused from now on.
    ///
    /// # Errors
    /// [`AuthError::Control`].
    pub async fn end_session(&self, user_id: &str, id: &str) -> Result<bool, AuthError> {
        let write = self.control().write().await?;
        let is_ended = sessions::end_own(write.on(), user_id, id, self.control().now_us()).await?;
        write.commit().await?;
        self.forget();
        Ok(is_ended)
    }

    async fn issue(&self, write: &Write, session: &str, user: user::Model) -> Result<Grant, AuthError> {
        let now_us = self.control().now_us();
        let refresh_token = random::base62(PREFIX, RANDOM_CHARACTERS)?;
        let hash = hash(&refresh_token).ok_or(AuthError::Invalid)?;
        let expires_at = now_us.saturating_add(self.refresh_life_us());
        sessions::insert_token(write.on(), session, &hash, now_us, expires_at).await?;
        let access_token = self.tokens().sign(&user.id, session, now_us)?;
        Ok(Grant { access_token, refresh_token, expires_in_s: self.tokens().life_s(), user })
    }
}

/// What is stored of a refresh token; `None` for what cannot be one.
fn hash(token: &str) -> Option<[u8; 32]> {
    let is_plausible = token.starts_with(PREFIX) && token.len() <= TOKEN_BYTES_MAX;
    is_plausible.then(|| Sha256::digest(token.as_bytes()).into())
}
