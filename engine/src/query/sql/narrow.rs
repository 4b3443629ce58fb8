//! Batches with as few rows as [`super::extent`] says, and an end for the query whose rows are longer.
//!
//! What reads, joins and sorts cuts its batches by a setting of the session; a window hands on a whole partition at once,
//! and nobody looks at bytes. [`Narrow`] stands below every step of a statement whose rows may be long.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::extent::{Extent, is_list_maker};

/// Puts a [`Narrow`] below every step of a plan, and above it all.
///
/// # Errors
/// DataFusion's, for a step that takes no other input.
pub(super) fn everywhere(plan: Arc<dyn ExecutionPlan>, extent: Extent) -> Result<Arc<dyn ExecutionPlan>> {
    if extent.is_plain() {
        return Ok(plan);
    }
    let narrowed = plan.transform_up(|plan| {
        if plan.children().is_empty() {
            return Ok(Transformed::no(plan));
        }
        let is_unnest = plan.is::<UnnestExec>();
        let below = |input: &Arc<dyn ExecutionPlan>| Narrow::over(Arc::clone(input), extent, is_unnest);
        let narrowed = plan.children().into_iter().map(below).collect();
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        plan.replace_children(narrowed, options).map(Transformed::yes)
    });
    Ok(Narrow::over(narrowed.data()?, extent, false))
}

/// Whether a step makes lists of many rows.
fn makes_lists(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(step) = plan.downcast_ref::<AggregateExec>() else { return false };
    step.aggr_expr().iter().any(|called| is_list_maker(called.fun().name()))
}

/// Whether what a step gives may hold what an `array_agg` or `string_agg` gave.
fn is_behind_lists(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_behind =
        |input: &&Arc<dyn ExecutionPlan>| input.downcast_ref::<Narrow>().is_some_and(|narrow| narrow.is_behind_lists);
    makes_lists(plan) || plan.children().iter().any(is_behind)
}

/// Passes everything on, a few rows at a time.
#[derive(Debug)]
struct Narrow {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    rows: usize,
    bounds: Bounds,
    is_behind_lists: bool,
}

/// Bytes that may arrive.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    batch: u64,
    /// In one value.
    value: Option<u64>,
}

impl Narrow {
    fn over(input: Arc<dyn ExecutionPlan>, extent: Extent, is_unnest: bool) -> Arc<dyn ExecutionPlan> {
        let is_behind_lists = is_behind_lists(&input);
        let rows = match (is_unnest, is_behind_lists) {
            // All values of a row's list are written at once.
            (true, _) => 1,
            (_, true) => extent.rows_behind_lists,
            (_, false) => extent.rows,
        };
        let properties = Arc::clone(input.properties());
        let value = makes_lists(&input).then_some(extent.list_bytes);
        let bounds = Bounds { batch: extent.batch_bytes, value };
        Arc::new(Self { input, properties, rows, bounds, is_behind_lists })
    }
}

impl DisplayAs for Narrow {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NarrowExec: rows={}", self.rows)
    }
}

impl ExecutionPlan for Narrow {
    fn name(&self) -> &'static str {
        "NarrowExec"
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
            let properties = Arc::clone(input.properties());
            let Self { rows, bounds, is_behind_lists, .. } = *self;
            Ok(Arc::new(Self { input, properties, rows, bounds, is_behind_lists }))
        } else {
            internal_err!("NarrowExec has one input")
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (rows, bounds) = (self.rows, self.bounds);
        let config = context.session_config().clone().with_batch_size(rows);
        let below = TaskContext::default().with_runtime(context.runtime_env()).with_session_config(config);
        let batches = self.input.execute(partition, Arc::new(below))?;
        let narrow = batches.map_ok(move |batch| stream::iter(cut(batch, rows).map(move |part| weighed(part, bounds))));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), narrow.try_flatten().boxed())))
    }
}

/// A batch in parts of so many rows.
fn cut(batch: RecordBatch, rows: usize) -> impl Iterator<Item = RecordBatch> {
    let all = batch.num_rows();
    (0..all).step_by(rows).map(move |from| batch.slice(from, rows.min(all - from)))
}

fn weighed(batch: RecordBatch, bounds: Bounds) -> Result<RecordBatch> {
    let bytes = batch.columns().iter().map(|column| weight(column.as_ref())).fold(0, u64::saturating_add);
    let is_value_too_long = |max: u64| {
        let rows = |column: &ArrayRef| (0..column.len()).any(|row| weight(column.slice(row, 1).as_ref()) > max);
        bytes > max && batch.columns().iter().any(rows)
    };
    if bytes > bounds.batch || bounds.value.is_some_and(is_value_too_long) {
        return Err(DataFusionError::ResourcesExhausted("rows that are too long".to_owned()));
    }
    Ok(batch)
}

/// Bytes of the rows of an array; of one that is a part of a larger one, those of the part.
fn weight(array: &dyn Array) -> u64 {
    let rows = array.len();
    let bytes = match array.data_type() {
        DataType::Utf8 => span(array.as_string::<i32>().value_offsets()).saturating_add(rows.saturating_mul(4)),
        DataType::Binary => span(array.as_binary::<i32>().value_offsets()).saturating_add(rows.saturating_mul(4)),
        DataType::Utf8View => array.as_string_view().iter().map(|text| text.map_or(0, str::len) + 16).sum(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let from = list.value_offsets().first().map_or(0, |from| usize::try_from(*from).unwrap_or(0));
            let values = list.values().slice(from, span(list.value_offsets()));
            return weight(values.as_ref()).saturating_add(u64::try_from(rows.saturating_mul(4)).unwrap_or(u64::MAX));
        }
        // The texts themselves are those of our tables, and many rows share them.
        DataType::Dictionary(..) => rows.saturating_mul(4),
        _ => array.to_data().get_slice_memory_size().unwrap_or(usize::MAX).max(rows),
    };
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// From the first offset to the last.
fn span(offsets: &[i32]) -> usize {
    match offsets {
        [first, .., last] => usize::try_from(last.saturating_sub(*first)).unwrap_or(usize::MAX),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn batch(texts: &[&str]) -> RecordBatch {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        RecordBatch::try_from_iter([("text", texts)]).unwrap()
    }

    /// A survey that told too little ends the query, not the server.
    #[test]
    fn a_batch_is_weighed_whole_and_a_value_by_itself() {
        let fits = |batch: &RecordBatch, all, value| weighed(batch.clone(), Bounds { batch: all, value }).is_ok();
        let three = batch(&["0123456789", "01234567890123456789", ""]);
        // Thirty characters and an offset of four bytes for each.
        assert!(fits(&three, 42, None) && !fits(&three, 41, None));
        assert!(fits(&three, 42, Some(24)) && !fits(&three, 42, Some(23)));
        let parts: Vec<RecordBatch> = cut(three, 2).collect();
        assert_eq!(parts.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1]);
        assert!(parts.iter().zip([38, 4]).all(|(part, bytes)| fits(part, bytes, None) && !fits(part, bytes - 1, None)));
    }
}
