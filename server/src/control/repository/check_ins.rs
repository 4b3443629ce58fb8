//! Check-ins.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

pub use super::super::entities::check_in::Column;
use super::super::entities::check_in::{Entity, Model};
use super::super::error::{Result, at};
use super::{Place, behind};

/// Most check-ins that one listing holds: ten a day for five years.
pub const LISTED_MAX: u64 = 20_000;

/// Stores a check-in.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, row: Model) -> Result<()> {
    Entity::insert(row.into_active_model()).exec_without_returning(on).await.map_err(at("insert a check-in"))?;
    Ok(())
}

/// The check-ins of a person from a moment on, newest first, at most [`LISTED_MAX`].
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn of_user(on: &impl ConnectionTrait, user_id: &str, since_us: i64) -> Result<Vec<Model>> {
    select(user_id, since_us).all(on).await.map_err(at("list check-ins"))
}

/// The statement of [`of_user`].
pub(in crate::control) fn select(user_id: &str, since_us: i64) -> Select<Entity> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::CheckedInAt.gte(since_us))
        .order_by_desc(Column::CheckedInAt)
        .order_by_desc(Column::Id)
        .limit(LISTED_MAX)
}

/// A person's check-ins that were made behind a moment and id, in the order in which they were made.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn after(on: &impl ConnectionTrait, user_id: &str, place: &Place, limit: u64) -> Result<Vec<Model>> {
    select_after(user_id, place, limit).all(on).await.map_err(at("walk check-ins"))
}

/// The statement of [`after`].
pub(in crate::control) fn select_after(user_id: &str, place: &Place, limit: u64) -> Select<Entity> {
    let own = Entity::find().filter(Column::UserId.eq(user_id));
    behind(own, place, (Column::CreatedAt, Column::Id)).limit(limit)
}

/// What of a person's check-ins somebody wants to see, by the moments that they speak of.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Spoken of in any of these ranges `[start, end)`, microseconds, sorted.
    pub spoken_of: Vec<(i64, i64)>,
    /// Those of which any of these holds.
    pub any_of: Vec<Values>,
}

/// Some values of check-ins, by when they were said.
#[derive(Debug, Clone)]
pub struct Values {
    /// Spoken of in this range `[start, end)`, microseconds.
    pub within: (i64, i64),
    /// Last changed in any of these.
    pub changed: Vec<(i64, i64)>,
    /// Only those that were changed since they were made, or only those that were not.
    pub is_amended: Option<bool>,
    /// Only those in which one of these columns says something; all if there are none.
    pub says: Vec<Column>,
}

/// Any time.
const ALWAYS: (i64, i64) = (i64::MIN, i64::MAX);

impl Values {
    /// Every value there is.
    pub fn all() -> Self {
        Self { within: ALWAYS, changed: vec![ALWAYS], is_amended: None, says: Vec::new() }
    }

    /// `None` where nothing can be so: a condition of no ranges would hold of everything.
    fn condition(&self) -> Option<Condition> {
        let (start, end) = self.within;
        if start >= end || self.changed.is_empty() {
            return None;
        }
        let mut all = Condition::all();
        if self.within != ALWAYS {
            all = all.add(inside(Column::CheckedInAt, &self.within));
        }
        if self.changed != [ALWAYS] {
            all = all.add(any_of(Column::UpdatedAt, &self.changed));
        }
        if let Some(is_amended) = self.is_amended {
            let (updated, created) = (Expr::col((Entity, Column::UpdatedAt)), Expr::col((Entity, Column::CreatedAt)));
            all = all.add(if is_amended { ExprTrait::ne(updated, created) } else { ExprTrait::eq(updated, created) });
        }
        let says = self.says.iter().map(ColumnTrait::is_not_null);
        Some(if self.says.is_empty() { all } else { all.add(says.fold(Condition::any(), Condition::add)) })
    }
}

fn inside(column: Column, (start, end): &(i64, i64)) -> Condition {
    Condition::all().add(column.gte(*start)).add(column.lt(*end))
}

fn any_of(column: Column, ranges: &[(i64, i64)]) -> Condition {
    ranges.iter().map(|range| inside(column, range)).fold(Condition::any(), Condition::add)
}

impl Wanted {
    fn select(&self, user_id: &str) -> Select<Entity> {
        let conditions: Vec<Condition> = self.any_of.iter().filter_map(Values::condition).collect();
        let mut select = Entity::find().filter(Column::UserId.eq(user_id));
        let (first, last) = (self.spoken_of.first(), self.spoken_of.last());
        let (Some((start, _)), Some((_, end)), false) = (first, last, conditions.is_empty()) else {
            // Ranges of no time hold nothing: a condition of no ranges would hold everything.
            return select.filter(Column::Id.is_null());
        };
        // The first two follow from the third. They say which part of an index to walk.
        select = select.filter(Column::CheckedInAt.gte(*start)).filter(Column::CheckedInAt.lt(*end));
        select = select.filter(any_of(Column::CheckedInAt, &self.spoken_of));
        // A condition that says nothing holds of all, and then all of them do.
        let is_all = conditions.iter().any(Condition::is_empty);
        let any = conditions.into_iter().fold(Condition::any(), Condition::add);
        if is_all { select } else { select.filter(any) }
    }
}

/// A person's check-ins by the moments that they speak of, from a moment and id on (without an id from the whole moment
/// on), that one included; `is_descending` is whether the latest come first.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn spoken_of(
    on: &impl ConnectionTrait,
    user_id: &str,
    wanted: &Wanted,
    from: Option<(i64, Option<&str>)>,
    is_descending: bool,
    limit: u64,
) -> Result<Vec<Model>> {
    let select = select_spoken_of(user_id, wanted, from, is_descending, limit);
    select.all(on).await.map_err(at("list check-ins in a range"))
}

/// The statement of [`spoken_of`].
pub(in crate::control) fn select_spoken_of(
    user_id: &str,
    wanted: &Wanted,
    from: Option<(i64, Option<&str>)>,
    is_descending: bool,
    limit: u64,
) -> Select<Entity> {
    let mut select = wanted.select(user_id);
    if let Some((at_us, id)) = from {
        // The first condition follows from the second. It says where in an index to begin.
        let at = Column::CheckedInAt;
        select = select.filter(if is_descending { at.lte(at_us) } else { at.gte(at_us) });
        if let Some(id) = id {
            let beyond = if is_descending { at.lt(at_us) } else { at.gt(at_us) };
            let same = if is_descending { Column::Id.lte(id) } else { Column::Id.gte(id) };
            select = select.filter(Condition::any().add(beyond).add(same));
        }
    }
    let select = if is_descending {
        select.order_by_desc(Column::CheckedInAt).order_by_desc(Column::Id)
    } else {
        select.order_by_asc(Column::CheckedInAt).order_by_asc(Column::Id)
    };
    select.limit(limit)
}

/// How many of a person's check-ins are wanted, and how many of these say something of each column.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn count(on: &impl ConnectionTrait, user_id: &str, wanted: &Wanted) -> Result<(i64, i64, i64)> {
    let counted = wanted
        .select(user_id)
        .select_only()
        .column_as(Column::Id.count(), "rows")
        .column_as(Column::SleepHours.count(), "sleeps")
        .column_as(Column::Steps.count(), "steps")
        .into_tuple()
        .one(on)
        .await;
    Ok(counted.map_err(at("count check-ins"))?.unwrap_or_default())
}

/// A person's check-in of an id.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn by_id(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(id).filter(Column::UserId.eq(user_id)).one(on).await.map_err(at("find a check-in"))
}

/// As [`by_id`], held against changes until the transaction ends.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn hold(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<Option<Model>> {
    let found = Entity::find_by_id(id).filter(Column::UserId.eq(user_id)).lock_exclusive().one(on).await;
    found.map_err(at("find a check-in"))
}

/// Writes a check-in that is there, whole.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn update(on: &impl ConnectionTrait, row: Model) -> Result<()> {
    let id = row.id.clone();
    let updated =
        Entity::update_many().set(row.into_active_model().reset_all()).filter(Column::Id.eq(id)).exec(on).await;
    updated.map(|_| ()).map_err(at("update a check-in"))
}

/// Deletes a person's check-in; whether there was one.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn delete(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<bool> {
    let deleted = Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::UserId.eq(user_id)).exec(on).await;
    Ok(deleted.map_err(at("delete a check-in"))?.rows_affected > 0)
}
