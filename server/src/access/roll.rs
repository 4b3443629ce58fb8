//! The patients of a doctor: who they are, some of them at a time.
//!
//! ```text
//! list, among: places and a number, out of the grants that the doctor sees anyway (`/grants/outgoing`): no record
//! admit: one transaction ─▶ the grants again, held ─▶ a record in each one's trail ─▶ who they are
//! ```

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::ConnectionTrait;

use super::{AccessError, Permission, Permissions, Visitor, actor, audit, is_active};
use crate::auth::{Principal, Role};
use crate::control::entities::{grant, user};
use crate::control::repository::grants;
use crate::control::{self, Control};

/// Grants that one statement reads.
const PAGE_ROWS: u64 = 500;

/// Some of a doctor's patients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<P> {
    /// The places of the first ones behind a place, in their order.
    pub places: Vec<P>,
    /// How many there are, whatever place it is.
    pub count: usize,
}

/// The patient, if a grant lets its doctor know who they are.
fn known(grant: &grant::Model, now_us: i64) -> Option<&str> {
    let may = is_active(&grant.status, now_us, grant.expires_at)
        && Permissions::stored(&grant.permissions).allow(Permission::Wearables);
    grant.patient_id.as_deref().filter(|_| may)
}

/// The first `limit` behind a place of those who let the visitor know who they are and whom `place_of` gives a place, one
/// that nobody else has; and how many of them there are. Cost: all accepted grants of the doctor are walked once; memory
/// for one page of them and `limit` places.
///
/// # Errors
/// [`control::Error::Database`].
pub async fn list<P: Ord>(
    control: &Control,
    visitor: &Visitor,
    place_of: impl Fn(&user::Model) -> Option<P>,
    after: Option<&P>,
    limit: usize,
) -> control::Result<Listed<P>> {
    let (mut first, mut count) = (BTreeSet::new(), 0);
    walk(control.read(), &visitor.principal, control.now_us(), |person| {
        let Some(place) = place_of(&person) else { return };
        count += 1;
        if after.is_none_or(|after| place > *after) {
            first.insert(place);
            if first.len() > limit {
                first.pop_last();
            }
        }
    })
    .await?;
    Ok(Listed { places: first.into_iter().collect(), count })
}

/// Shows everybody who lets a doctor know who they are.
async fn walk(
    on: &impl ConnectionTrait,
    principal: &Principal,
    now_us: i64,
    mut show: impl FnMut(user::Model),
) -> control::Result<()> {
    if principal.role != Role::Doctor {
        return Ok(());
    }
    let mut after = String::new();
    loop {
        let page = grants::active_after(on, principal.user.as_str(), &after, PAGE_ROWS).await?;
        let Some(last) = page.last().and_then(|grant| grant.patient_id.clone()) else { return Ok(()) };
        after = last;
        let ids: Vec<String> = page.iter().filter_map(|grant| known(grant, now_us)).map(str::to_owned).collect();
        let mut people = grants::people(on, ids.clone()).await?;
        ids.iter().filter_map(|id| people.remove(id)).for_each(&mut show);
    }
}

/// Those of some people who let the visitor know who they are.
///
/// # Errors
/// [`control::Error::Database`].
pub async fn among(control: &Control, visitor: &Visitor, ids: &[&str]) -> control::Result<Vec<user::Model>> {
    if visitor.principal.role != Role::Doctor {
        return Ok(Vec::new());
    }
    let (on, now_us) = (control.read(), control.now_us());
    let found = grants::accepted_among(on, visitor.principal.user.as_str(), ids).await?;
    let ids = found.iter().filter_map(|grant| known(grant, now_us)).map(str::to_owned).collect();
    Ok(grants::people(on, ids).await?.into_values().collect())
}

/// Lets a visitor know who some people are, and writes down in the trail of each that they did. Those whose grants have
/// ended are left out. Cost: one transaction of a few statements.
///
/// # Errors
/// [`AccessError::Control`] if it cannot be checked or written down.
pub async fn admit(
    control: &Control,
    visitor: &Visitor,
    ids: &[&str],
    what: &'static str,
) -> Result<BTreeMap<String, user::Model>, AccessError> {
    let Visitor { principal, address } = visitor;
    if ids.is_empty() || principal.role != Role::Doctor {
        return Ok(BTreeMap::new());
    }
    let write = control.write().await?;
    let now_us = control.now_us();
    let held = grants::hold_accepted_among(write.on(), principal.user.as_str(), ids).await?;
    let grants: BTreeMap<&str, &str> =
        held.iter().filter_map(|grant| Some((known(grant, now_us)?, grant.id.as_str()))).collect();
    let ids = grants.keys().map(|id| (*id).to_owned()).collect();
    let people: BTreeMap<String, user::Model> = grants::people(write.on(), ids).await?.into_iter().collect();
    let named: Vec<(&str, &str)> =
        grants.iter().filter(|(id, _)| people.contains_key(**id)).map(|(id, grant)| (*id, *grant)).collect();
    if !named.is_empty() {
        audit::append_to_all(write.on(), &named, &actor(principal, *address), (what, None), now_us).await?;
    }
    write.commit().await?;
    Ok(people)
}
