//! An event on its way to an endpoint.

use sea_orm::entity::prelude::*;

/// One row of `deliveries`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deliveries")]
pub struct Model {
    /// `dlv_` and sixteen base62 characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Where to.
    pub webhook_id: String,
    /// Which event.
    pub event_seq: i64,
    /// `event`, `replay` or `test`: why it is sent.
    pub origin: String,
    /// `pending`, `delivered`, `dropped`, or `withdrawn` where access ended before.
    pub status: String,
    /// Tries that have ended.
    pub tries: i32,
    /// When the next try may begin.
    pub due_at: i64,
    /// When the last try began.
    pub tried_at: Option<i64>,
    /// The last answer's.
    pub status_code: Option<i32>,
    /// How long the last try took.
    pub latency_ms: Option<i64>,
    /// The first bytes of the last answer.
    pub answer: Option<String>,
    /// Why the last try failed, in a word.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: i64,
}

/// None: rows are joined by hand where they are.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
