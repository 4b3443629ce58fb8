//! What people say of their day.

use sea_orm::entity::prelude::*;

/// One row of `check_ins`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "check_ins")]
pub struct Model {
    /// `ci_` and sixteen base62 characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// 1 to 5.
    pub mood: i32,
    /// 1 to 5.
    pub energy: i32,
    /// 1 to 5.
    pub focus: i32,
    /// As the person remembers it.
    pub sleep_hours: Option<f64>,
    /// As the person read it off.
    pub steps: Option<i32>,
    /// In their own words.
    pub note: Option<String>,
    /// The moment it speaks of.
    pub checked_in_at: i64,
    /// `mobile`, `web` or `api`.
    pub source: String,
    /// When it was made.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
