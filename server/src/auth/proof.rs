//! The first proof that an account's address belongs to whoever comes in.
//!
//! Nobody proves an address by registering it: somebody else may have, to wait inside for its owner. A code that went to
//! the address and came back is the proof. The first one makes the account its owner's alone: whatever was made before it
//! and lets somebody in, or is told of what happens, or reads along, ends in the same transaction.

use super::{Auth, AuthError};
use crate::access::invitation;
use crate::control::Write;
use crate::control::entities::user;
use crate::control::repository::sessions::{self, End};
use crate::control::repository::{api_keys, users, webhooks};

impl Auth {
    /// Notes that the address of `user_id` is theirs, in the transaction in which their code was taken. If nobody had shown
    /// that before, password, sessions, API keys, webhooks and accepted grants of the account end. The person as they are
    /// then, held until the transaction ends. Call [`Auth::forget`] behind the commit.
    pub(super) async fn prove(&self, write: &Write, user_id: &str) -> Result<Option<user::Model>, AuthError> {
        let Some(user) = users::hold(write.on(), user_id).await? else { return Ok(None) };
        if user.email_verified_at.is_some() {
            return Ok(Some(user));
        }
        let (on, now_us) = (write.on(), self.control().now_us());
        users::set_verified(on, user_id, now_us).await?;
        sessions::end_all(on, user_id, End::Claimed, now_us).await?;
        api_keys::delete_all(on, user_id).await?;
        webhooks::delete_all(on, user_id).await?;
        invitation::end_accepted(on, user_id, now_us).await?;
        tracing::info!(user = user_id, "an address was proven; what was made in the account before it has ended");
        Ok(users::by_id(on, user_id).await?)
    }
}
