//! Pieces of a day from the readings of a counter that starts at nothing with the local day.
//!
//! ```text
//! readings   08:00 → 0, 09:00 → 800, 12:00 → 800, 12:15 → 1,100        (of any number of files, in any order)
//! pieces     08:00 to 09:00: 800                  12:00 to 12:15: 300   sum: the highest reading
//! ```
//!
//! Not here: which readings are known.

/// So much was counted between two moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    /// First microsecond, UTC.
    pub start: i64,
    /// First microsecond behind.
    pub end: i64,
    /// How much, above nothing.
    pub value: f64,
}

/// Returns what was counted between the readings of one counter and one local day: in order, without overlap, their sum
/// the highest reading.
///
/// `readings` are moments (microseconds UTC) behind `day_start` and what the counter showed, ordered by time; of two at
/// the same moment only the higher should be kept. A counter does not fall during its day: a lower reading behind a higher one counts nothing. Cost: one
/// pass, no allocation.
pub fn pieces(day_start: i64, readings: &[(i64, f64)]) -> impl Iterator<Item = Counted> + '_ {
    let mut before = (day_start, 0.0);
    readings.iter().filter_map(move |&(at, value)| {
        let piece = Counted { start: before.0, end: at, value: value - before.1 };
        if value >= before.1 && at > before.0 {
            before = (at, value);
        }
        (piece.value > 0.0 && piece.end > piece.start).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(readings: &[(i64, f64)]) -> Vec<(i64, i64, f64)> {
        pieces(100, readings).map(|piece| (piece.start, piece.end, piece.value)).collect()
    }

    #[test]
    fn what_is_counted_lies_between_the_readings_and_adds_up_to_the_highest() {
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(500, 800.0)]), [(100, 500, 800.0)]);
        assert_eq!(
            of(&[(200, 0.0), (300, 800.0), (600, 800.0), (615, 1_100.0)]),
            [(200, 300, 800.0), (600, 615, 300.0)]
        );
    }

    #[test]
    fn a_counter_that_seems_to_fall_counts_nothing_twice() {
        assert_eq!(of(&[(200, 500.0), (300, 20.0), (400, 600.0)]), [(100, 200, 500.0), (200, 400, 100.0)]);
        assert_eq!(of(&[(200, 400.0), (200, 500.0), (300, 510.0)]), [(100, 200, 400.0), (200, 300, 110.0)]);
    }
}
