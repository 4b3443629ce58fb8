//! Reads of one person's data by another, chained: see `crate::access::audit`.

use sea_orm::entity::prelude::*;

/// One row of `audit_records`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_records")]
pub struct Model {
    /// Whose data was read.
    #[sea_orm(primary_key, auto_increment = false)]
    pub patient_id: String,
    /// From 1 without a gap, for each patient.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// When.
    pub at: i64,
    /// Who read.
    pub actor_id: String,
    /// `token` or `key`.
    pub means: String,
    /// The token's or the key's id.
    pub means_id: String,
    /// By which grant.
    pub grant_id: String,
    /// What was read.
    pub what: String,
    /// Which metric, where it was one.
    pub metric: Option<String>,
    /// First moment that was asked for.
    pub range_start: Option<i64>,
    /// First moment behind what was asked for.
    pub range_end: Option<i64>,
    /// From which address.
    pub address: String,
    /// SHA-256 of what was asked in SQL, where it was.
    pub query_hash: Option<Vec<u8>>,
    /// `hash` of the record before; zeros in the first.
    pub prev_hash: Vec<u8>,
    /// SHA-256 of all of the above.
    pub hash: Vec<u8>,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
