//! What people suffer from, from when to when.

use sea_orm::entity::prelude::*;

/// One row of `symptoms`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symptoms")]
pub struct Model {
    /// `sym_` and sixteen base62 characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// What they call it.
    pub name: String,
    /// `mild`, `moderate`, `severe` or `critical`.
    pub severity: String,
    /// When it began.
    pub onset_at: i64,
    /// When it was over, if it is.
    pub resolved_at: Option<i64>,
    /// In their own words.
    pub notes: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
