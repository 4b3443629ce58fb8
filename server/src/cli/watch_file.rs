//! One real file of a real watch, for the demo: the heart rates of a ride.
//!
//! It is read as an import reads it, so a heart rate of 0 is none (the strap had lost contact).

use std::fmt;
use std::io::Cursor;

use engine::import::{Fault, Found, Sink, Stop, garmin};

use crate::lifelike::Point;

/// The file; `assets/README.md` names its origin and licence.
pub(super) const FENIX_RIDE: &[u8] = include_bytes!("../../assets/garmin-fenix-5-bike.fit");

/// What recorded it.
pub(super) const SOURCE: &str = "Garmin Fenix 5";

/// The watch, as a device of its own.
const DEVICE: &str = "fenix-5-bike";

/// The heart rates of a FIT file, in the file's order.
///
/// # Errors
/// It is not FIT, or it was cut or damaged.
pub(super) fn heart_rates(file: &[u8]) -> Result<Vec<Point<'static>>, Fault> {
    let mut ride = Ride::default();
    garmin::read(Cursor::new(file), &mut ride)?;
    Ok(ride.points)
}

/// Keeps the heart rates of what it gets.
#[derive(Debug, Default)]
struct Ride {
    points: Vec<Point<'static>>,
}

impl Sink for Ride {
    fn found(&mut self, found: Found<'_>) -> Result<(), Stop> {
        if let Found::Sample(sample) = found
            && sample.metric == "heart_rate"
        {
            let recorded_at_us = sample.recorded_at;
            let (value, source, device) = (sample.value, SOURCE, DEVICE);
            self.points.push(Point { metric: "heart_rate", value, unit: "bpm", recorded_at_us, source, device });
        }
        Ok(())
    }

    fn skipped(&mut self, _: &'static str, _: &dyn fmt::Display) {}

    fn reached(&mut self, _: u64) -> Result<(), Stop> {
        Ok(())
    }
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
