//! Questions in SQL, for HTTP and Flight alike: whose rows there are, what is written down, how many run.
//!
//! ```text
//! Question ─▶ a place ─▶ who is visible ─▶ plan ─▶ whom it reaches ─▶ records of all of them, committed ─▶ rows
//!                           └────────────── anew, if a grant has ended meanwhile ◀──┘
//! ```
//!
//! The engine plans and computes on threads of its own; here it is decided who may, and nothing is read of anybody before
//! the records are there.

mod places;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use engine::query::sql::{Param, Permit, Query, Statement};

pub use self::places::Queries;
use crate::access::crowd::{self, Backing, Company, Crowd};
use crate::access::{AccessError, Visitor};
use crate::error::ApiError;
use crate::state::AppState;

/// Most plans that are made of one question, because grants end in between.
const PLANS_MAX: usize = 3;

/// What somebody asks.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Who asks, from where.
    pub(crate) visitor: Visitor,
    /// One statement.
    pub(crate) sql: String,
    /// Its values.
    pub(crate) params: Vec<Param>,
}

/// A question whose answer may leave.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The query; it has read nothing yet.
    pub(crate) query: Query,
    /// Whom it reads, to be looked after while the answer leaves.
    pub(crate) company: Company,
}

impl Question {
    /// The columns of the answer, and of the parameters.
    ///
    /// # Errors
    /// 422 with the planner's message, 413, 504; 429 and 503 if too many run.
    pub(crate) async fn describe(&self, state: &AppState) -> Result<(SchemaRef, SchemaRef), ApiError> {
        let statement = self.statement(state).await?;
        Ok(state.engine.describe(statement).await?)
    }

    /// Plans it for whom may be seen now.
    ///
    /// # Errors
    /// As [`Self::describe`].
    pub(crate) async fn plan(&self, state: &AppState) -> Result<Query, ApiError> {
        let statement = self.statement(state).await?;
        Ok(state.engine.prepare(statement).await?)
    }

    /// Plans it, and lets it in.
    ///
    /// # Errors
    /// As [`Self::describe`]; 403 if grants end faster than plans are made.
    pub(crate) async fn ask(&self, state: &AppState) -> Result<Admitted, ApiError> {
        let query = self.plan(state).await?;
        self.admit(state, query).await
    }

    /// Lets a plan of it in; makes another one if a grant has ended since.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) async fn admit(&self, state: &AppState, mut query: Query) -> Result<Admitted, ApiError> {
        let mut plans = 1;
        loop {
            let admitted = crowd::admit(Backing::of(state), &self.visitor, query.users(), self.in_words()).await;
            match admitted {
                Ok(company) => return Ok(Admitted { query, company }),
                Err(AccessError::Denied) if plans < PLANS_MAX => {
                    // Its place is free before the next one is taken.
                    drop(query);
                    query = self.plan(state).await?;
                    plans += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn statement(&self, state: &AppState) -> Result<Statement, ApiError> {
        let place: Permit = Arc::new(state.queries.begin(self.visitor.principal().user)?);
        let crowd = Crowd::of(&Backing::of(state), &self.visitor).await?;
        Ok(Statement {
            visible: crowd.users(),
            sql: self.sql.clone(),
            params: self.params.clone(),
            permit: Some(place),
        })
    }

    /// As the records keep it.
    fn in_words(&self) -> String {
        let mut words = self.sql.clone();
        for (nth, param) in self.params.iter().enumerate() {
            // Writing into memory cannot fail.
            let _ = write!(words, "{} ${} = {param}", if nth == 0 { "\n--" } else { "," }, nth + 1);
        }
        // PostgreSQL stores no NUL, which no statement needs.
        words.replace('\0', "\u{fffd}")
    }
}
