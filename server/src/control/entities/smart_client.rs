//! Other systems that act for a doctor by themselves.

use sea_orm::entity::prelude::*;

/// One row of `smart_clients`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "smart_clients")]
pub struct Model {
    /// `smc_` and sixteen base62 characters: the `client_id`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The doctor for whom it acts.
    pub user_id: String,
    /// What the operator calls it.
    pub name: String,
    /// Its public keys, a JSON Web Key Set.
    pub jwks: String,
    /// What it may do, words with blanks between them: `system/Observation.rs`.
    pub scopes: String,
    /// When it was registered.
    pub created_at: i64,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
