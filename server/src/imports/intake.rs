//! What an importer finds, sorted by where it goes: points into batches; nights, pieces and totals of days to be kept.

use std::fmt;

use engine::import::batch::{Collector, Refusal};
use engine::import::day::PIECE_US_MAX;
use engine::import::{self, Daily, DayTotal, Found, Maker, NIGHT_METRICS, Piece, Reading, Sample};
use engine::{Catalogue, Engine, time};
use storage::{PointBatch, UserId};

use super::nights::{Heard, NIGHT_US_MAX, Night};
use super::packed::Item;
use super::report::{Report, Tally};

/// Points of one batch: few enough that the log is not held up by one.
const BATCH_POINTS: usize = 16_384;

/// Nights, pieces and totals that are kept together, in one transaction.
const HELD_MAX: usize = 16_384;

/// Furthest that local time is from UTC, seconds.
const OFFSET_S_MAX: i32 = 18 * 3_600;

/// Makers of one batch, and of pieces that are kept together.
const OWNERS_MAX: usize = 256;

/// Greatest rank of a maker.
const RANK_MAX: u8 = 127;

const BAD_PIECE: &str = "a part of a day that ends before it begins, or is longer than two days";

/// Who counted; an empty device is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) source: String,
    pub(super) device: String,
}

impl Owner {
    fn of(maker: Maker<'_>) -> Self {
        Self { source: maker.source.to_owned(), device: maker.device.unwrap_or_default().to_owned() }
    }

    pub(super) fn maker(&self) -> Maker<'_> {
        Maker { source: &self.source, device: (!self.device.is_empty()).then_some(self.device.as_str()) }
    }

    fn is(&self, maker: Maker<'_>) -> bool {
        self.source == maker.source && self.device == maker.device.unwrap_or_default()
    }
}

/// A piece or reading that is to be kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Held {
    pub(super) daily: Daily,
    /// Index into the owners.
    pub(super) owner: usize,
    pub(super) item: Item,
}

/// A day's total that the maker says, to be remembered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    pub(super) daily: Daily,
    pub(super) start: i64,
    pub(super) value: f64,
}

/// What is to be kept of days.
#[derive(Debug, Default)]
pub(super) struct Days {
    pub(super) held: Vec<Held>,
    pub(super) owners: Vec<Owner>,
    pub(super) said: Vec<Said>,
}

/// Takes what is found of one person.
#[derive(Debug)]
pub(super) struct Intake {
    user: UserId,
    catalogue: Catalogue,
    collector: Collector,
    nights: Vec<Heard>,
    days: Days,
    owner: usize,
    tally: Tally,
}

impl Intake {
    /// Goes on with a report.
    pub(super) fn new(engine: &Engine, user: UserId, report: Report) -> Self {
        let catalogue = engine.catalogue().clone();
        let tally = Tally::new(&catalogue, report);
        let (nights, days) = (Vec::new(), Days::default());
        Self { user, collector: engine.collector(), catalogue, nights, days, owner: 0, tally }
    }

    /// Takes something, or notes why not.
    pub(super) fn found(&mut self, found: Found<'_>) {
        let taken = match found {
            Found::Sample(sample) => self.sample(&sample),
            Found::Night(night) => self.night(&night),
            Found::Piece(piece) => self.piece(&piece),
            Found::Reading(reading) => self.reading(&reading),
            Found::DayTotal(total) => self.total(&total),
        };
        if let Err(reason) = taken {
            self.tally.skip(reason, &Example(found));
        }
    }

    /// Notes that something is skipped.
    pub(super) fn skip(&mut self, reason: &str, example: &dyn fmt::Display) {
        self.tally.skip(reason, example);
    }

    fn sample(&mut self, sample: &Sample<'_>) -> Result<(), &'static str> {
        let Sample { metric, value, recorded_at, maker } = *sample;
        let place = self.collector.push(metric, value, recorded_at, maker).map_err(Refusal::reason)?;
        self.tally.take(place, 1);
        Ok(())
    }

    /// Holds a night. Its points are counted when it is kept, and stands.
    fn night(&mut self, found: &import::Night<'_>) -> Result<(), &'static str> {
        let import::Night { start, end, told_at, rank, maker, .. } = *found;
        self.collector.check("sleep_duration", found.asleep_h, end).map_err(Refusal::reason)?;
        Collector::check_maker(maker).map_err(Refusal::reason)?;
        let mut values = found.values();
        for (metric, value) in NIGHT_METRICS.into_iter().zip(&mut values) {
            let Some(said) = *value else { continue };
            if let Err(refusal) = self.collector.check(metric, said, end) {
                self.tally.skip(refusal.reason(), &format_args!("{metric} {said} at {}", time::format(end)));
                *value = None;
            }
        }
        let start = start.clamp(end.saturating_sub(NIGHT_US_MAX), end.saturating_sub(1));
        let owner = Owner::of(maker);
        self.nights.push(Heard { night: Night { owner, start, end, told_at: 0, rank, values }, told_at });
        Ok(())
    }

    fn piece(&mut self, piece: &Piece<'_>) -> Result<(), &'static str> {
        let Piece { daily, strand, start, end, value, offset_s, rank, maker } = *piece;
        // A moment has the shortest time there is.
        let end = if end == start { start.saturating_add(1) } else { end };
        self.hold(daily, maker, Item { is_reading: false, strand, rank, start, end, value, offset_s })
    }

    fn reading(&mut self, reading: &Reading<'_>) -> Result<(), &'static str> {
        let Reading { daily, strand, start, at, value, offset_s, rank, maker } = *reading;
        self.hold(daily, maker, Item { is_reading: true, strand, rank, start, end: at, value, offset_s })
    }

    fn hold(&mut self, daily: Daily, maker: Maker<'_>, item: Item) -> Result<(), &'static str> {
        let place = self.collector.check(daily.piece_metric(), item.value, item.start).map_err(Refusal::reason)?;
        if !item.end.checked_sub(item.start).is_some_and(|length| (1..=PIECE_US_MAX).contains(&length)) {
            return Err(BAD_PIECE);
        }
        let owner = self.owner(maker).map_err(Refusal::reason)?;
        let offset_s = item.offset_s.clamp(-OFFSET_S_MAX, OFFSET_S_MAX);
        let item = Item { value: item.value + 0.0, offset_s, rank: item.rank.min(RANK_MAX), ..item };
        self.days.held.push(Held { daily, owner, item });
        self.tally.take(place, 1);
        Ok(())
    }

    fn total(&mut self, total: &DayTotal<'_>) -> Result<(), &'static str> {
        let DayTotal { daily, start, value, maker } = *total;
        // The total is the person's, whatever device it comes from.
        let maker = Maker { device: None, ..maker };
        let place = self.collector.push(daily.total_metric(), value, start, maker).map_err(Refusal::reason)?;
        self.days.said.push(Said { daily, start, value });
        self.tally.take(place, 1);
        Ok(())
    }

    fn owner(&mut self, maker: Maker<'_>) -> Result<usize, Refusal> {
        if self.days.owners.get(self.owner).is_some_and(|owner| owner.is(maker)) {
            return Ok(self.owner);
        }
        self.owner = if let Some(found) = self.days.owners.iter().position(|owner| owner.is(maker)) {
            found
        } else {
            Collector::check_maker(maker)?;
            self.days.owners.push(Owner::of(maker));
            self.days.owners.len() - 1
        };
        Ok(self.owner)
    }

    /// A point of a night, of a piece or of a total that was made here. Counted by the caller, if at all.
    pub(super) fn point(&mut self, metric: &str, value: f64, at: i64, maker: Maker<'_>) -> Option<u16> {
        match self.collector.push(metric, value, at, maker) {
            Ok(place) => Some(place),
            Err(refusal) => {
                let example = format_args!("{metric} {value} at {}", time::format(at)).to_string();
                self.tally.skip(refusal.reason(), &example);
                None
            }
        }
    }

    /// Counts points of a metric.
    pub(super) fn count(&mut self, place: u16) {
        self.tally.take(place, 1);
    }

    /// The points that wait, if they are enough for a batch.
    ///
    /// # Errors
    /// As [`Collector::take`].
    pub(super) fn ripe(&mut self) -> engine::Result<Option<PointBatch>> {
        let is_ripe = self.collector.len() >= BATCH_POINTS || self.collector.makers() >= OWNERS_MAX;
        if is_ripe { self.rest() } else { Ok(None) }
    }

    /// The points that wait.
    ///
    /// # Errors
    /// As [`Collector::take`].
    pub(super) fn rest(&mut self) -> engine::Result<Option<PointBatch>> {
        self.collector.take(self.user)
    }

    /// Whether so much waits to be kept of nights and days that it should be.
    pub(super) fn is_full(&self) -> bool {
        let held = self.days.held.len() + self.days.said.len() + self.nights.len();
        held >= HELD_MAX || self.days.owners.len() >= OWNERS_MAX
    }

    /// The nights that were found; the intake forgets them.
    pub(super) fn nights(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.nights)
    }

    /// What is to be kept of days; the intake forgets it.
    pub(super) fn days(&mut self) -> Days {
        self.owner = 0;
        std::mem::take(&mut self.days)
    }

    /// The report until now.
    pub(super) fn report(&self) -> Report {
        self.tally.report(&self.catalogue)
    }
}

/// Something that is skipped, for people.
struct Example<'a>(Found<'a>);

impl fmt::Display for Example<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (metric, value, at) = match self.0 {
            Found::Sample(sample) => (sample.metric, sample.value, sample.recorded_at),
            Found::Night(night) => ("sleep_duration", night.asleep_h, night.end),
            Found::Piece(piece) => (piece.daily.piece_metric(), piece.value, piece.start),
            Found::Reading(reading) => (reading.daily.piece_metric(), reading.value, reading.at),
            Found::DayTotal(total) => (total.daily.total_metric(), total.value, total.start),
        };
        write!(f, "{metric} {value} at {}", time::format(at))
    }
}
