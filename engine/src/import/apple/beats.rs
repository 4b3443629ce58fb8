//! RMSSD from the beats of a record of heart rate variability.
//!
//! Apple's own figure is SDNN. The record's beats (`<InstantaneousBeatsPerMinute bpm="65" time="11:47:49.20 PM"/>`) allow
//! RMSSD, which is another measure and is stored as another metric:
//!
//! 1. A beat's interval is the time since the beat before, where that agrees with the beat's own rate; the times have
//!    10 ms, the rate is rounded to whole beats. Where it does not agree, beats are missing between, and there is no
//!    interval, as for the first beat of a record: 60,000 / bpm is too coarse for a difference.
//! 2. Artefacts: an interval outside 300 to 2,000 ms is none, and so is one that differs by more than a fifth from the
//!    interval before it, as an extra beat does (Malik's rule).
//! 3. RMSSD is the root of the mean of the squared differences of neighboring intervals that are left, if there are at
//!    least 20; else there is none.

/// Fewer differences give no RMSSD.
const DIFFERENCES_MIN: u32 = 20;
/// Beats of one record that are read; a record lasts about a minute.
const BEATS_MAX: usize = 4_096;
/// Shortest and longest interval between beats, ms: 200 and 30 beats a minute.
const INTERVAL_MS: std::ops::RangeInclusive<f64> = 300.0..=2_000.0;
/// How much an interval may differ from the one before it.
const CHANGE_MAX: f64 = 0.2;
/// The beat's time is cut to 10 ms, and so is the one before.
const CLOCK_MS: f64 = 20.0;
/// Times are of twelve hours or of twenty-four; beats of a record are minutes apart at most.
const HALF_DAY_MS: f64 = 43_200_000.0;

/// The beats of a record.
#[derive(Debug, Default)]
pub(super) struct Beats {
    /// From the beat before to each beat, ms, where the clock and the rate agree on it.
    intervals: Vec<Option<f64>>,
    last_ms: Option<f64>,
}

impl Beats {
    /// Forgets the beats of the record before.
    pub(super) fn clear(&mut self) {
        self.intervals.clear();
        self.last_ms = None;
    }

    /// Takes a beat as the file says it. One that cannot be read leaves a gap.
    pub(super) fn add(&mut self, bpm: &str, time: &str) {
        let (Some(bpm), Some(at_ms)) = (rate(bpm), clock_ms(time)) else {
            self.last_ms = None;
            return;
        };
        if self.intervals.len() >= BEATS_MAX {
            return;
        }
        let by_rate_ms = 60_000.0 / bpm;
        // The rate is rounded: it may be half a beat off in either direction.
        let tolerance_ms = by_rate_ms * 0.5 / (bpm - 0.5) + CLOCK_MS;
        let since_ms = self.last_ms.map(|last_ms| (at_ms - last_ms).rem_euclid(HALF_DAY_MS));
        self.intervals.push(since_ms.filter(|since_ms| (since_ms - by_rate_ms).abs() <= tolerance_ms));
        self.last_ms = Some(at_ms);
    }

    /// Whether the record had none.
    pub(super) fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// RMSSD in ms, if enough of the beats are good.
    pub(super) fn rmssd(&self) -> Option<f64> {
        let (mut squares, mut count) = (0.0, 0_u32);
        for (before_ms, next_ms) in self.intervals.iter().zip(self.intervals.iter().skip(1)) {
            let (Some(before_ms), Some(next_ms)) = (before_ms, next_ms) else { continue };
            let difference_ms = next_ms - before_ms;
            let is_good = INTERVAL_MS.contains(before_ms)
                && INTERVAL_MS.contains(next_ms)
                && difference_ms.abs() <= CHANGE_MAX * before_ms;
            if is_good {
                squares += difference_ms * difference_ms;
                count += 1;
            }
        }
        (count >= DIFFERENCES_MIN).then(|| (squares / f64::from(count)).sqrt())
    }
}

/// Beats a minute, with the decimal separator of whatever language.
fn rate(text: &str) -> Option<f64> {
    let plain: String = text.chars().map(|letter| digit(letter).unwrap_or(letter)).take(16).collect();
    let bpm: f64 = plain.replace([',', '٫'], ".").trim().parse().ok()?;
    (bpm.is_finite() && bpm >= 1.0).then_some(bpm)
}

/// Milliseconds of half a day of `11:47:49.20 PM`, `23:47:49,20`, `下午11:47:49.20`, `23.47.49,20`, `١١:٤٧:٤٩٫٢٠ م`: three
/// numbers and the digits of a fraction, whatever stands between and around.
fn clock_ms(text: &str) -> Option<f64> {
    let mut numbers = [0_u32; 4];
    let mut digits = [0_i32; 4];
    let mut place = 0;
    let mut is_inside = false;
    for letter in text.chars() {
        let Some(value) = digit(letter).and_then(|digit| digit.to_digit(10)) else {
            place += usize::from(is_inside);
            is_inside = false;
            continue;
        };
        is_inside = true;
        let (number, count) = (numbers.get_mut(place)?, digits.get_mut(place)?);
        *count += 1;
        if *count > 6 {
            return None;
        }
        *number = *number * 10 + value;
    }
    let ([hour, minute, second, fraction], [h, m, s, fraction_digits]) = (numbers, digits);
    if h == 0 || m == 0 || s == 0 || hour > 24 || minute > 59 || second > 59 {
        return None;
    }
    let whole_ms = f64::from((hour % 12) * 3_600 + minute * 60 + second) * 1_000.0;
    Some(whole_ms + f64::from(fraction) * 1_000.0 / 10_f64.powi(fraction_digits))
}

/// The ASCII digit of a decimal digit of the scripts that phones write times in.
fn digit(letter: char) -> Option<char> {
    if letter.is_ascii_digit() {
        return Some(letter);
    }
    // Arabic, Persian, Devanagari, Bengali, Thai, Burmese, full width.
    let zeros = ['\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '\u{e50}', '\u{1040}', '\u{ff10}'];
    let value =
        zeros.iter().find_map(|zero| u32::from(letter).checked_sub(u32::from(*zero)).filter(|value| *value < 10));
    value.and_then(|value| char::from_digit(value, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(intervals_ms: &[f64]) -> Beats {
        let mut beats = Beats::default();
        let mut at_ms: f64 = 42_000_000.0;
        for interval_ms in intervals_ms {
            at_ms += interval_ms;
            let seconds = at_ms / 1_000.0;
            let (hour, minute) = ((seconds / 3_600.0).floor(), (seconds / 60.0).floor() % 60.0);
            let time = format!("{hour}:{minute:02}:{:05.2} AM", seconds % 60.0);
            beats.add(&format!("{:.0}", 60_000.0 / interval_ms), &time);
        }
        beats
    }

    fn near(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() < 1e-6)
    }

    #[test]
    fn the_root_of_the_mean_square_of_neighboring_differences() {
        // The first of 23 beats has no interval: 21 differences of 40 ms among the 22 behind it.
        let alternating: Vec<_> = (0..23).map(|index| if index % 2 == 0 { 800.0 } else { 840.0 }).collect();
        assert!(near(beats(&alternating).rmssd(), 40.0), "{:?}", beats(&alternating).rmssd());
        assert_eq!(beats(&alternating[..21]).rmssd(), None, "19 differences are too few");
        assert!(near(beats(&alternating[..22]).rmssd(), 40.0), "20 are enough");
        assert!(near(beats(&[800.0; 40]).rmssd(), 0.0));
    }

    #[test]
    fn an_extra_beat_and_a_missing_one_do_not_count() {
        let mut intervals = vec![800.0; 50];
        // An extra beat: a short interval and a long one after it.
        intervals[20] = 500.0;
        intervals[21] = 1_100.0;
        assert!(near(beats(&intervals).rmssd(), 0.0), "{:?}", beats(&intervals).rmssd());
        let mut gap = beats(&[800.0; 30]);
        gap.add("75", "11:59:00.00 AM");
        assert!(near(gap.rmssd(), 0.0));
        assert!(gap.intervals.last().unwrap().is_none());
        let mut slower = beats(&[800.0; 30]);
        slower.add("67", "11:59:00.00 AM");
        assert!(near(slower.rmssd(), 0.0), "beats on both sides of a gap are no neighbors");
        gap.add("nothing", "11:59:00.80 AM");
        gap.add("75", "11:59:01.60 AM");
        assert!(gap.intervals.last().unwrap().is_none(), "what cannot be read leaves a gap");
    }

    #[test]
    fn an_interval_from_a_rounded_rate_is_no_half_of_a_difference() {
        // 830 ms by the clock, 60,000 / 72 = 833.3 by the rate: 3 ms that no heart made.
        let mut found = beats(&[830.0; 23]);
        assert!(near(found.rmssd(), 0.0), "the first beat: {:?}", found.rmssd());
        for time in ["11:59:00.00 AM", "11:59:00.83 AM", "11:59:01.66 AM"] {
            found.add("72", time);
        }
        assert!(near(found.rmssd(), 0.0), "a gap: {:?}", found.rmssd());
    }

    #[test]
    fn noon_and_midnight_are_no_gaps() {
        let mut beats = Beats::default();
        beats.add("60", "11:59:59.50 PM");
        beats.add("60", "12:00:00.50 AM");
        beats.add("60", "00:00:01,50");
        assert!(beats.intervals.iter().skip(1).all(Option::is_some));
    }

    #[test]
    fn times_of_every_language_are_read() {
        let expected = Some(42_469_250.0);
        for text in [
            "11:47:49.25 PM",
            "11:47:49,25 nachm.",
            "23:47:49,25",
            "下午11:47:49.25",
            "23.47.49,25",
            "\u{200f}١١:٤٧:٤٩٫٢٥ م",
        ] {
            assert_eq!(clock_ms(text), expected, "{text}");
        }
        assert_eq!(clock_ms("11:47:49"), Some(42_469_000.0));
        for text in ["", "11:47", "25:00:00", "1:60:00", "1:00:60", "1:2:3:4:5", "1111111111:1:1"] {
            assert_eq!(clock_ms(text), None, "{text}");
        }
        assert_eq!(rate("62,5"), Some(62.5));
        assert_eq!(rate("٦٢"), Some(62.0));
        for text in ["", "0", "-60", "inf", "nan"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }

    #[test]
    fn beats_are_bounded() {
        let mut beats = Beats::default();
        for _ in 0..2 * BEATS_MAX {
            beats.add("60", "1:00:00.00 AM");
        }
        assert_eq!(beats.intervals.len(), BEATS_MAX);
        beats.clear();
        assert_eq!(beats.rmssd(), None);
    }
}
