//! Files of exports of FHIR. A file without a row is nothing that anybody may read.

use sea_orm::entity::prelude::*;

/// One row of `bulk_files`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bulk_files")]
pub struct Model {
    /// Of which export.
    #[sea_orm(primary_key, auto_increment = false)]
    pub job_id: String,
    /// Which of its files, from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// Whose data is in it.
    pub patient_id: String,
    /// `patient`, `points` or `check_ins`.
    pub part: String,
    /// Lines.
    pub resources: i64,
    /// Length.
    pub bytes: i64,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
