//! Where each patient's trail ends, so that a cut one is seen.

use sea_orm::entity::prelude::*;

/// One row of `audit_heads`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_heads")]
pub struct Model {
    /// Whose trail.
    #[sea_orm(primary_key, auto_increment = false)]
    pub patient_id: String,
    /// Of the last record; 0 before the first.
    pub seq: i64,
    /// Of the last record; zeros before the first.
    pub hash: Vec<u8>,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
