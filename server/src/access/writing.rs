//! For whom may this pipeline send points now? Looked at while its stream lasts, and noted.
//!
//! A doctor's grants are read when somebody else is named first, and again every [`LOOK_EVERY`]. The first write for a
//! patient in a stream stands in their trail before the points are stored.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use storage::UserId;

use super::audit::{self, Look};
use super::{AccessError, Permission, Permissions, actor, is_active};
use crate::auth::{Principal, Role};
use crate::control::Control;
use crate::control::repository::grants;

/// Longest time that points are taken without a look at the grants.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Patients in whose trails one transaction writes: others must not wait long for theirs.
const NOTED_AT_ONCE_MAX: usize = 50;

/// Who sends, and for whom they may.
#[derive(Debug)]
pub struct Writing {
    control: Control,
    principal: Principal,
    address: IpAddr,
    granted: HashMap<UserId, String>,
    /// When the grants were read last.
    looked: Option<Duration>,
    /// In whose trails it stands.
    noted: HashSet<UserId>,
}

impl Writing {
    /// Of somebody who may write what is their own.
    pub fn new(control: &Control, principal: Principal, address: IpAddr) -> Self {
        let control = control.clone();
        Self { control, principal, address, granted: HashMap::new(), looked: None, noted: HashSet::new() }
    }

    /// Whose stream it is.
    pub fn sender(&self) -> UserId {
        self.principal.user
    }

    /// Whether points may be stored for somebody, by what the last [`Self::admit`] found.
    pub fn allows(&self, person: &UserId) -> bool {
        *person == self.principal.user || (self.granted.contains_key(person) && self.noted.contains(person))
    }

    /// Finds out for whom of `people` points may be stored now, and notes it in the trails of those.
    ///
    /// # Errors
    /// [`AccessError::Control`] if it cannot be found out, or not be noted.
    pub async fn admit(&mut self, people: &[UserId]) -> Result<(), AccessError> {
        let sender = self.principal.user;
        if self.principal.role != Role::Doctor || people.iter().all(|person| *person == sender) {
            return Ok(());
        }
        let now = self.control.clock().elapsed();
        if self.looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOK_EVERY) {
            self.look().await?;
            self.looked = Some(now);
        }
        let is_new = |person: &&UserId| self.granted.contains_key(*person) && !self.noted.contains(*person);
        let new: Vec<UserId> = people.iter().filter(is_new).copied().collect();
        for some in new.chunks(NOTED_AT_ONCE_MAX) {
            self.note(some).await?;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), AccessError> {
        let now_us = self.control.now_us();
        let found = grants::hold_accepted_of(self.control.read(), self.principal.user.as_str()).await?;
        let allowing = found.into_iter().filter(|grant| {
            is_active(&grant.status, now_us, grant.expires_at)
                && Permissions::stored(&grant.permissions).allow(Permission::WearablesWrite)
        });
        self.granted = allowing.filter_map(|grant| Some((UserId::parse(&grant.patient_id)?, grant.id))).collect();
        Ok(())
    }

    /// Writes into the trails of these patients; of one whose grant ended this moment nothing, and points neither.
    async fn note(&mut self, people: &[UserId]) -> Result<(), AccessError> {
        let write = self.control.write().await?;
        let now_us = self.control.now_us();
        let mut noted = Vec::with_capacity(people.len());
        for person in people {
            let found = grants::between(write.on(), self.principal.user.as_str(), person.as_str()).await?;
            let allowing = found.filter(|grant| {
                is_active(&grant.status, now_us, grant.expires_at)
                    && Permissions::stored(&grant.permissions).allow(Permission::WearablesWrite)
            });
            let Some(grant) = allowing else {
                self.granted.remove(person);
                continue;
            };
            let look = Look { what: "wearables_write", metric: None, range: None };
            let actor = actor(&self.principal, self.address);
            audit::append(write.on(), (person.as_str(), &grant.id), actor, look, now_us).await?;
            noted.push(*person);
        }
        write.commit().await?;
        self.noted.extend(noted);
        Ok(())
    }
}
