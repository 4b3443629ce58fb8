//! Whose data an export of a doctor may hold: those who let the doctor in, as their grants say at each step.
//!
//! An export is made before anybody reads it, so making it is no read and leaves no record; every file of it is answered
//! behind [`super::admit`] alone, which looks at the grant again and writes down that it was read. What a grant does not
//! allow at the moment is neither made nor listed.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::{Permission, Permissions, is_active};
use crate::control;
use crate::control::entities::grant;
use crate::control::repository::grants;

/// Grants that one statement reads.
const PAGE_ROWS: u64 = 500;

/// A patient who lets a doctor read observations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Who.
    pub patient_id: String,
    /// Whether their points may be read.
    pub may_points: bool,
    /// Whether their check-ins may be read.
    pub may_check_ins: bool,
    /// Since when.
    pub accepted_at: i64,
}

/// What a grant allows now; `None` if that is no observation.
fn granted(grant: &grant::Model, now_us: i64) -> Option<Granted> {
    let patient_id = grant.patient_id.clone()?;
    if !is_active(&grant.status, now_us, grant.expires_at) {
        return None;
    }
    let permissions = Permissions::stored(&grant.permissions);
    let (may_points, may_check_ins) =
        (permissions.allow(Permission::Wearables), permissions.allow(Permission::CheckIns));
    let accepted_at = grant.accepted_at.unwrap_or(grant.created_at);
    (may_points || may_check_ins).then_some(Granted { patient_id, may_points, may_check_ins, accepted_at })
}

/// The first patient behind `after`, in the order of ids, who lets the doctor in.
///
/// # Errors
/// [`control::Error::Database`].
pub async fn next(
    on: &impl ConnectionTrait,
    doctor_id: &str,
    after: &str,
    now_us: i64,
) -> control::Result<Option<Granted>> {
    let mut after = after.to_owned();
    loop {
        let page = grants::active_after(on, doctor_id, &after, PAGE_ROWS).await?;
        if let Some(found) = page.iter().find_map(|grant| granted(grant, now_us)) {
            return Ok(Some(found));
        }
        match page.last().and_then(|grant| grant.patient_id.clone()) {
            Some(last) => after = last,
            None => return Ok(None),
        }
    }
}

/// What one patient allows the doctor now; the grant is held until the transaction ends.
///
/// # Errors
/// [`control::Error::Database`].
pub async fn of(
    on: &impl ConnectionTrait,
    doctor_id: &str,
    patient_id: &str,
    now_us: i64,
) -> control::Result<Option<Granted>> {
    let found = grants::between(on, doctor_id, patient_id).await?;
    Ok(found.and_then(|grant| granted(&grant, now_us)))
}

/// Everybody who lets the doctor in, by id.
///
/// # Errors
/// [`control::Error::Database`].
pub async fn all(on: &impl ConnectionTrait, doctor_id: &str, now_us: i64) -> control::Result<HashMap<String, Granted>> {
    let (mut all, mut after) = (HashMap::new(), String::new());
    loop {
        let page = grants::active_after(on, doctor_id, &after, PAGE_ROWS).await?;
        let Some(last) = page.last().and_then(|grant| grant.patient_id.clone()) else { return Ok(all) };
        after = last;
        let those = page.iter().filter_map(|grant| granted(grant, now_us));
        all.extend(those.map(|granted| (granted.patient_id.clone(), granted)));
    }
}
