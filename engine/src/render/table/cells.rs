//! One column as JSON, cell by cell: its type is looked at once a batch, not once a row.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, OffsetSizeTrait,
    StringArray, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::number;
use crate::render::json::write_string;
use crate::time::{DAY_US, Formatter};

/// Bytes of a date.
const DATE_BYTES: usize = 10;

/// A column, ready to be written.
pub(super) struct Cells {
    nulls: Option<NullBuffer>,
    kind: Kind,
}

enum Kind {
    Null,
    Bool(BooleanArray),
    Int(Int64Array),
    UInt(UInt64Array),
    Float(Float64Array),
    Time(TimestampMicrosecondArray, Formatter),
    Date(Date32Array, Formatter),
    Text(StringArray),
    /// Places and the texts there, quoted and escaped.
    Texts(Int32Array, Vec<Vec<u8>>),
    /// Where each list begins, the last one's end at the end; all items.
    List(Vec<usize>, Box<Cells>),
    /// Names, quoted with their colon; values.
    Struct(Vec<(Vec<u8>, Cells)>),
    /// What has no form of its own: a text as Arrow shows it.
    Other(ArrayRef),
}

impl Cells {
    /// Looks at a column. Cost: a copy where its type is not one of ours.
    ///
    /// # Errors
    /// Arrow's, for values that a copy cannot hold.
    pub(super) fn of(column: &ArrayRef) -> Result<Self, ArrowError> {
        let column = as_one_of_ours(column)?;
        let kind = kind_of(&column)?;
        Ok(Self { nulls: column.logical_nulls(), kind })
    }

    /// Appends a cell; `null` for none, and for what is no number.
    pub(super) fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
            return;
        }
        match &mut self.kind {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Bool(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Kind::Int(values) => {
                let value = values.value(row);
                if value < 0 {
                    out.push(b'-');
                }
                number::write_u64(value.unsigned_abs(), out);
            }
            Kind::UInt(values) => number::write_u64(values.value(row), out),
            Kind::Float(values) => match values.value(row) {
                value if value.is_finite() => number::write(value, false, out),
                _ => out.extend_from_slice(b"null"),
            },
            Kind::Time(values, formatter) => {
                out.push(b'"');
                formatter.write(values.value(row), out);
                out.push(b'"');
            }
            Kind::Date(values, formatter) => {
                out.push(b'"');
                let begin = out.len();
                formatter.write(i64::from(values.value(row)).saturating_mul(DAY_US), out);
                out.truncate(begin + DATE_BYTES);
                out.push(b'"');
            }
            Kind::Text(values) => write_string(values.value(row), out),
            Kind::Texts(keys, texts) => {
                let text = usize::try_from(keys.value(row)).ok().and_then(|key| texts.get(key));
                out.extend_from_slice(text.map_or(b"null", Vec::as_slice));
            }
            Kind::List(offsets, items) => write_list(offsets, items, row, out),
            Kind::Struct(fields) => write_struct(fields, row, out),
            Kind::Other(column) => write_other(column, row, out),
        }
    }
}

fn write_list(offsets: &[usize], items: &mut Cells, row: usize, out: &mut Vec<u8>) {
    let (start, end) = (offsets.get(row).copied().unwrap_or(0), offsets.get(row + 1).copied().unwrap_or(0));
    out.push(b'[');
    for item in start..end {
        if item > start {
            out.push(b',');
        }
        items.write(item, out);
    }
    out.push(b']');
}

fn write_struct(fields: &mut [(Vec<u8>, Cells)], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (nth, (name, cells)) in fields.iter_mut().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name);
        cells.write(row, out);
    }
    out.push(b'}');
}

fn write_other(column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    let options = FormatOptions::default();
    match ArrayFormatter::try_new(column, &options).and_then(|formatter| formatter.value(row).try_to_string()) {
        Ok(text) => write_string(&text, out),
        Err(_) => out.extend_from_slice(b"null"),
    }
}

/// The same column in one of the types that [`kind_of`] knows, where there is one.
fn as_one_of_ours(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let to = match column.data_type() {
        DataType::UInt64 | DataType::Float64 => return Ok(ArrayRef::clone(column)),
        data_type if data_type.is_integer() => DataType::Int64,
        data_type if data_type.is_floating() || data_type.is_decimal() => DataType::Float64,
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Date64 => DataType::Date32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(keys, values) if **keys != DataType::Int32 || **values != DataType::Utf8 => {
            (**values).clone()
        }
        _ => return Ok(ArrayRef::clone(column)),
    };
    let column = if *column.data_type() == to { ArrayRef::clone(column) } else { cast(column, &to)? };
    // A dictionary of what is no text comes out as a type that may have to be looked at again.
    if matches!(to, DataType::Int64 | DataType::Float64 | DataType::Utf8 | DataType::Date32 | DataType::Timestamp(..)) {
        return Ok(column);
    }
    as_one_of_ours(&column)
}

fn kind_of(column: &ArrayRef) -> Result<Kind, ArrowError> {
    Ok(match column.data_type() {
        DataType::Null => Kind::Null,
        DataType::Boolean => Kind::Bool(column.as_boolean().clone()),
        DataType::Int64 => Kind::Int(column.as_primitive::<Int64Type>().clone()),
        DataType::UInt64 => Kind::UInt(column.as_primitive::<UInt64Type>().clone()),
        DataType::Float64 => Kind::Float(column.as_primitive::<Float64Type>().clone()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Kind::Time(column.as_primitive::<TimestampMicrosecondType>().clone(), Formatter::default())
        }
        DataType::Date32 => Kind::Date(column.as_primitive::<Date32Type>().clone(), Formatter::default()),
        DataType::Utf8 => Kind::Text(column.as_string::<i32>().clone()),
        DataType::Dictionary(..) => {
            let dictionary = column.as_dictionary::<Int32Type>();
            let texts = dictionary.values().as_string::<i32>();
            let quoted = texts.iter().map(|text| {
                let mut quoted = Vec::new();
                match text {
                    Some(text) => write_string(text, &mut quoted),
                    None => quoted.extend_from_slice(b"null"),
                }
                quoted
            });
            Kind::Texts(dictionary.keys().clone(), quoted.collect())
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            Kind::List(places(list.value_offsets()), Box::new(Cells::of(list.values())?))
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            Kind::List(places(list.value_offsets()), Box::new(Cells::of(list.values())?))
        }
        DataType::Struct(_) => Kind::Struct(fields(column.as_struct())?),
        _ => Kind::Other(ArrayRef::clone(column)),
    })
}

fn places<O: OffsetSizeTrait>(offsets: &[O]) -> Vec<usize> {
    offsets.iter().map(|offset| offset.as_usize()).collect()
}

fn fields(column: &StructArray) -> Result<Vec<(Vec<u8>, Cells)>, ArrowError> {
    let names = column.column_names().into_iter();
    names
        .zip(column.columns())
        .map(|(name, values)| {
            let mut quoted = Vec::new();
            write_string(name, &mut quoted);
            quoted.push(b':');
            Ok((quoted, Cells::of(values)?))
        })
        .collect()
}
