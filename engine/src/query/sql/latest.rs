//! The table `latest` of one caller.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::TryStreamExt;

use super::pushdown::Narrowed;
use super::tables::Reach;
use crate::latest::Latest;
use crate::latest::plan::schema;
use crate::query::leaf::{LeafExec, Source, external, properties};

/// The newest points of the people in `all`.
#[derive(Debug)]
pub(super) struct LatestTable {
    /// The question for everybody who may be seen.
    pub(super) all: Latest,
    /// Whom a plan reaches.
    pub(super) reach: Reach,
}

#[async_trait]
impl TableProvider for LatestTable {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let inexact = |filter: &&Expr| match Narrowed::by([*filter]).users {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(inexact).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut latest = self.all.clone();
        if let Some(wanted) = Narrowed::by(filters).users {
            latest.users = latest.users.iter().filter(|user| wanted.contains(user.as_str())).copied().collect();
        }
        self.reach.add(&latest.users).map_err(external)?;
        let Some(projection) = projection else { return Ok(latest.plan()) };
        let schema = Arc::new(schema().project(projection)?);
        let properties = properties(Arc::clone(&schema), 1);
        Ok(LeafExec::new(Projected { latest, projection: projection.clone(), schema }, properties))
    }
}

/// Some of the columns.
#[derive(Debug)]
struct Projected {
    latest: Latest,
    projection: Vec<usize>,
    schema: SchemaRef,
}

impl Source for Projected {
    const NAME: &'static str = "LatestExec";

    fn open(&self, partition: usize) -> Result<SendableRecordBatchStream> {
        let projection = self.projection.clone();
        let batches = self
            .latest
            .open(partition)?
            .and_then(move |batch| futures::future::ready(batch.project(&projection).map_err(Into::into)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.latest.describe(f)
    }
}
