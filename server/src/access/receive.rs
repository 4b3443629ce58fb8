//! Who is told of an event: at its cause, and again whenever it is about to be sent, sent again or shown.
//!
//! | event              | who                                                      | as long as                  |
//! |--------------------|----------------------------------------------------------|-----------------------------|
//! | `check_in.created` | doctors whose active grant allows `check_ins`            | such a grant is active      |
//! | `symptom.created`  | doctors whose active grant allows `symptoms`             | such a grant is active      |
//! | `grant.accepted`   | the grant's doctor                                       | that grant is active        |
//! | `grant.revoked`    | the grant's doctor                                       | always                      |
//! | `webhook.test`     | whoever asked for it                                     | always                      |
//!
//! A delivery is no read in the trail's sense: the patient has allowed the doctor to be told. A feed that a doctor asks
//! for is one, and so is an event that they have sent once more: [`Judge::record`] writes both down.

use std::collections::{BTreeSet, HashMap};

use sea_orm::ConnectionTrait;

use super::audit::{self, Look};
use super::{Permission, Permissions, Visitor, is_active};
use crate::control;
use crate::control::entities::grant;
use crate::control::repository::{grants, outbox, webhooks};
use crate::webhooks::Kind;

/// An endpoint that is owed an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// The endpoint.
    pub webhook_id: String,
    /// Whether anything is sent there at the moment.
    pub is_enabled: bool,
}

/// What a grant must allow for an event of this kind to be told.
fn wanted(kind: Kind) -> Option<Permission> {
    match kind {
        Kind::CheckInCreated => Some(Permission::CheckIns),
        Kind::SymptomCreated => Some(Permission::Symptoms),
        Kind::GrantAccepted | Kind::GrantRevoked | Kind::Test => None,
    }
}

fn wants(events: &str, kind: Kind) -> bool {
    events.split(' ').any(|word| word == kind.as_str())
}

/// The endpoints that are owed what a patient has just written. Cost: one statement.
///
/// # Errors
/// [`control::Error::Database`].
pub async fn of_patient(
    on: &impl ConnectionTrait,
    kind: Kind,
    patient_id: &str,
    now_us: i64,
) -> control::Result<Vec<Receiver>> {
    let Some(permission) = wanted(kind) else { return Ok(Vec::new()) };
    let found = outbox::candidates(on, patient_id).await?;
    let allowed = found.into_iter().filter(|one| {
        wants(&one.events, kind)
            && is_active("active", now_us, one.expires_at)
            && Permissions::stored(&one.permissions).allow(permission)
    });
    Ok(allowed.map(|one| Receiver { webhook_id: one.webhook_id, is_enabled: one.disabled_at.is_none() }).collect())
}

/// The endpoints that are owed the move of a grant: its doctor's.
///
/// # Errors
/// [`control::Error::Database`].
pub async fn of_doctor(on: &impl ConnectionTrait, kind: Kind, doctor_id: &str) -> control::Result<Vec<Receiver>> {
    let own = webhooks::of_user(on, doctor_id).await?.into_iter().filter(|one| wants(&one.events, kind));
    Ok(own.map(|one| Receiver { webhook_id: one.id, is_enabled: one.disabled_at.is_none() }).collect())
}

/// Says of events whether their receiver may have them now. Remembers grants as long as it lives: make one for each
/// request, and one for each try.
#[derive(Debug)]
pub struct Judge<'a> {
    doctor_id: &'a str,
    now_us: i64,
    /// The accepted grant between the doctor and each patient.
    grants: HashMap<String, Option<grant::Model>>,
    /// Whose data was let through, and is not written down.
    shown: BTreeSet<String>,
    /// In whose trail it stands.
    recorded: BTreeSet<String>,
}

impl<'a> Judge<'a> {
    /// For what goes to `doctor_id`, at this moment.
    pub fn new(doctor_id: &'a str, now_us: i64) -> Self {
        Self { doctor_id, now_us, grants: HashMap::new(), shown: BTreeSet::new(), recorded: BTreeSet::new() }
    }

    /// Whether the receiver may have an event, by what holds now: `kind` as rows say it, and what the event speaks of.
    /// Cost: one statement for each patient.
    ///
    /// # Errors
    /// [`control::Error::Database`].
    pub async fn may_receive(
        &mut self,
        on: &impl ConnectionTrait,
        kind: &str,
        patient_id: Option<&str>,
        subject_id: &str,
    ) -> control::Result<bool> {
        // What a later version has written is nothing that this one can judge.
        let Some(kind) = Kind::parse(kind) else { return Ok(false) };
        if matches!(kind, Kind::GrantRevoked | Kind::Test) {
            return Ok(true);
        }
        let Some(patient_id) = patient_id else { return Ok(false) };
        if !self.grants.contains_key(patient_id) {
            let found = grants::between(on, self.doctor_id, patient_id).await?;
            let active = found.filter(|grant| is_active(&grant.status, self.now_us, grant.expires_at));
            self.grants.insert(patient_id.to_owned(), active);
        }
        let Some(Some(grant)) = self.grants.get(patient_id) else { return Ok(false) };
        let may = match wanted(kind) {
            Some(permission) => Permissions::stored(&grant.permissions).allow(permission),
            None => grant.id == subject_id,
        };
        if may && wanted(kind).is_some() && !self.recorded.contains(patient_id) {
            self.shown.insert(patient_id.to_owned());
        }
        Ok(may)
    }

    /// Forgets what grants said: they are read again. Who has a record already gets no second one.
    pub fn look_again(&mut self) {
        self.grants.clear();
    }

    /// Writes down, once in the trail of each patient whose data was let through, that `visitor` has read it.
    ///
    /// # Errors
    /// [`control::Error::Database`]; then nothing may be answered.
    pub async fn record(
        &mut self,
        on: &impl ConnectionTrait,
        visitor: &Visitor,
        what: &'static str,
    ) -> control::Result<()> {
        let Visitor { principal, address } = visitor;
        let (means, means_id) = principal.means.recorded();
        for patient_id in std::mem::take(&mut self.shown) {
            let Some(Some(grant)) = self.grants.get(&patient_id) else { continue };
            let actor = audit::Actor { id: self.doctor_id, means, means_id, address: address.to_string() };
            let look = Look { what, metric: None, range: None };
            audit::append(on, (&patient_id, &grant.id), actor, look, self.now_us).await?;
            self.recorded.insert(patient_id);
        }
        Ok(())
    }
}
