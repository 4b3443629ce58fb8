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
use crate::control::repository::grants;
use crate::control::repository::notices::Audience;
use crate::webhooks::Kind;

/// Endpoints of everybody whom the patient `$7` has let in, at the moment of the event, for `$8` among other things. The
/// same as [`Judge::may_receive`] says in Rust, and a test holds them to one another.
const OF_PATIENT: &str = "grants g JOIN webhooks w ON w.user_id = g.doctor_id
WHERE g.patient_id = $7 AND g.status = 'active' AND (g.expires_at IS NULL OR g.expires_at > $6)
  AND $find(' ' || g.permissions || ' ', ' ' || $8 || ' ') > 0 AND $find(' ' || w.events || ' ', ' ' || $2 || ' ') > 0";

/// Endpoints of the doctor `$7`.
const OF_DOCTOR: &str = "webhooks w WHERE w.user_id = $7 AND $find(' ' || w.events || ' ', ' ' || $2 || ' ') > 0";

/// What a grant must allow for an event of this kind to be told.
fn wanted(kind: Kind) -> Option<Permission> {
    match kind {
        Kind::CheckInCreated => Some(Permission::CheckIns),
        Kind::SymptomCreated => Some(Permission::Symptoms),
        Kind::GrantAccepted | Kind::GrantRevoked | Kind::Test => None,
    }
}

/// Whom an event is for: what a patient has just written. Nobody where the kind is none of that.
pub fn of_patient(kind: Kind, patient_id: &str) -> Option<Audience> {
    let permission = wanted(kind)?;
    Some(Audience { from: OF_PATIENT, values: vec![patient_id.into(), permission.as_str().into()] })
}

/// Whom the move of a grant is told: its doctor.
pub fn of_doctor(doctor_id: &str) -> Audience {
    Audience { from: OF_DOCTOR, values: vec![doctor_id.into()] }
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
