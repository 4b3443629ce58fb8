//! Grants, as rows. What a row allows is for `crate::access` alone to say.

use std::collections::HashMap;

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, QueryTrait as _, Select,
};

use super::super::entities::grant::{ActiveModel, Column, Entity, Model};
use super::super::entities::user;
use super::super::error::{Error, Result, at, conflict_at};
use super::{Place, behind};

/// Most grants that one listing holds.
pub const LISTED_MAX: u64 = 10_000;

/// Stores an invitation, unless its doctor waits for `pending_max` answers.
///
/// # Errors
/// [`Error::Conflict`] if the doctor has asked this address already, [`Error::Limit`], [`Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, row: Model, pending_max: u64) -> Result<()> {
    let waiting = Entity::find().filter(Column::DoctorId.eq(&row.doctor_id)).filter(Column::Status.eq("pending"));
    if waiting.count(on).await.map_err(at("count invitations"))? >= pending_max {
        return Err(Error::Limit { what: "invitations without an answer", count_max: pending_max });
    }
    let inserted = Entity::insert(row.into_active_model()).exec_without_returning(on).await;
    inserted.map_err(conflict_at("insert an invitation", "an invitation to this address"))?;
    Ok(())
}

/// How many invitations a doctor has made since a moment, whatever became of them.
///
/// # Errors
/// [`Error::Database`].
pub async fn made_since(on: &impl ConnectionTrait, doctor_id: &str, since_us: i64) -> Result<u64> {
    let made = Entity::find().filter(Column::DoctorId.eq(doctor_id)).filter(Column::CreatedAt.gt(since_us));
    made.count(on).await.map_err(at("count a doctor's invitations"))
}

/// How many invitations an address has got since a moment, from whomever and whatever became of them.
///
/// # Errors
/// [`Error::Database`].
pub async fn addressed_since(on: &impl ConnectionTrait, email: &str, since_us: i64) -> Result<u64> {
    let got = Entity::find().filter(Column::PatientEmail.eq(email)).filter(Column::CreatedAt.gt(since_us));
    got.count(on).await.map_err(at("count an address's invitations"))
}

/// The grant of an id, held against changes until the transaction ends.
///
/// # Errors
/// [`Error::Database`].
pub async fn hold(on: &impl ConnectionTrait, id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(id).lock_exclusive().one(on).await.map_err(at("find a grant"))
}

/// The accepted grant between two people, expired or not, held against changes until the transaction ends.
///
/// # Errors
/// [`Error::Database`].
pub async fn between(on: &impl ConnectionTrait, doctor_id: &str, patient_id: &str) -> Result<Option<Model>> {
    select_between(doctor_id, patient_id).lock_shared().one(on).await.map_err(at("find the grant between two people"))
}

/// The statement of [`between`].
pub(in crate::control) fn select_between(doctor_id: &str, patient_id: &str) -> Select<Entity> {
    Entity::find()
        .filter(Column::DoctorId.eq(doctor_id))
        .filter(Column::PatientId.eq(patient_id))
        .filter(Column::Status.eq("active"))
}

/// What a grant allows, of one that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// `grt_…`
    pub id: String,
    /// Who accepted.
    pub patient_id: String,
    /// Words with a space between.
    pub permissions: String,
    /// `active`, even if it has run out.
    pub status: String,
    /// When it ends by itself.
    pub expires_at: Option<i64>,
}

/// A doctor's grants as one text: none of the columns has a comma or a semicolon in it.
const LISTED: &str = "string_agg(id || ',' || patient_id || ',' || permissions || ',' || status || ',' || \
                      coalesce(CAST(expires_at AS text), ''), ';')";

impl Accepted {
    /// Of a row of [`LISTED`]; `None` for a text that is none, which lets nobody in.
    fn read(row: &str) -> Option<Self> {
        let mut columns = row.split(',');
        let mut column = || columns.next().map(str::to_owned);
        let (id, patient_id, permissions, status, expires_at) = (column()?, column()?, column()?, column()?, column()?);
        let expires_at = if expires_at.is_empty() { None } else { Some(expires_at.parse().ok()?) };
        columns.next().is_none().then_some(Self { id, patient_id, permissions, status, expires_at })
    }
}

/// The grants that a doctor's patients have accepted and that have not been ended, expired or not, held against changes
/// until the transaction ends.
///
/// A doctor can have thousands, and each row of an answer is handed from one thread to another; so the database makes one
/// text of them.
///
/// # Errors
/// [`Error::Database`].
pub async fn hold_accepted_of(on: &impl ConnectionTrait, doctor_id: &str) -> Result<Vec<Accepted>> {
    let columns = [Column::Id, Column::PatientId, Column::Permissions, Column::Status, Column::ExpiresAt];
    let held = Entity::find().filter(Column::DoctorId.eq(doctor_id)).filter(Column::Status.eq("active"));
    let held = held.filter(Column::PatientId.is_not_null()).select_only().columns(columns).lock_shared().into_query();
    let listed = Query::select().expr_as(Expr::cust(LISTED), "listed").from_subquery(held, "held").to_owned();
    let found = on.query_one(&listed).await.and_then(|row| row.map(|row| row.try_get("", "listed")).transpose());
    let listed: Option<String> = found.map_err(at("list a doctor's accepted grants"))?.flatten();
    Ok(listed.as_deref().unwrap_or_default().split(';').filter_map(Accepted::read).collect())
}

/// A doctor's accepted grants behind a patient, expired or not, in the order of patients.
///
/// # Errors
/// [`Error::Database`].
pub async fn active_after(on: &impl ConnectionTrait, doctor_id: &str, after: &str, limit: u64) -> Result<Vec<Model>> {
    let found = select_active_after(doctor_id, after, limit).all(on).await;
    found.map_err(at("walk a doctor's active grants"))
}

/// The statement of [`active_after`].
pub(in crate::control) fn select_active_after(doctor_id: &str, after: &str, limit: u64) -> Select<Entity> {
    let active = Entity::find().filter(Column::DoctorId.eq(doctor_id)).filter(Column::Status.eq("active"));
    active.filter(Column::PatientId.gt(after)).order_by_asc(Column::PatientId).limit(limit)
}

/// A doctor's accepted grants of some patients, expired or not.
///
/// # Errors
/// [`Error::Database`].
pub async fn accepted_among(on: &impl ConnectionTrait, doctor_id: &str, patients: &[&str]) -> Result<Vec<Model>> {
    select_among(doctor_id, patients).all(on).await.map_err(at("find grants of some patients"))
}

/// As [`accepted_among`], held against changes until the transaction ends.
///
/// # Errors
/// [`Error::Database`].
pub async fn hold_accepted_among(on: &impl ConnectionTrait, doctor_id: &str, patients: &[&str]) -> Result<Vec<Model>> {
    let found = select_among(doctor_id, patients).lock_shared().all(on).await;
    found.map_err(at("hold grants of some patients"))
}

/// The statement of [`accepted_among`].
pub(in crate::control) fn select_among(doctor_id: &str, patients: &[&str]) -> Select<Entity> {
    let active = Entity::find().filter(Column::DoctorId.eq(doctor_id)).filter(Column::Status.eq("active"));
    active.filter(Column::PatientId.is_in(patients.iter().copied())).order_by_asc(Column::PatientId)
}

/// The grants that a patient has accepted and that have not ended, held against changes until the transaction ends.
///
/// # Errors
/// [`Error::Database`].
pub async fn hold_accepted(on: &impl ConnectionTrait, patient_id: &str) -> Result<Vec<Model>> {
    let found = Entity::find().filter(Column::PatientId.eq(patient_id)).filter(Column::Status.eq("active"));
    found.order_by_asc(Column::Id).lock_exclusive().all(on).await.map_err(at("find a patient's active grants"))
}

/// What a doctor has asked for and is stored with one of these statuses, newest first, at most [`LISTED_MAX`].
///
/// # Errors
/// [`Error::Database`].
pub async fn outgoing(on: &impl ConnectionTrait, doctor_id: &str, statuses: &[&str]) -> Result<Vec<Model>> {
    select_outgoing(doctor_id, statuses).all(on).await.map_err(at("list a doctor's grants"))
}

/// The statement of [`outgoing`].
pub(in crate::control) fn select_outgoing(doctor_id: &str, statuses: &[&str]) -> Select<Entity> {
    newest_first(Entity::find().filter(Column::DoctorId.eq(doctor_id)), statuses)
}

/// What a patient was asked for and is stored with one of these statuses: accepted by them, or addressed to them. Newest
/// first, at most [`LISTED_MAX`] of each.
///
/// # Errors
/// [`Error::Database`].
pub async fn incoming(
    on: &impl ConnectionTrait,
    patient_id: &str,
    email: &str,
    statuses: &[&str],
) -> Result<Vec<Model>> {
    let mut found = select_accepted(patient_id, statuses).all(on).await.map_err(at("list a patient's grants"))?;
    found.extend(select_addressed(email, statuses).all(on).await.map_err(at("list an address's invitations"))?);
    found.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    Ok(found)
}

/// The first statement of [`incoming`].
pub(in crate::control) fn select_accepted(patient_id: &str, statuses: &[&str]) -> Select<Entity> {
    newest_first(Entity::find().filter(Column::PatientId.eq(patient_id)), statuses)
}

/// The second statement of [`incoming`].
pub(in crate::control) fn select_addressed(email: &str, statuses: &[&str]) -> Select<Entity> {
    let addressed = Entity::find().filter(Column::PatientEmail.eq(email)).filter(Column::PatientId.is_null());
    newest_first(addressed, statuses)
}

fn newest_first(select: Select<Entity>, statuses: &[&str]) -> Select<Entity> {
    let select = select.filter(Column::Status.is_in(statuses.iter().copied()));
    select.order_by_desc(Column::CreatedAt).order_by_desc(Column::Id).limit(LISTED_MAX)
}

/// What a doctor has asked for behind a place, whatever became of it, the oldest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn outgoing_after(
    on: &impl ConnectionTrait,
    doctor_id: &str,
    place: &Place,
    limit: u64,
) -> Result<Vec<Model>> {
    let select = select_outgoing_after(doctor_id, place, limit);
    select.all(on).await.map_err(at("walk a doctor's grants"))
}

/// The statement of [`outgoing_after`].
pub(in crate::control) fn select_outgoing_after(doctor_id: &str, place: &Place, limit: u64) -> Select<Entity> {
    let own = Entity::find().filter(Column::DoctorId.eq(doctor_id));
    behind(own, place, (Column::CreatedAt, Column::Id)).limit(limit)
}

/// What a patient was asked for behind a place, whatever became of it, the oldest first: one list, so that a grant which
/// is accepted meanwhile is in it once.
///
/// # Errors
/// [`Error::Database`].
pub async fn incoming_after(
    on: &impl ConnectionTrait,
    patient: &user::Model,
    place: &Place,
    limit: u64,
) -> Result<Vec<Model>> {
    let select = select_incoming_after(patient, place, limit);
    select.all(on).await.map_err(at("walk a patient's grants"))
}

/// The statement of [`incoming_after`].
pub(in crate::control) fn select_incoming_after(patient: &user::Model, place: &Place, limit: u64) -> Select<Entity> {
    let addressed = Condition::all().add(Column::PatientEmail.eq(&patient.email)).add(Column::PatientId.is_null());
    let own = Entity::find().filter(Condition::any().add(Column::PatientId.eq(&patient.id)).add(addressed));
    behind(own, place, (Column::CreatedAt, Column::Id)).limit(limit)
}

/// Writes what an answer or an end changes of a grant.
///
/// # Errors
/// [`Error::Conflict`] if another grant between the two became active at this moment, [`Error::Database`].
pub async fn update(on: &impl ConnectionTrait, grant: &Model) -> Result<()> {
    let row = ActiveModel {
        patient_id: Set(grant.patient_id.clone()),
        permissions: Set(grant.permissions.clone()),
        status: Set(grant.status.clone()),
        accepted_at: Set(grant.accepted_at),
        ended_at: Set(grant.ended_at),
        ..Default::default()
    };
    let updated = Entity::update_many().set(row).filter(Column::Id.eq(&grant.id)).exec(on).await;
    updated.map(|_| ()).map_err(conflict_at("update a grant", "the place of the active grant"))
}

/// Writes down that a doctor's grants have run out, those whose time is over.
///
/// # Errors
/// [`Error::Database`].
pub async fn expire(on: &impl ConnectionTrait, doctor_id: &str, now_us: i64) -> Result<()> {
    let is_living = Condition::any().add(Column::Status.eq("pending")).add(Column::Status.eq("active"));
    let updated = Entity::update_many()
        .col_expr(Column::Status, Expr::value("expired"))
        .col_expr(Column::EndedAt, Expr::value(now_us))
        .filter(Column::DoctorId.eq(doctor_id))
        .filter(is_living)
        .filter(Column::ExpiresAt.lte(now_us))
        .exec(on)
        .await;
    updated.map(|_| ()).map_err(at("expire grants"))
}

/// People by their ids.
///
/// # Errors
/// [`Error::Database`].
pub async fn people(on: &impl ConnectionTrait, ids: Vec<String>) -> Result<HashMap<String, user::Model>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found = user::Entity::find().filter(user::Column::Id.is_in(ids)).all(on).await;
    Ok(found.map_err(at("find people"))?.into_iter().map(|person| (person.id.clone(), person)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_a_list_is_a_grant_and_a_text_that_is_none_lets_nobody_in() {
        let grant = Accepted::read("grt_1,usr_a,check_ins wearables,active,1780000000000000").unwrap();
        assert_eq!((grant.id.as_str(), grant.patient_id.as_str()), ("grt_1", "usr_a"));
        assert_eq!((grant.permissions.as_str(), grant.status.as_str()), ("check_ins wearables", "active"));
        assert_eq!(grant.expires_at, Some(1_780_000_000_000_000));
        assert_eq!(Accepted::read("grt_1,usr_a,wearables,active,").unwrap().expires_at, None);
        for text in ["", "grt_1,usr_a,wearables,active", "grt_1,usr_a,wearables,active,soon", "a,b,c,d,1,2"] {
            assert_eq!(Accepted::read(text), None, "{text}");
        }
    }
}
