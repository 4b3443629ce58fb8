//! One real file of a real watch, for the demo: the heart rates of a ride.
//!
//! Two traps of the FIT format: a heart rate of 0 is none (the strap had lost contact), and `temperature` of a `record`
//! is the air's, not the body's, so it is left alone.

use fitparser::profile::MesgNum;
use fitparser::{FitDataRecord, Value};

use crate::lifelike::Point;

/// The file; `assets/README.md` names its origin and licence.
pub(super) const FENIX_RIDE: &[u8] = include_bytes!("../../assets/garmin-fenix-5-bike.fit");

/// What recorded it.
pub(super) const SOURCE: &str = "Garmin Fenix 5";

/// The watch, as a device of its own.
const DEVICE: &str = "fenix-5-bike";

const SECOND_US: i64 = 1_000_000;

/// The heart rates of a FIT file, in the file's order.
///
/// # Errors
/// It is not FIT, or it was cut or damaged.
pub(super) fn heart_rates(file: &[u8]) -> Result<Vec<Point<'static>>, fitparser::Error> {
    let records = fitparser::from_bytes(file)?;
    Ok(records.iter().filter(|record| record.kind() == MesgNum::Record).filter_map(heart_rate).collect())
}

fn heart_rate(record: &FitDataRecord) -> Option<Point<'static>> {
    let recorded_at_us = match field(record, "timestamp")? {
        Value::Timestamp(at) => at.timestamp() * SECOND_US,
        _ => return None,
    };
    let beats = match field(record, "heart_rate")? {
        Value::UInt8(beats) if *beats > 0 => f64::from(*beats),
        _ => return None,
    };
    Some(Point { metric: "heart_rate", value: beats, unit: "bpm", recorded_at_us, source: SOURCE, device: DEVICE })
}

fn field<'a>(record: &'a FitDataRecord, name: &str) -> Option<&'a Value> {
    record.fields().iter().find(|field| field.name() == name).map(fitparser::FitDataField::value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ride_holds_plausible_heart_rates_in_order() {
        let points = heart_rates(FENIX_RIDE).unwrap();
        assert!(points.len() > 10, "{} points", points.len());
        assert!(points.iter().all(|point| (30.0..=220.0).contains(&point.value)));
        assert!(points.is_sorted_by_key(|point| point.recorded_at_us));
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let mut file = FENIX_RIDE.to_vec();
        let middle = file.len() / 2;
        file[middle] ^= 0xff;
        assert!(heart_rates(&file).is_err());
        assert!(heart_rates(b"not FIT").is_err());
    }
}
