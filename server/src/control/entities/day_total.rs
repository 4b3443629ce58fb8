//! The total of a local day, as it was stored.

use sea_orm::entity::prelude::*;

/// One row of `day_totals`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "day_totals")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// The total's source.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sender: String,
    /// `steps` or `calories`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub daily: String,
    /// The local day, since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: i64,
    /// Where the point is.
    pub start: i64,
    /// Its value.
    pub value: f64,
    /// `maker` if the maker said so, which counts before what pieces add up to; else `pieces`.
    pub origin: String,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
