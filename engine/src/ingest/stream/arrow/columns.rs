//! The columns of a record batch as those of points.

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, LargeStringArray, StringArray, StringViewArray,
};
use arrow::array::{DictionaryArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::super::super::check::{Raw, Stamp};
use super::super::super::validate::Complaint;

/// A record batch, its columns found and in few types.
#[derive(Debug)]
pub(super) struct PointColumns {
    len: usize,
    metric: Texts,
    value: Float64Array,
    recorded_at: Stamps,
    source: Texts,
    unit: Option<Texts>,
    device: Option<Texts>,
    user: Option<Texts>,
}

#[derive(Debug)]
enum Texts {
    Plain(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
    Dictionary(Int32Array, StringArray),
    /// A column that is null from end to end.
    Absent,
}

#[derive(Debug)]
enum Stamps {
    Micros(TimestampMicrosecondArray),
    Texts(Texts),
}

impl PointColumns {
    /// Finds the columns.
    ///
    /// # Errors
    /// One is missing, is there twice, or cannot hold what it should.
    pub(super) fn new(batch: &RecordBatch) -> Result<Self, String> {
        let schema = batch.schema_ref();
        let column = |name: &'static str| {
            // Which of two would be meant, nobody can say.
            let is_twice = schema.fields().iter().filter(|field| field.name() == name).count() > 1;
            if is_twice { Err(format!("column `{name}` is there twice")) } else { Ok(batch.column_by_name(name)) }
        };
        let required = |name: &'static str| column(name)?.ok_or_else(|| format!("there is no column `{name}`"));
        let optional = |name: &'static str| column(name)?.map(|array| Texts::new(name, array)).transpose();
        Ok(Self {
            len: batch.num_rows(),
            metric: Texts::new("metric", required("metric")?)?,
            value: numbers(required("value")?)?,
            recorded_at: Stamps::new(required("recorded_at")?)?,
            source: Texts::new("source", required("source")?)?,
            unit: optional("unit")?,
            device: optional("source_device_id")?,
            user: optional("user_id")?,
        })
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A row, to be checked.
    #[inline]
    pub(super) fn row(&self, row: usize) -> Raw<'_> {
        let there = |text: Option<_>| text.ok_or(Complaint::Missing);
        let value = self.value.is_valid(row).then(|| self.value.values().get(row)).flatten();
        Raw {
            metric: there(self.metric.get(row)),
            value: value.copied().ok_or(Complaint::Missing),
            unit: self.unit.as_ref().map_or(Ok(None), |units| there(units.get(row)).map(Some)),
            recorded_at: self.recorded_at.get(row).ok_or(Complaint::Missing),
            source: there(self.source.get(row)),
            device: Ok(self.device.as_ref().and_then(|devices| devices.get(row))),
            user: Ok(self.user.as_ref().and_then(|users| users.get(row))),
        }
    }
}

impl Texts {
    fn new(name: &'static str, array: &ArrayRef) -> Result<Self, String> {
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Plain(array.as_string::<i32>().clone()),
            DataType::LargeUtf8 => Self::Large(array.as_string::<i64>().clone()),
            DataType::Utf8View => Self::View(array.as_string_view().clone()),
            DataType::Null => Self::Absent,
            DataType::Dictionary(_, values)
                if matches!(**values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) =>
            {
                let plain = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                let array = cast(array, &plain).map_err(|error| format!("column `{name}`: {error}"))?;
                let array: &DictionaryArray<Int32Type> = array.as_dictionary();
                Self::Dictionary(array.keys().clone(), array.values().as_string::<i32>().clone())
            }
            _ => return Err(format!("column `{name}` must be text")),
        })
    }

    #[inline]
    fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Plain(texts) => (row < texts.len() && texts.is_valid(row)).then(|| texts.value(row)),
            Self::Large(texts) => (row < texts.len() && texts.is_valid(row)).then(|| texts.value(row)),
            Self::View(texts) => (row < texts.len() && texts.is_valid(row)).then(|| texts.value(row)),
            Self::Dictionary(keys, texts) => {
                let key = keys.is_valid(row).then(|| keys.values().get(row)).flatten()?;
                let key = usize::try_from(*key).ok().filter(|key| *key < texts.len() && texts.is_valid(*key))?;
                Some(texts.value(key))
            }
            Self::Absent => None,
        }
    }
}

impl Stamps {
    fn new(array: &ArrayRef) -> Result<Self, String> {
        let DataType::Timestamp(_, zone) = array.data_type() else {
            let texts = Texts::new("recorded_at", array);
            return texts.map(Self::Texts).map_err(|_| "column `recorded_at` must be a timestamp or text".to_owned());
        };
        let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
        let array = cast(array, &micros).map_err(|error| format!("column `recorded_at`: {error}"))?;
        Ok(Self::Micros(array.as_primitive::<TimestampMicrosecondType>().clone()))
    }

    #[inline]
    fn get(&self, row: usize) -> Option<Stamp<'_>> {
        match self {
            Self::Micros(times) => {
                times.is_valid(row).then(|| times.values().get(row)).flatten().map(|time| Stamp::Micros(*time))
            }
            Self::Texts(texts) => texts.get(row).map(Stamp::Text),
        }
    }
}

fn numbers(array: &ArrayRef) -> Result<Float64Array, String> {
    if !array.data_type().is_numeric() {
        return Err("column `value` must be a number".to_owned());
    }
    let array = cast(array, &DataType::Float64).map_err(|error| format!("column `value`: {error}"))?;
    Ok(array.as_primitive::<Float64Type>().clone())
}
