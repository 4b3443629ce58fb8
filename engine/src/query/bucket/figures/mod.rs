//! The figures of one bucket, while its points go by in ascending order.
//!
//! Sums are compensated (Neumaier), the deviation is Welford's: both stay right where many values of one size meet a
//! few of another. Percentiles need the values themselves: up to [`VALUES_MAX`] as they come, beyond that as counted
//! runs of equal values, of which a watch has few.

use crate::query::Aggregate;

/// Values kept before they are counted.
const VALUES_MAX: usize = 65_536;

/// Sums that grow side by side.
const SUMS: usize = 4;

/// What the wanted figures need beside count, sum, least, greatest, first and last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    spread: bool,
    values: bool,
}

impl Needs {
    /// Of these figures.
    pub(crate) fn of(aggregates: &[Aggregate]) -> Self {
        Self {
            spread: aggregates.contains(&Aggregate::Stddev),
            values: aggregates.iter().any(|figure| matches!(figure, Aggregate::P50 | Aggregate::P95)),
        }
    }
}

/// A sum that carries what rounding lost (Neumaier's variant of Kahan's algorithm).
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    #[inline]
    fn add(&mut self, value: f64) {
        let next = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() { (self.sum - next) + value } else { (value - next) + self.sum };
        self.sum = next;
    }

    /// Adds another sum.
    fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// Adds values, in several sums side by side: one alone would wait for each addition.
    fn add_all(&mut self, values: &[f64]) {
        let (groups, rest) = values.as_chunks::<SUMS>();
        let mut sums = [Self::default(); SUMS];
        for group in groups {
            for (sum, value) in sums.iter_mut().zip(group) {
                sum.add(*value);
            }
        }
        for value in rest {
            self.add(*value);
        }
        if !groups.is_empty() {
            for sum in sums {
                self.merge(sum);
            }
        }
    }

    fn total(self) -> f64 {
        self.sum + self.lost
    }
}

/// Least and greatest of values and of those before; side by side, as the sums.
fn bounds(values: &[f64], (min, max): (f64, f64)) -> (f64, f64) {
    let less = |a: f64, b: f64| if b < a { b } else { a };
    let more = |a: f64, b: f64| if b > a { b } else { a };
    let (groups, rest) = values.as_chunks::<SUMS>();
    let (mut mins, mut maxes) = ([min; SUMS], [max; SUMS]);
    for group in groups {
        for ((min, max), value) in mins.iter_mut().zip(&mut maxes).zip(group) {
            *min = less(*min, *value);
            *max = more(*max, *value);
        }
    }
    let all = |side: [f64; SUMS], pick: fn(f64, f64) -> f64, first: f64| {
        side.iter().chain(rest).fold(first, |a, b| pick(a, *b))
    };
    (all(mins, less, min), all(maxes, more, max))
}

/// The figures so far.
#[derive(Debug)]
pub(crate) struct Figures {
    needs: Needs,
    count: u64,
    sum: Sum,
    min: f64,
    max: f64,
    first: f64,
    last: f64,
    mean: f64,
    squares: f64,
    values: Vec<f64>,
    /// Value and how often, ascending.
    runs: Vec<(f64, u64)>,
}

impl Figures {
    /// Of no points.
    pub(crate) fn new(needs: Needs) -> Self {
        Self {
            needs,
            count: 0,
            sum: Sum::default(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            first: 0.0,
            last: 0.0,
            mean: 0.0,
            squares: 0.0,
            values: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Begins the next bucket, keeps the memory.
    pub(crate) fn clear(&mut self) {
        let (mut values, mut runs) = (std::mem::take(&mut self.values), std::mem::take(&mut self.runs));
        values.clear();
        runs.clear();
        *self = Self { values, runs, ..Self::new(self.needs) };
    }

    /// Number of points.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Adds values that follow those before.
    pub(crate) fn add(&mut self, values: &[f64]) {
        let (Some(first), Some(last)) = (values.first(), values.last()) else { return };
        if self.count == 0 {
            self.first = *first;
        }
        self.last = *last;
        if self.needs.spread {
            self.add_spread(values);
        }
        if self.needs.values {
            self.add_values(values);
        }
        self.count += values.len() as u64;
        self.sum.add_all(values);
        (self.min, self.max) = bounds(values, (self.min, self.max));
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 points")]
    fn add_spread(&mut self, values: &[f64]) {
        for (seen, value) in (self.count + 1..).zip(values) {
            let delta = value - self.mean;
            self.mean += delta / seen as f64;
            self.squares += delta * (value - self.mean);
        }
    }

    fn add_values(&mut self, values: &[f64]) {
        for chunk in values.chunks(VALUES_MAX) {
            if self.values.len() + chunk.len() > VALUES_MAX {
                self.count_values();
            }
            self.values.extend_from_slice(chunk);
        }
    }

    /// Moves the kept values into the counted runs.
    fn count_values(&mut self) {
        self.values.sort_unstable_by(f64::total_cmp);
        let mut runs: Vec<(f64, u64)> = Vec::with_capacity(self.runs.len());
        let mut counted = std::mem::take(&mut self.runs).into_iter().peekable();
        let mut values = self.values.drain(..).map(|value| (value, 1)).peekable();
        loop {
            let next = match (counted.peek(), values.peek()) {
                (Some(run), Some(value)) if run.0.total_cmp(&value.0).is_le() => counted.next(),
                (Some(_), None) => counted.next(),
                _ => values.next(),
            };
            let Some((value, times)) = next else { break };
            match runs.last_mut() {
                Some(run) if run.0.total_cmp(&value).is_eq() => run.1 += times,
                _ => runs.push((value, times)),
            }
        }
        drop(values);
        self.runs = runs;
    }

    /// One figure; `None` where it is not defined. Needs at least one point.
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 points")]
    pub(crate) fn get(&mut self, aggregate: Aggregate) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let figure = match aggregate {
            Aggregate::Avg => self.sum.total() / self.count as f64,
            Aggregate::Min => self.min,
            Aggregate::Max => self.max,
            Aggregate::Sum => self.sum.total(),
            Aggregate::Count => self.count as f64,
            Aggregate::First => self.first,
            Aggregate::Last => self.last,
            Aggregate::P50 => self.percentile(50)?,
            Aggregate::P95 => self.percentile(95)?,
            Aggregate::Stddev if self.count < 2 => return None,
            Aggregate::Stddev => (self.squares / (self.count - 1) as f64).max(0.0).sqrt(),
        };
        figure.is_finite().then_some(figure)
    }

    /// Linear interpolation between the two values around place `(count - 1) * percent / 100`.
    #[expect(clippy::cast_precision_loss, reason = "a remainder below 100")]
    fn percentile(&mut self, percent: u64) -> Option<f64> {
        let place = (self.count - 1).checked_mul(percent)?;
        let (below, part) = (place / 100, (place % 100) as f64 / 100.0);
        let low = self.nth(below)?;
        if part == 0.0 {
            return Some(low);
        }
        let high = self.nth(below + 1)?;
        Some(low + (high - low) * part)
    }

    /// The value at a place in ascending order.
    fn nth(&mut self, place: u64) -> Option<f64> {
        if self.runs.is_empty() {
            let place = usize::try_from(place).ok().filter(|place| *place < self.values.len())?;
            return Some(*self.values.select_nth_unstable_by(place, f64::total_cmp).1);
        }
        if !self.values.is_empty() {
            self.count_values();
        }
        let mut before = 0;
        self.runs
            .iter()
            .find(|run| {
                before += run.1;
                place < before
            })
            .map(|run| run.0)
    }
}

#[cfg(test)]
mod tests;
