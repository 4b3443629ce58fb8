//! One-time codes, by address: an address without an account has a row too, so that nobody can tell.

use sea_orm::entity::prelude::*;

/// One row of `otps`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "otps")]
pub struct Model {
    /// SHA-256 of the address.
    #[sea_orm(primary_key, auto_increment = false)]
    pub email_hash: Vec<u8>,
    /// Keyed hash of address and code.
    pub code_hash: Vec<u8>,
    /// When the code expires.
    pub expires_at: i64,
    /// Tries that are left; 0 ends the code.
    pub tries_left: i32,
    /// When the hour began in which codes are counted.
    pub window_started_at: i64,
    /// Codes made in that hour.
    pub sent_in_window: i32,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
