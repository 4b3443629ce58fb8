//! The key of the ids that FHIR shows.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, EntityTrait, IntoActiveModel};

use super::super::entities::fhir_key::{Column, Entity, Model};
use super::super::error::{Result, at};

/// The one row there is.
const ROW: i32 = 1;

/// The key, if it was made.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn find(on: &impl ConnectionTrait) -> Result<Option<Vec<u8>>> {
    let row = Entity::find_by_id(ROW).one(on).await.map_err(at("read the key of FHIR's ids"))?;
    Ok(row.map(|row| row.key))
}

/// Stores a key unless there is one; the one that is there then.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, key: Vec<u8>) -> Result<Vec<u8>> {
    let row = Model { id: ROW, key: key.clone() };
    let insert =
        Entity::insert(row.into_active_model()).on_conflict(OnConflict::column(Column::Id).do_nothing().to_owned());
    insert.exec_without_returning(on).await.map_err(at("store the key of FHIR's ids"))?;
    Ok(find(on).await?.unwrap_or(key))
}
