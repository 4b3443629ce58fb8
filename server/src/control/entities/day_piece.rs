//! The pieces of a day by one maker: what the total of the day is made of.

use sea_orm::entity::prelude::*;

/// One row of `day_pieces`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "day_pieces")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// The source of the total: `apple_health` or `garmin`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sender: String,
    /// `steps` or `calories`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub daily: String,
    /// The day of UTC on which the pieces begin, since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: i64,
    /// Who counted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source: String,
    /// With what; empty where it is not known.
    #[sea_orm(primary_key, auto_increment = false)]
    pub device: String,
    /// The pieces, packed.
    pub pieces: Vec<u8>,
    /// 1 once the totals hold what the pieces say.
    pub is_settled: i32,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
