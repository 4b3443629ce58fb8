//! Who lets whom see what: from the invitation to its end.

use sea_orm::entity::prelude::*;

/// One row of `grants`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "grants")]
pub struct Model {
    /// `grt_` and sixteen base62 characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Who asked.
    pub doctor_id: String,
    /// Who was asked; trimmed and lower-case. It may have no account.
    pub patient_email: String,
    /// Who accepted; none until then.
    pub patient_id: Option<String>,
    /// Words with a space between.
    pub permissions: String,
    /// From doctor to patient.
    pub message: Option<String>,
    /// `pending`, `active`, `declined`, `revoked` or `expired`. One that has run out may still say what it was before.
    pub status: String,
    /// When it was asked for.
    pub created_at: i64,
    /// When it was accepted.
    pub accepted_at: Option<i64>,
    /// When it was declined, revoked, or found expired.
    pub ended_at: Option<i64>,
    /// When it ends by itself, be it accepted or not.
    pub expires_at: Option<i64>,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
