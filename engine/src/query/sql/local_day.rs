//! `local_day(time, zone)`: the date on the clocks of a time zone.
//!
//! Neighbouring points share their offset from UTC, so that it is looked up where the clocks change, not once a row.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Date32Array};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use jiff::tz::TimeZone;

use crate::query::BucketWidth;
use crate::query::bucket::grid::Grid;
use crate::time::DAY_US;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct LocalDay {
    signature: Signature,
}

impl LocalDay {
    /// As it is called.
    pub(super) const NAME: &str = "local_day";

    /// Takes a time and the IANA name of a zone.
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl ScalarUDFImpl for LocalDay {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let is_text = |kind: &DataType| match kind {
            DataType::Dictionary(_, values) => values.is_string(),
            other => other.is_string() || other.is_null(),
        };
        match given {
            [DataType::Timestamp(..) | DataType::Date32 | DataType::Null, zone] if is_text(zone) => {
                Ok(vec![micros(), DataType::Utf8])
            }
            _ => plan_err!(
                "local_day takes a time and the name of a time zone, as in local_day(recorded_at, 'Europe/Berlin')"
            ),
        }
    }

    fn return_type(&self, _given: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [times, zone] = args.args.as_slice() else { return exec_err!("local_day takes two arguments") };
        let name = match zone {
            ColumnarValue::Scalar(scalar) => scalar.try_as_str().flatten().map(str::to_owned),
            ColumnarValue::Array(_) => return exec_err!("the time zone of local_day must be the same in all rows"),
        };
        let Some(name) = name else { return Ok(ColumnarValue::Scalar(ScalarValue::Date32(None))) };
        let zone = TimeZone::get(&name).map_err(|_| unknown(&name))?;
        let is_scalar = matches!(times, ColumnarValue::Scalar(_));
        let times = times.to_array(if is_scalar { 1 } else { args.number_rows })?;
        let days = days(&times, zone)?;
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&days, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(days)))
    }
}

fn unknown(name: &str) -> DataFusionError {
    let name: String = name.chars().take(64).collect();
    DataFusionError::Execution(format!("`{name}` is not a time zone of the IANA database, such as `Europe/Berlin`"))
}

fn days(times: &dyn Array, zone: TimeZone) -> Result<Date32Array> {
    let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
        return exec_err!("local_day takes a time");
    };
    let mut grid = Grid::new(BucketWidth::Day, zone);
    // Where the steady range is known, a day is an addition and a division.
    let (mut start, mut end, mut offset_us) = (0, 0, 0);
    let mut day_of = |at_us: i64| {
        if at_us < start || at_us >= end {
            let steady = grid.steady(at_us).map_err(|error| DataFusionError::Execution(error.to_string()))?;
            (start, end, offset_us) = (steady.start, steady.end, steady.offset_us);
        }
        let day = at_us.saturating_add(offset_us).div_euclid(DAY_US);
        i32::try_from(day).map_err(|_| DataFusionError::Execution("a time has no date".to_owned()))
    };
    if times.null_count() > 0 {
        return times.iter().map(|at_us| at_us.map(&mut day_of).transpose()).collect();
    }
    let days: Vec<i32> = times.values().iter().map(|at_us| day_of(*at_us)).collect::<Result<_>>()?;
    Ok(days.into())
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;

    use super::*;

    /// The dates of times in RFC 3339.
    fn dates(zone: &str, times: &[&str]) -> Vec<String> {
        let times: TimestampMicrosecondArray =
            times.iter().map(|time| crate::time::parse(time).unwrap()).collect::<Vec<_>>().into();
        let days = days(&times.with_timezone("UTC"), TimeZone::get(zone).unwrap()).unwrap();
        days.values()
            .iter()
            .map(|day| format!("{}", jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(*day)))
            .collect()
    }

    #[test]
    fn a_day_is_the_one_on_local_clocks_also_where_they_change() {
        let times = [
            "2026-03-28T22:59:59Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T21:59:59Z",
            "2026-03-29T22:00:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T22:59:59Z",
            "2026-10-25T23:00:00Z",
            "1890-01-01T00:00:00Z",
        ];
        let berlin = [
            "2026-03-28",
            "2026-03-29",
            "2026-03-29",
            "2026-03-30",
            "2026-10-25",
            "2026-10-25",
            "2026-10-26",
            "1890-01-01",
        ];
        assert_eq!(dates("Europe/Berlin", &times), berlin);
        let utc: Vec<&str> = times.iter().map(|time| &time[..10]).collect();
        assert_eq!(dates("UTC", &times), utc);
    }

    #[test]
    fn every_hour_of_years_has_the_calendars_date() {
        for zone in ["America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"] {
            let tz = TimeZone::get(zone).unwrap();
            let times: Vec<i64> = (0..3 * 366 * 24).map(|hour| 1_735_689_600_000_000 + hour * 3_600_000_000).collect();
            let array: TimestampMicrosecondArray = times.clone().into();
            let found = days(&array, tz.clone()).unwrap();
            for (at_us, day) in times.iter().zip(found.values()) {
                let date = tz.to_datetime(jiff::Timestamp::from_microsecond(*at_us).unwrap()).date();
                assert_eq!(jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(*day), date, "{zone} {at_us}");
            }
        }
    }
}
