//! The patients of a doctor: who they are, some of them at a time.
//!
//! ```text
//! list, among: ids and a number, out of the grants that the doctor sees anyway (`/grants/outgoing`): no record
//! admit: one transaction ─▶ the grants again, held ─▶ a record in each one's trail ─▶ who they are
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sea_orm::ConnectionTrait;

use super::{AccessError, Permission, Permissions, Visitor, actor, audit, is_active};
use crate::auth::{Principal, Role};
use crate::control::entities::{grant, user};
use crate::control::repository::grants;
use crate::control::{self, Control};

/// Grants that one statement reads.
const PAGE_ROWS: u64 = 500;

/// Some of a doctor's patients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// Ids of those behind a place, in the database's order.
    pub ids: Vec<String>,
    /// How many there are, whatever place it is.
    pub count: usize,
}

/// The patient, if a grant lets its doctor know who they are.
fn known(grant: &grant::Model, now_us: i64) -> Option<&str> {
    let may = is_active(&grant.status, now_us, grant.expires_at)
        && Permissions::stored(&grant.permissions).allow(Permission::Wearables);
    grant.patient_id.as_deref().filter(|_| may)
}

/// At most `limit` of those who let the visitor know who they are and whom `is_wanted` takes, behind a place; and how many
/// of them there are. Cost: all accepted grants of the doctor are walked once, behind a place twice; memory for one page
/// of them and `limit` ids.
///
/// # Errors
/// [`control::Error::Database`].
pub async fn list(
    control: &Control,
    visitor: &Visitor,
    is_wanted: impl Fn(&user::Model) -> bool,
    after: Option<&str>,
    limit: usize,
) -> control::Result<Listed> {
    let (principal, now_us) = (&visitor.principal, control.now_us());
    let mut listed = Listed::default();
    let Listed { ids, count } = &mut listed;
    walk(control.read(), principal, after.unwrap_or_default(), now_us, |person| {
        if is_wanted(&person) {
            *count += 1;
            if ids.len() < limit {
                ids.push(person.id);
            }
        }
        // Where not all are counted anyway, enough is enough.
        if after.is_some() && ids.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .await?;
    if after.is_some() {
        *count = 0;
        walk(control.read(), principal, "", now_us, |person| {
            *count += usize::from(is_wanted(&person));
            ControlFlow::Continue(())
        })
        .await?;
    }
    Ok(listed)
}

/// Shows everybody behind a place who lets a doctor know who they are.
async fn walk(
    on: &impl ConnectionTrait,
    principal: &Principal,
    after: &str,
    now_us: i64,
    mut show: impl FnMut(user::Model) -> ControlFlow<()>,
) -> control::Result<()> {
    if principal.role != Role::Doctor {
        return Ok(());
    }
    let mut after = after.to_owned();
    loop {
        let page = grants::active_after(on, principal.user.as_str(), &after, PAGE_ROWS).await?;
        let Some(last) = page.last().and_then(|grant| grant.patient_id.clone()) else { return Ok(()) };
        after = last;
        let ids: Vec<String> = page.iter().filter_map(|grant| known(grant, now_us)).map(str::to_owned).collect();
        let mut people = grants::people(on, ids.clone()).await?;
        for person in ids.iter().filter_map(|id| people.remove(id)) {
            if show(person).is_break() {
                return Ok(());
            }
        }
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
