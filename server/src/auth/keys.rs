//! API keys of people: made, listed, deleted.

use super::{Auth, AuthError, Scopes, api_key, random};
use crate::control::entities::api_key::Model;
use crate::control::repository::api_keys;

/// A key to make.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it expires, microseconds since 1970 UTC.
    pub expires_at: Option<i64>,
}

impl Auth {
    /// Makes a key of a person. The key itself is the second half, shown this once.
    ///
    /// # Errors
    /// [`crate::control::Error::Limit`] in [`AuthError::Control`] if the person has too many; [`AuthError::Random`].
    pub async fn create_key(&self, user_id: &str, new: NewKey) -> Result<(Model, String), AuthError> {
        let key = api_key::generate()?;
        let hash = api_key::hash(&key).ok_or(AuthError::Invalid)?;
        let row = Model {
            id: random::base62("key_", 16)?,
            user_id: user_id.to_owned(),
            name: new.name,
            prefix: api_key::shown(&key).to_owned(),
            hash: hash.to_vec(),
            scopes: new.scopes.to_string(),
            created_at: self.control().now_us(),
            expires_at: new.expires_at,
            last_used_at: None,
        };
        let write = self.control().write().await?;
        api_keys::insert(write.on(), row.clone(), self.inner.config.keys_per_user_max).await?;
        write.commit().await?;
        Ok((row, key))
    }

    /// Deletes a key of a person; whether there was one. It is refused from the next request on.
    ///
    /// # Errors
    /// [`AuthError::Control`].
    pub async fn delete_key(&self, user_id: &str, id: &str) -> Result<bool, AuthError> {
        let write = self.control().write().await?;
        let is_deleted = api_keys::delete(write.on(), user_id, id).await?;
        write.commit().await?;
        self.forget();
        Ok(is_deleted)
    }

    /// Deletes a key, whoever has it; whether there was one. For the operator.
    ///
    /// # Errors
    /// [`AuthError::Control`].
    pub async fn revoke_key(&self, id: &str) -> Result<bool, AuthError> {
        let write = self.control().write().await?;
        let is_deleted = api_keys::revoke(write.on(), id).await?;
        write.commit().await?;
        self.forget();
        Ok(is_deleted)
    }
}
