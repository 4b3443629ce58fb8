//! Counts what a window function keeps.
//!
//! DataFusion's windows over whole partitions hold all of their input and tell the memory budget nothing of it:
//! `sum(value) OVER ()` over a fleet would take what it likes. [`Hold`] stands below them and counts.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties, SendableRecordBatchStream,
};
use futures::TryStreamExt;

/// Puts a [`Hold`] below what keeps all that it gets.
#[derive(Debug)]
pub(super) struct HoldBelowWindows;

impl PhysicalOptimizerRule for HoldBelowWindows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            if !keeps_all(&plan) {
                return Ok(Transformed::no(plan));
            }
            let held = plan.children().into_iter().map(|input| Hold::over(Arc::clone(input), 0)).collect();
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            plan.replace_children(held, options).map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "hold_below_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn keeps_all(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_linear = |window: &BoundedWindowAggExec| window.input_order_mode == InputOrderMode::Linear;
    plan.is::<WindowAggExec>() || plan.downcast_ref::<BoundedWindowAggExec>().is_some_and(is_linear)
}

/// Has each [`Hold`] of a plan count so many bytes for each row beside the row: what the window above makes of it.
///
/// # Errors
/// DataFusion's, for a step that takes no other input.
pub(super) fn counting(plan: Arc<dyn ExecutionPlan>, row_bytes: u64) -> Result<Arc<dyn ExecutionPlan>> {
    let row_bytes = usize::try_from(row_bytes).unwrap_or(usize::MAX);
    if row_bytes == 0 {
        return Ok(plan);
    }
    let counting = plan.transform_up(|plan| {
        let Some(hold) = plan.downcast_ref::<Hold>() else { return Ok(Transformed::no(plan)) };
        Ok(Transformed::yes(Hold::over(Arc::clone(&hold.input), row_bytes)))
    });
    counting.data()
}

/// Passes everything on and counts it as taken until the query's end.
#[derive(Debug)]
struct Hold {
    /// Bytes that are counted for each row beside it.
    row_bytes: usize,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl Hold {
    fn over(input: Arc<dyn ExecutionPlan>, row_bytes: usize) -> Arc<dyn ExecutionPlan> {
        let properties = Arc::clone(input.properties());
        Arc::new(Self { row_bytes, input, properties })
    }
}

impl DisplayAs for Hold {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row_bytes {
            0 => f.write_str("HoldExec"),
            row_bytes => write!(f, "HoldExec: row_bytes={row_bytes}"),
        }
    }
}

impl ExecutionPlan for Hold {
    fn name(&self) -> &'static str {
        "HoldExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if let Ok([input]) = <[_; 1]>::try_from(children) {
            Ok(Self::over(input, self.row_bytes))
        } else {
            internal_err!("HoldExec has one input")
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let reservation = MemoryConsumer::new("window").register(context.memory_pool());
        let batches = self.input.execute(partition, context)?;
        // Lives as long as the stream, which the window keeps to its end.
        let row_bytes = self.row_bytes;
        let counted = batches.and_then(move |batch| {
            let beside = batch.num_rows().saturating_mul(row_bytes);
            let counted = reservation.try_grow(batch.get_array_memory_size().saturating_add(beside));
            std::future::ready(counted.map(|()| batch))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), counted)))
    }
}
