//! The node that our plans consist of: a leaf that opens a stream of batches.
//!
//! Point questions have one node: everything that could be a node of its own (user and time, dedup, source, limit)
//! is cheaper inside the scan, where whole pages and dictionaries are known. What differs between the questions is a
//! [`Source`]; what DataFusion wants of every node is here, once.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
};

/// Where the batches of a [`LeafExec`] come from.
pub(crate) trait Source: fmt::Debug + Send + Sync + 'static {
    /// The node's name in `EXPLAIN`.
    const NAME: &'static str;

    /// Begins partition `partition`. Nothing is read before the first poll.
    ///
    /// # Errors
    /// What keeps the stream from being made at all.
    fn open(&self, partition: usize) -> Result<SendableRecordBatchStream>;

    /// What was counted while it ran, for `EXPLAIN ANALYZE`: of the caller's rows, and of nothing else.
    fn metrics(&self) -> Option<MetricsSet> {
        None
    }

    /// What `EXPLAIN` shows behind the name: the question, never paths or what is stored.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// A plan without inputs over a [`Source`].
#[derive(Debug)]
pub(crate) struct LeafExec<S> {
    source: S,
    properties: Arc<PlanProperties>,
}

impl<S: Source> LeafExec<S> {
    /// A plan over `source`, with properties made once per schema by [`properties`].
    pub(crate) fn new(source: S, properties: Arc<PlanProperties>) -> Arc<Self> {
        Arc::new(Self { source, properties })
    }
}

/// The properties of a leaf that gives `schema` in that many partitions.
pub(crate) fn properties(schema: SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// Carries an error of ours through DataFusion; [`super::budget::to_error`] takes it out again.
pub(crate) fn external(error: impl Into<crate::Error>) -> DataFusionError {
    DataFusionError::External(Box::new(error.into()))
}

impl<S: Source> DisplayAs for LeafExec<S> {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", S::NAME)?;
        self.source.describe(f)
    }
}

impl<S: Source> ExecutionPlan for LeafExec<S> {
    fn name(&self) -> &str {
        S::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("{} has no inputs", S::NAME) }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.source.metrics()
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.source.open(partition)
    }
}
