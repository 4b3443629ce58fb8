//! A file that somebody sent, and what became of it.

use sea_orm::entity::prelude::*;

/// One row of `imports`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "imports")]
pub struct Model {
    /// `imp_` and sixteen base62 characters; the file in the data directory is called so.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// The data directory that has the file.
    pub server: String,
    /// `apple_health` or `garmin`.
    pub format: String,
    /// `queued`, `running`, `done`, `partial`, `failed`; or `canceled`, which is told as `running` and ends when its thread has
    /// ended.
    pub status: String,
    /// Length of the file.
    pub bytes: i64,
    /// How far it is read.
    pub bytes_read: i64,
    /// What the importer said until the last acknowledgement: so many calls are dropped when it reads again.
    pub calls_taken: i64,
    /// What was taken and what was skipped until then, as JSON.
    pub report: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When the file was there.
    pub created_at: i64,
    /// When it last got on.
    pub updated_at: i64,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
