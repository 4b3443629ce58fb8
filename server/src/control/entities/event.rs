//! What happened, in the bytes in which receivers are told.

use sea_orm::entity::prelude::*;

/// One row of `events`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    /// Order of creation.
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// `evt_` and sixteen base62 characters.
    pub id: String,
    /// `check_in.created` and so on; `webhook.test` for a try of the owner's.
    pub kind: String,
    /// Whom it speaks of; nobody in a test.
    pub patient_id: Option<String>,
    /// The check-in, symptom, grant or endpoint.
    pub subject_id: String,
    /// What is signed and sent, byte by byte.
    pub body: String,
    /// When it happened.
    pub created_at: i64,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
