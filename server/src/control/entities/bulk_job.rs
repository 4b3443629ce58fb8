//! Exports of FHIR that somebody asked for.

use sea_orm::entity::prelude::*;

/// One row of `bulk_jobs`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bulk_jobs")]
pub struct Model {
    /// `exp_` and sixteen base62 characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Who asked.
    pub user_id: String,
    /// By which client of SMART, if it was one.
    pub client_id: Option<String>,
    /// The data directory whose points it holds, and where its files are.
    pub place: String,
    /// The URL that was asked for.
    pub request: String,
    /// `own` or `granted`: of whom.
    pub scope: String,
    /// FHIR's types, words with blanks between them.
    pub types: String,
    /// Only what changed since.
    pub since: Option<i64>,
    /// `running`, `done` or `failed`.
    pub status: String,
    /// Why it failed, for who asked.
    pub error: Option<String>,
    /// The last patient whose files are whole; empty before the first.
    pub after_patient: String,
    /// How many patients there were when it was asked for.
    pub patients_total: i64,
    /// How many are done.
    pub patients_done: i64,
    /// When it last had its turn.
    pub stepped_at: i64,
    /// When it was asked for.
    pub created_at: i64,
    /// When it was done or failed.
    pub ended_at: Option<i64>,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
