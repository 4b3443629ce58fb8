//! A night of sleep that was told: what of it is stored, and what it takes the place of.

use sea_orm::entity::prelude::*;

/// One row of `nights`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "nights")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// By whom it comes: `apple_health` or `garmin`. Nights of two senders stand side by side.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sender: String,
    /// Where its points are.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ended_at: i64,
    /// When the sleep began.
    #[sea_orm(primary_key, auto_increment = false)]
    pub began_at: i64,
    /// Who measured.
    #[sea_orm(primary_key, auto_increment = false)]
    pub source: String,
    /// With what; empty where it is not known.
    #[sea_orm(primary_key, auto_increment = false)]
    pub device: String,
    /// When it was told.
    #[sea_orm(primary_key, auto_increment = false)]
    pub told_at: i64,
    /// A lower one counts before a higher one, whenever they were told.
    pub rank: i32,
    /// `sleep_duration`.
    pub asleep_h: f64,
    /// `sleep_deep`, where it is known.
    pub deep_h: Option<f64>,
    /// `sleep_rem`, where it is known.
    pub rem_h: Option<f64>,
    /// `hrv` of the whole night, where it is known.
    pub hrv_ms: Option<f64>,
    /// 1 if its points are stored, or may be; 0 if another night has their place.
    pub is_stored: i32,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
