//! Where somebody wants to be told, and how it goes.

use sea_orm::entity::prelude::*;

/// One row of `webhooks`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhooks")]
pub struct Model {
    /// `whk_` and sixteen base62 characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// Where requests go.
    pub url: String,
    /// Which events; words with a space between.
    pub events: String,
    /// What its owner says of it.
    pub description: Option<String>,
    /// The secret that signs, encrypted.
    pub secret: Vec<u8>,
    /// The one before it, which signs too for a while; encrypted.
    pub old_secret: Option<Vec<u8>>,
    /// Until when the old one signs.
    pub old_secret_until: Option<i64>,
    /// Since when nothing is sent.
    pub disabled_at: Option<i64>,
    /// `owner`, `gone` (the receiver answered 410) or `failing`.
    pub disabled_by: Option<String>,
    /// Since when no try has succeeded, if the last one failed.
    pub failing_since: Option<i64>,
    /// The dispatcher that sends for it at the moment.
    pub lease_owner: Option<String>,
    /// Until when that one does; then any other may.
    pub lease_until: i64,
    /// When it was made.
    pub created_at: i64,
    /// When its owner last changed it.
    pub updated_at: i64,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
