//! Values for the places `$1`, `$2` … of a statement.

use std::fmt;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{DataFusionError, ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use std::sync::Arc;

use crate::error::{Error, Place, Result};
use crate::time;

/// One value. Its type is what the statement wants where it stands: a text becomes a time where a time is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Param(ScalarValue);

impl Param {
    /// No value.
    pub const NULL: Self = Self(ScalarValue::Null);

    /// The values of one row.
    ///
    /// # Errors
    /// [`Error::Statement`] for a type that is none of SQL's.
    pub fn of_row(batch: &RecordBatch, row: usize) -> Result<Vec<Self>> {
        let one = |(nth, column): (usize, &ArrayRef)| {
            ScalarValue::try_from_array(column, row).map(Self).map_err(|error| wrong(nth, error.message().into_owned()))
        };
        batch.columns().iter().enumerate().map(one).collect()
    }

    /// What it is.
    pub(super) fn value(&self) -> &ScalarValue {
        &self.0
    }

    /// The same as the place wants it.
    fn as_wanted(&self, nth: usize, wanted: Option<&DataType>) -> Result<ScalarValue> {
        let Some(wanted) = wanted else { return Ok(self.0.clone()) };
        if let (ScalarValue::Utf8(Some(text)), DataType::Timestamp(..)) = (&self.0, wanted) {
            let at_us = time::parse(text);
            let at_us = at_us.ok_or_else(|| wrong(nth, "must be a time as in RFC 3339".to_owned()))?;
            let at = ScalarValue::TimestampMicrosecond(Some(at_us), Some("UTC".into()));
            return at.cast_to(wanted).map_err(|error| wrong(nth, error.message().into_owned()));
        }
        self.0.cast_to(wanted).map_err(|error| wrong(nth, error.message().into_owned()))
    }
}

impl From<bool> for Param {
    fn from(value: bool) -> Self {
        Self(ScalarValue::Boolean(Some(value)))
    }
}

impl From<i64> for Param {
    fn from(value: i64) -> Self {
        Self(ScalarValue::Int64(Some(value)))
    }
}

impl From<f64> for Param {
    fn from(value: f64) -> Self {
        Self(ScalarValue::Float64(Some(value)))
    }
}

impl From<String> for Param {
    fn from(value: String) -> Self {
        Self(ScalarValue::Utf8(Some(value)))
    }
}

impl fmt::Display for Param {
    /// As a literal of SQL, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.try_as_str() {
            Some(Some(text)) => write!(f, "'{}'", text.replace('\'', "''")),
            _ => write!(f, "{}", self.0),
        }
    }
}

fn wrong(nth: usize, msg: String) -> Error {
    Error::Statement { msg, place: Place::Param(nth) }
}

/// The types of a plan's places in their order; nothing is known of some.
fn wanted(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>, DataFusionError> {
    let types = plan.get_parameter_types()?;
    let mut wanted = vec![None; types.len()];
    for (name, data_type) in types {
        let nth = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        let place = nth.and_then(|nth| nth.checked_sub(1)).and_then(|nth| wanted.get_mut(nth));
        let gap = || DataFusionError::Plan(format!("parameters are $1, $2 … without a gap, not {name}"));
        *place.ok_or_else(gap)? = data_type;
    }
    Ok(wanted)
}

/// A plan with its values in place.
///
/// # Errors
/// [`Error::Statement`] for a value too many, too few, or of a type that cannot stand there.
pub(super) fn bind(
    plan: LogicalPlan,
    params: &[Param],
    refused: impl Fn(DataFusionError) -> Error,
) -> Result<LogicalPlan> {
    let wanted = wanted(&plan).map_err(&refused)?;
    if wanted.len() != params.len() {
        let msg = format!("the statement has {} parameters, and {} values were given", wanted.len(), params.len());
        return Err(Error::Statement { msg, place: Place::Text });
    }
    if params.is_empty() {
        return Ok(plan);
    }
    let values = params.iter().zip(&wanted).enumerate();
    let values = values.map(|(nth, (param, wanted))| {
        param.as_wanted(nth, wanted.as_ref()).map(|value| ScalarAndMetadata::new(value, None))
    });
    let values = ParamValues::List(values.collect::<Result<_>>()?);
    plan.with_param_values(values).map_err(refused)
}

/// The places of a plan as columns named `$1` …, in their order; text where nothing is known.
pub(super) fn shape(plan: &LogicalPlan) -> Result<SchemaRef, DataFusionError> {
    let fields = wanted(plan)?.into_iter().enumerate().map(|(nth, data_type)| {
        let data_type = super::output::plain(&data_type.unwrap_or(DataType::Utf8));
        Field::new(format!("${}", nth + 1), data_type, true)
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}
