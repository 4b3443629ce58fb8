//! May this principal read this of that patient now? And if so, it is written down that they did.
//!
//! ```text
//! handler ─▶ Visitor (who, by what, from where)
//!         └▶ admit(patient, permission, look) ─▶ one transaction: the grant between the two, held ─▶ audit record
//!              │ no                                        │ yes
//!              └▶ 403, alike for everybody unknown         └▶ Admitted ─▶ rows read in it ─▶ commit ─▶ answer
//! ```
//!
//! - Every handler that touches somebody else's data goes through [`admit`]; no other code reads a grant to decide.
//! - Nothing is remembered between requests: a grant that has ended allows nothing from the next request on, whichever
//!   process ended it.
//! - What cannot be written down is not answered: without [`Admitted::commit`] there is no audit record, and every
//!   handler commits before it answers.
//! - A streamed answer is looked after while it leaves: [`Standing`].
//! - A question over many people at once has its own way in: [`crowd`]; so has one for who they are: [`roll`].
//! - There is no way around it for anybody: no role and no scope stands above a grant.
//!
//! The life of grants is [`invitation`]'s, with [`state`] as its rules; the chain of records is [`audit`]'s. Who is told
//! of what by a webhook is for [`receive`] to say.

pub mod audit;
pub mod crowd;
pub mod export;
pub mod invitation;
pub mod permission;
pub mod receive;
pub mod roll;
mod standing;
pub mod state;
#[cfg(test)]
pub(crate) mod tests;
pub mod writing;

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use sea_orm::DatabaseTransaction;
use storage::UserId;

pub use self::audit::Look;
pub use self::permission::{Permission, Permissions};
pub use self::standing::Standing;
pub use self::state::Status;
use crate::auth::{Principal, Role};
use crate::control::entities::user;
use crate::control::repository::{grants, users};
use crate::control::{self, Control, Write};
use crate::error::ApiError;
use crate::extract::{ClientAddress, Reader};
use crate::state::AppState;

/// Somebody who may read what is their own, and asks for what is another's.
#[derive(Debug, Clone)]
pub struct Visitor {
    principal: Principal,
    address: IpAddr,
}

impl Visitor {
    /// Somebody who comes by another way than the router: by their credentials, the address that they come from, and the
    /// path that stands for what they want.
    ///
    /// # Errors
    /// 401, 403 for a credential that is not good for the path, or lacks the scope `read`, 429.
    pub async fn of(state: &AppState, headers: &HeaderMap, address: IpAddr, path: &str) -> Result<Self, ApiError> {
        let principal = state.auth.authenticate_at(headers, path).await?;
        state.rates.admit_principal(&principal)?;
        principal.require_read()?;
        Ok(Self { principal, address })
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl FromRequestParts<AppState> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Reader(principal) = Reader::from_request_parts(parts, state).await?;
        // Without an address the record would not be whole.
        let ClientAddress(address) = *parts.extensions.get().ok_or_else(|| ApiError::internal(NoAddress))?;
        Ok(Self { principal, address })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the request carries no client address")]
struct NoAddress;

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// There is no such patient, no grant, or not for this. One text for all, so that nobody learns which.
    #[error("no active grant allows this")]
    Denied,
    /// The grant could not be read, or the record not be written.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The look at many grants broke off.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Denied => Self::forbidden(error.to_string()),
            AccessError::Control(error) => error.into(),
            AccessError::Engine(error) => error.into(),
        }
    }
}

/// A read that is allowed and noted, once [`Self::commit`] has returned.
#[derive(Debug)]
#[must_use = "nothing may be answered before `commit`"]
pub struct Admitted {
    write: Write,
    /// Whose data it is.
    pub patient: user::Model,
    /// The same as the engine names them.
    pub user: UserId,
    permissions: Permissions,
}

impl Admitted {
    /// The transaction of the grant and of the record: read rows in it.
    pub fn on(&self) -> &DatabaseTransaction {
        self.write.on()
    }

    /// Whether the grant allows something else besides.
    pub fn also_allows(&self, permission: Permission) -> bool {
        self.permissions.allow(permission)
    }

    /// Makes the record durable. Answer only behind it.
    ///
    /// # Errors
    /// [`control::Error`]; then the read is refused.
    pub async fn commit(self) -> Result<(user::Model, UserId), AccessError> {
        self.write.commit().await?;
        Ok((self.patient, self.user))
    }
}

/// Lets a visitor read something of a patient if an active grant allows one of `permissions`, and writes down that they
/// did. Cost: one transaction; the grant is looked up once.
///
/// # Errors
/// [`AccessError::Denied`]; [`AccessError::Control`] if it cannot be checked or written down.
pub async fn admit(
    control: &Control,
    visitor: &Visitor,
    patient_id: &str,
    permissions: &[Permission],
    look: Look,
) -> Result<Admitted, AccessError> {
    let Visitor { principal, address } = visitor;
    // What cannot be an id is nobody's, and a patient is let in by nobody.
    let user = UserId::parse(patient_id).ok_or(AccessError::Denied)?;
    if principal.role != Role::Doctor {
        return Err(AccessError::Denied);
    }
    let write = control.write().await?;
    let now_us = control.now_us();
    let found = grants::between(write.on(), principal.user.as_str(), patient_id).await?;
    let grant = found.filter(|grant| is_active(&grant.status, now_us, grant.expires_at)).ok_or(AccessError::Denied)?;
    let granted = Permissions::stored(&grant.permissions);
    if !permissions.iter().any(|permission| granted.allow(*permission)) {
        return Err(AccessError::Denied);
    }
    let patient = users::by_id(write.on(), patient_id).await?.ok_or(AccessError::Denied)?;
    let actor = actor(principal, *address);
    audit::append(write.on(), (patient_id, &grant.id), actor, look, now_us).await?;
    Ok(Admitted { write, patient, user, permissions: granted })
}

/// Somebody as their record names them.
fn actor(principal: &Principal, address: IpAddr) -> audit::Actor<'_> {
    let (means, means_id) = principal.means.recorded();
    audit::Actor { id: principal.user.as_str(), means, means_id, address: address.to_string() }
}

fn is_active(status: &str, now_us: i64, expires_at: Option<i64>) -> bool {
    Status::parse(status).is_some_and(|status| status.at(now_us, expires_at) == Status::Active)
}
