//! Everybody whose points somebody may read at this moment: for questions over many people at once.
//!
//! ```text
//! Crowd::of ─▶ who is visible ─▶ the plan says whom it can reach ─▶ Crowd::admit: one transaction ─▶ rows
//!                                   │ none but oneself                 the grants again, held
//!                                   └▶ no record                       a record in each one's trail, and the text
//! ```
//!
//! As with one patient: the grants are read in the transaction that writes the records, and nothing is answered before its
//! commit. While the answer leaves, [`Company`] looks at them again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, TryStreamExt as _, stream};
use sea_orm::ConnectionTrait;
use storage::UserId;

use super::{AccessError, Permission, Permissions, Visitor, actor, audit, is_active};
use crate::auth::{Auth, AuthError, Principal, Role};
use crate::control::repository::grants;
use crate::control::{self, Control};
use crate::error::ApiError;

/// Longest time that pieces leave without a look at the grants.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who can be seen, by what.
#[derive(Debug, Clone)]
pub struct Crowd {
    own: UserId,
    /// The grant of each patient.
    grants: BTreeMap<UserId, String>,
}

impl Crowd {
    /// Oneself, and the patients who let one read their points.
    ///
    /// # Errors
    /// [`control::Error::Database`].
    pub async fn of(control: &Control, visitor: &Visitor) -> control::Result<Self> {
        let own = visitor.principal.user;
        Ok(Self { own, grants: granted(control.read(), &visitor.principal, control.now_us()).await? })
    }

    /// All of them, sorted.
    pub fn users(&self) -> Arc<[UserId]> {
        let mut users: Vec<UserId> = self.grants.keys().copied().chain([self.own]).collect();
        users.sort_unstable();
        users.dedup();
        users.into()
    }
}

/// Lets a visitor read the points of all whom a plan can reach, and writes down in the trail of each but their own that
/// they did, and what they asked.
///
/// # Errors
/// [`AccessError::Denied`] if one of the grants has ended since the plan was made: make it anew.
/// [`AccessError::Control`] if they cannot be checked or written down.
pub async fn admit(
    control: &Control,
    auth: &Auth,
    visitor: &Visitor,
    reached: &[UserId],
    asked: String,
) -> Result<Company, AccessError> {
    let Visitor { principal, address } = visitor;
    let patients: Arc<[UserId]> = reached.iter().copied().filter(|user| *user != principal.user).collect();
    if !patients.is_empty() {
        let write = control.write().await?;
        let now_us = control.now_us();
        let grants = granted(write.on(), principal, now_us).await?;
        let by = |user: &UserId| grants.get(user).map(|grant| (user.to_string(), grant.as_str()));
        let named = patients.iter().map(by).collect::<Option<Vec<_>>>().ok_or(AccessError::Denied)?;
        let named: Vec<(&str, &str)> = named.iter().map(|(user, grant)| (user.as_str(), *grant)).collect();
        audit::append_to_all(write.on(), &named, &actor(principal, *address), ("sql", Some(asked)), now_us).await?;
        write.commit().await?;
    }
    Ok(Company { control: control.clone(), auth: auth.clone(), principal: principal.clone(), patients })
}

/// The patients who let somebody read their points, with the grant of each.
async fn granted(
    on: &impl ConnectionTrait,
    principal: &Principal,
    now_us: i64,
) -> control::Result<BTreeMap<UserId, String>> {
    if principal.role != Role::Doctor {
        return Ok(BTreeMap::new());
    }
    let found = grants::hold_accepted_of(on, principal.user.as_str()).await?;
    let allowed = found.into_iter().filter(|grant| {
        is_active(&grant.status, now_us, grant.expires_at)
            && Permissions::stored(&grant.permissions).allow(Permission::Wearables)
    });
    Ok(allowed.filter_map(|grant| Some((UserId::parse(grant.patient_id.as_deref()?)?, grant.id))).collect())
}

/// The people of a query that was let in.
#[derive(Debug, Clone)]
pub struct Company {
    control: Control,
    auth: Auth,
    principal: Principal,
    /// All but oneself.
    patients: Arc<[UserId]>,
}

/// Why an answer broke off.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Broken {
    /// A grant, or the credential, has ended; or they cannot be looked at.
    #[error("the grants or the credential by which it began have ended")]
    Ended(ApiError),
    /// What gave the pieces.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl From<Broken> for ApiError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Ended(error) => error,
            Broken::Engine(error) => error.into(),
        }
    }
}

impl Company {
    /// Whether all of them may still be read, by the same credential.
    ///
    /// # Errors
    /// [`AccessError::Denied`], [`AccessError::Control`]; 401 for a credential that was ended.
    pub async fn look(&self) -> Result<(), ApiError> {
        if !self.auth.stands(&self.principal).await? {
            return Err(AuthError::Invalid.into());
        }
        if self.patients.is_empty() {
            return Ok(());
        }
        let control = &self.control;
        let grants = granted(control.read(), &self.principal, control.now_us()).await?;
        let is_allowed = self.patients.iter().all(|patient| grants.contains_key(patient));
        if is_allowed { Ok(()) } else { Err(AccessError::Denied.into()) }
    }

    /// The pieces, which break off once one of the grants has ended. Looks before the first.
    pub fn watched<T: Send>(
        self,
        pieces: impl Stream<Item = engine::Result<T>> + Send,
    ) -> impl Stream<Item = Result<T, Broken>> + Send {
        stream::try_unfold((self, Box::pin(pieces), None), async |(company, mut pieces, looked): (Self, _, _)| {
            let Some(piece) = pieces.try_next().await? else { return Ok(None) };
            let now = company.control.clock().elapsed();
            let is_due = looked.is_none_or(|looked: Duration| now.saturating_sub(looked) >= LOOK_EVERY);
            if is_due {
                company.look().await.map_err(Broken::Ended)?;
            }
            Ok(Some((piece, (company, pieces, if is_due { Some(now) } else { looked }))))
        })
    }
}
