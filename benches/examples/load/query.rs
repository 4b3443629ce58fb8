//! The three questions, their answers checked against what was generated.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use benches::SplitMix;
use serde_json::Value;
use server::lifelike::Fleet;

use crate::Result;
use crate::client::{Connection, Head};

const DAY_US: i64 = 86_400_000_000;
/// The metric of the window and the buckets.
const METRIC: &str = "heart_rate";
/// Largest relative error of a mean: the order of summation is the server's.
const MEAN_ERROR_MAX: f64 = 1e-9;

/// One of the three questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// The newest value of every metric.
    Latest,
    /// Thirty days of heart rate, point by point.
    Window,
    /// The same days' means, least and greatest.
    Bucket,
}

/// All three.
pub(crate) const QUESTIONS: [Question; 3] = [Question::Latest, Question::Window, Question::Bucket];

impl Question {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest of all metrics",
            Self::Window => "30 days of raw heart rate",
            Self::Bucket => "daily avg/min/max of 30 days",
        }
    }

    /// The request of the owner of `key`, about `[start_us, end_us)`.
    pub(crate) fn head(self, host: &str, key: &str, start_us: i64, end_us: i64) -> Result<Head> {
        let start = jiff::Timestamp::from_microsecond(start_us)?;
        let end = jiff::Timestamp::from_microsecond(end_us)?;
        let window = format!("/api/v1/wearables/metric/{METRIC}?start={start}&end={end}");
        let path = match self {
            Self::Latest => "/api/v1/wearables/latest".to_owned(),
            Self::Window => window,
            Self::Bucket => format!("{window}&bucket=1d&agg=avg,min,max"),
        };
        Ok(Head::get(host, &path, Some(key)))
    }
}

/// One answer, timed.
fn ask(connection: &mut Connection, head: &Head) -> Result<u64> {
    let start = Instant::now();
    let status = connection.get(head)?;
    let ns = u64::try_from(start.elapsed().as_nanos())?;
    if status == 200 {
        return Ok(ns);
    }
    let body = String::from_utf8_lossy(connection.body()).into_owned();
    Err(format!("a question was answered {status}: {body}").into())
}

/// Asks `count` times over one connection, each time for a person at random: nanoseconds of each.
pub(crate) fn one_by_one(address: SocketAddr, heads: &[Head], count: usize) -> Result<Vec<u64>> {
    let mut connection = Connection::open(address)?;
    let mut random = SplitMix::new(1);
    (0..count).map(|_| ask(&mut connection, pick(heads, &mut random)?)).collect()
}

/// Asks over one connection, each time for a person at random, until told to stop: nanoseconds of each.
pub(crate) fn until(address: SocketAddr, heads: &[Head], stop: &AtomicBool) -> Result<Vec<u64>> {
    let mut connection = Connection::open(address)?;
    let mut random = SplitMix::new(1);
    let mut answers_ns = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        answers_ns.push(ask(&mut connection, pick(heads, &mut random)?)?);
    }
    Ok(answers_ns)
}

/// Asks once for each person, so that nothing is asked for the first time later on.
pub(crate) fn of_everybody(address: SocketAddr, heads: &[Head]) -> Result<()> {
    let mut connection = Connection::open(address)?;
    heads.iter().try_for_each(|head| ask(&mut connection, head).map(drop))
}

/// Asks over many connections for `time`: answers a second.
pub(crate) fn throughput(address: SocketAddr, heads: &[Head], connections: usize, time: Duration) -> Result<f64> {
    let start = Instant::now();
    let counts = crate::ingest::in_threads(connections, |own| {
        let mut connection = Connection::open(address)?;
        let mut random = SplitMix::new(own as u64);
        let mut count = 0_u64;
        while start.elapsed() < time {
            ask(&mut connection, pick(heads, &mut random)?)?;
            count += 1;
        }
        Ok(count)
    })?;
    Ok(counts.iter().sum::<u64>() as f64 / start.elapsed().as_secs_f64())
}

/// Asks `per_second` times a second until told to stop. A question that waits because the one before it is late is
/// timed from when it was due, so that a pause of the server counts for all that it held up.
pub(crate) fn paced(address: SocketAddr, heads: &[Head], per_second: u32, stop: &AtomicBool) -> Result<Vec<u64>> {
    let mut connection = Connection::open(address)?;
    let mut random = SplitMix::new(u64::from(per_second));
    let interval = Duration::from_secs(1) / per_second;
    let mut due = Instant::now();
    let mut answers_ns = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        due += interval;
        let late = due.elapsed();
        if late.is_zero() {
            std::thread::sleep(due - Instant::now());
        }
        let ns = ask(&mut connection, pick(heads, &mut random)?)?;
        answers_ns.push(ns + u64::try_from(late.as_nanos())?);
    }
    Ok(answers_ns)
}

fn pick<'a>(heads: &'a [Head], random: &mut SplitMix) -> Result<&'a Head> {
    let index = usize::try_from(random.below(heads.len() as u64))?;
    Ok(heads.get(index).ok_or("nobody to ask for")?)
}

/// What is true of one person.
pub(crate) struct Truth {
    source: String,
    /// Values by time, by metric.
    values: BTreeMap<&'static str, BTreeMap<i64, f64>>,
    start_us: i64,
    end_us: i64,
}

impl Truth {
    /// Makes a person's points again.
    pub(crate) fn of(fleet: &Fleet, person: u32, start_us: i64, end_us: i64) -> Self {
        let person = fleet.person(person);
        let mut values: BTreeMap<&'static str, BTreeMap<i64, f64>> = BTreeMap::new();
        for point in person.points() {
            values.entry(point.metric).or_default().insert(point.recorded_at_us, point.value);
        }
        Self { source: person.source().to_owned(), values, start_us, end_us }
    }

    /// Asks a question and compares the answer: nanoseconds, or what differs.
    pub(crate) fn check(&self, connection: &mut Connection, question: Question, head: &Head) -> Result<u64> {
        let ns = ask(connection, head)?;
        let answer: Value = serde_json::from_slice(connection.body())?;
        match question {
            Question::Latest => self.check_latest(&answer)?,
            Question::Window => self.check_window(&answer)?,
            Question::Bucket => self.check_buckets(&answer)?,
        }
        Ok(ns)
    }

    fn check_latest(&self, answer: &Value) -> Result<()> {
        let found = answer["latest"].as_object().ok_or("no `latest` in the answer")?;
        if found.len() != self.values.len() {
            return Err(format!("latest names {} metrics instead of {}", found.len(), self.values.len()).into());
        }
        for (metric, values) in &self.values {
            let found = found.get(*metric).ok_or_else(|| format!("latest does not name {metric}"))?;
            let newest = values.last_key_value().map(|(at, value)| (*at, value.to_bits()));
            if newest != Some((time_of(found)?, bits_of(found)?)) {
                return Err(format!("latest of {metric} is {found} instead of {newest:?}").into());
            }
        }
        Ok(())
    }

    fn check_window(&self, answer: &Value) -> Result<()> {
        let found = answer["data_points"].as_array().ok_or("no `data_points` in the answer")?;
        let count = self.heart_rates().count();
        if found.len() != count {
            return Err(format!("the window has {} points instead of {count}", found.len()).into());
        }
        for (point, (at, value)) in found.iter().zip(self.heart_rates().rev()) {
            let is_right = time_of(point)? == at
                && bits_of(point)? == value.to_bits()
                && point["source"].as_str() == Some(self.source.as_str());
            if !is_right {
                return Err(format!("the window has {point} instead of {value} at {at} µs").into());
            }
        }
        Ok(())
    }

    fn check_buckets(&self, answer: &Value) -> Result<()> {
        let mut days: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for (at, value) in self.heart_rates() {
            days.entry(at.div_euclid(DAY_US) * DAY_US).or_default().push(value);
        }
        let found = answer["buckets"].as_array().ok_or("no `buckets` in the answer")?;
        if found.len() != days.len() {
            return Err(format!("{} buckets instead of {}", found.len(), days.len()).into());
        }
        for (bucket, (start, values)) in found.iter().zip(days.iter().rev()) {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let figure = |name: &str| bucket[name].as_f64().unwrap_or(f64::NAN);
            let is_right = parse_time(&bucket["start"])? == *start
                && (figure("avg") - mean).abs() <= mean.abs() * MEAN_ERROR_MAX
                && figure("min").to_bits() == least.to_bits()
                && figure("max").to_bits() == greatest.to_bits();
            if !is_right {
                return Err(format!("bucket {bucket} instead of {start} µs: {mean}, {least}, {greatest}").into());
            }
        }
        Ok(())
    }

    fn heart_rates(&self) -> impl DoubleEndedIterator<Item = (i64, f64)> {
        let values = self.values.get(METRIC).into_iter();
        values.flat_map(|values| values.range(self.start_us..self.end_us)).map(|(at, value)| (*at, *value))
    }
}

fn time_of(point: &Value) -> Result<i64> {
    parse_time(&point["recorded_at"])
}

fn bits_of(point: &Value) -> Result<u64> {
    Ok(point["value"].as_f64().ok_or("a point without value")?.to_bits())
}

fn parse_time(text: &Value) -> Result<i64> {
    Ok(text.as_str().ok_or("a time is missing")?.parse::<jiff::Timestamp>()?.as_microsecond())
}
