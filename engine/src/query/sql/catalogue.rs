//! The table `metrics`: the catalogue as rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::record_batch::RecordBatch;

use crate::catalogue::{Catalogue, Metric};
use crate::error::Result;
use crate::query::malformed;

/// One row per metric, in the catalogue's order: `metric, unit, description, min, max, loinc, ucum`. `loinc` is the
/// most fitting code; it and `ucum` are null where there is none.
pub(super) fn rows(catalogue: &Catalogue) -> Result<RecordBatch> {
    let text =
        |of: fn(&Metric) -> Option<&str>| -> ArrayRef { Arc::new(catalogue.iter().map(of).collect::<StringArray>()) };
    let number =
        |of: fn(&Metric) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(catalogue.iter().map(of))) };
    let columns = [
        ("metric", text(|metric| Some(&metric.key))),
        ("unit", text(|metric| Some(&metric.unit))),
        ("description", text(|metric| Some(&metric.description))),
        ("min", number(|metric| metric.min)),
        ("max", number(|metric| metric.max)),
        ("loinc", text(|metric| metric.loinc.first().map(|code| &**code))),
        ("ucum", text(|metric| metric.ucum.as_deref())),
    ];
    RecordBatch::try_from_iter(columns).map_err(|error| malformed(&error.to_string()))
}
