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
//!
//! A doctor's thousand grants and records are tens of milliseconds of work, which is done on the threads of SQL: requests
//! that wait for nothing but a core go first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use futures::{Stream, TryStreamExt as _, stream};
use sea_orm::ConnectionTrait;
use storage::UserId;

use super::{AccessError, Permission, Permissions, Visitor, actor, audit, is_active};
use crate::auth::{Auth, AuthError, Principal, Role};
use crate::control::repository::grants;
use crate::control::{self, Control};
use crate::error::ApiError;
use crate::state::AppState;

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
    /// [`AccessError::Control`].
    pub async fn of(backing: &Backing, visitor: &Visitor) -> Result<Self, AccessError> {
        let (control, principal) = (backing.control.clone(), visitor.principal.clone());
        let grants = async move { granted(control.read(), &principal, control.now_us()).await };
        Ok(Self { own: visitor.principal.user, grants: backing.aside(&visitor.principal, grants).await?? })
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
    backing: Backing,
    visitor: &Visitor,
    reached: &[UserId],
    asked: String,
) -> Result<Company, AccessError> {
    let principal = visitor.principal.clone();
    let patients: Arc<[UserId]> = reached.iter().copied().filter(|user| *user != principal.user).collect();
    if !patients.is_empty() {
        let (control, visitor, patients) = (backing.control.clone(), visitor.clone(), Arc::clone(&patients));
        let written = Box::pin(async move { write_down(&control, &visitor, &patients, asked).await });
        backing.aside(&principal, written).await??;
    }
    Ok(Company { backing, principal, patients })
}

async fn write_down(
    control: &Control,
    Visitor { principal, address }: &Visitor,
    patients: &[UserId],
    asked: String,
) -> Result<(), AccessError> {
    let write = control.write().await?;
    let now_us = control.now_us();
    let grants = granted(write.on(), principal, now_us).await?;
    let by = |user: &UserId| grants.get(user).map(|grant| (user.to_string(), grant.as_str()));
    let named = patients.iter().map(by).collect::<Option<Vec<_>>>().ok_or(AccessError::Denied)?;
    let named: Vec<(&str, &str)> = named.iter().map(|(user, grant)| (user.as_str(), *grant)).collect();
    audit::append_to_all(write.on(), &named, &actor(principal, *address), ("sql", Some(asked)), now_us).await?;
    write.commit().await?;
    Ok(())
}

/// What grants are looked up with, and where.
#[derive(Debug, Clone)]
pub struct Backing {
    control: Control,
    auth: Auth,
    engine: Arc<Engine>,
}

impl Backing {
    /// The server's.
    pub fn of(state: &AppState) -> Self {
        Self { control: state.control.clone(), auth: state.auth.clone(), engine: Arc::clone(&state.engine) }
    }

    /// Does work on the threads of SQL where it can be much: whoever is no doctor has no grants to look through.
    async fn aside<T: Send + 'static>(
        &self,
        principal: &Principal,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, AccessError> {
        if principal.role != Role::Doctor {
            return Ok(work.await);
        }
        Ok(self.engine.beside(work).await?)
    }
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
    Ok(allowed.filter_map(|grant| Some((UserId::parse(&grant.patient_id)?, grant.id))).collect())
}

/// The people of a query that was let in.
#[derive(Debug, Clone)]
pub struct Company {
    backing: Backing,
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
        if !self.backing.auth.stands(&self.principal).await? {
            return Err(AuthError::Invalid.into());
        }
        if self.patients.is_empty() {
            return Ok(());
        }
        let (control, principal) = (self.backing.control.clone(), self.principal.clone());
        let grants = async move { granted(control.read(), &principal, control.now_us()).await };
        let grants = self.backing.aside(&self.principal, grants).await?.map_err(AccessError::from)?;
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
            let now = company.backing.control.clock().elapsed();
            let is_due = looked.is_none_or(|looked: Duration| now.saturating_sub(looked) >= LOOK_EVERY);
            if is_due {
                company.look().await.map_err(Broken::Ended)?;
            }
            Ok(Some((piece, (company, pieces, if is_due { Some(now) } else { looked }))))
        })
    }
}
