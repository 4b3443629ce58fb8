//! People.

use sea_orm::entity::prelude::*;

/// One row of `users`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// `usr_` and eight base62 characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Trimmed and lower-case; unique.
    pub email: String,
    /// As they call themselves.
    pub name: String,
    /// `patient` or `doctor`.
    pub role: String,
    /// IANA name, such as `Europe/Berlin`.
    pub timezone: String,
    /// Argon2id in PHC form; none for people who log in by one-time code alone.
    pub password_hash: Option<String>,
    /// When a code that went to the address first came back, or an operator made the account; none while nobody has shown
    /// that the address is theirs.
    pub email_verified_at: Option<i64>,
    /// When the account was made.
    pub created_at: i64,
    /// When the row last changed.
    pub updated_at: i64,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
