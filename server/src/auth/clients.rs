//! Tokens of clients: other systems that act for a doctor by themselves (SMART backend services).
//!
//! A client's token lives [`CLIENT_TOKEN_S`] and says which client it is and what was allowed. Whose client that is, and
//! what it may do at all, is looked up with every request: removing it ends its tokens, and so does the end of its
//! owner's account.
//!
//! Not here: how a client proves who it is (`crate::fhir::smart`).

use super::{Auth, AuthError, Means, Principal, SystemScopes, cache, role_of, user_of};
use crate::control::repository::smart;

/// Life of a client's token, seconds: SMART recommends no more than this.
pub const CLIENT_TOKEN_S: i64 = 300;

impl Auth {
    /// A token for a client that has proved who it is; `scope` is what it is allowed.
    ///
    /// # Errors
    /// [`AuthError::Random`], [`AuthError::Sign`].
    pub fn client_token(&self, client_id: &str, scope: &str) -> Result<String, AuthError> {
        self.tokens().sign_client(client_id, scope, self.control().now_us())
    }

    /// Removes a client, whoever has it; whether there was one. Its tokens are refused from the next request on.
    ///
    /// # Errors
    /// [`AuthError::Control`].
    pub async fn remove_client(&self, id: &str) -> Result<bool, AuthError> {
        let write = self.control().write().await?;
        let is_removed = smart::remove(write.on(), id).await?;
        write.commit().await?;
        self.forget();
        Ok(is_removed)
    }

    pub(super) async fn by_client_token(&self, token: &str) -> Result<Principal, AuthError> {
        let claims = self.tokens().verify_client(token, self.control().now_us())?;
        let said = SystemScopes::parse(&claims.scope).ok_or(AuthError::Invalid)?;
        let client = match self.inner.credentials.client(&claims.sub) {
            Some(client) => client,
            None => self.read_client(&claims.sub).await?,
        };
        // What the client may do may be less by now.
        let scopes = said.and(client.scopes);
        if scopes.is_empty() {
            return Err(AuthError::Invalid);
        }
        let means = Means::Client { id: claims.sub.into(), scopes };
        Ok(Principal { user: client.user, role: client.role, means })
    }

    pub(super) async fn read_client(&self, id: &str) -> Result<cache::Client, AuthError> {
        let generation = self.inner.credentials.generation();
        let found = smart::with_owner(self.control().read(), id).await?;
        let (row, owner) = found.ok_or(AuthError::Invalid)?;
        let scopes = SystemScopes::parse(&row.scopes).ok_or(AuthError::Invalid)?;
        let client = cache::Client { user: user_of(&owner.id)?, role: role_of(&owner.role)?, scopes };
        self.inner.credentials.remember_client(id, generation, client);
        Ok(client)
    }
}
