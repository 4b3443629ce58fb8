//! Files of watches and phones, read into points: what the importers of the makers' formats have in common.
//!
//! ```text
//! file ─▶ importer (one per maker, streaming) ─▶ Sink: samples, nights, pieces and totals of days, what was skipped
//! ```
//!
//! An importer is deterministic: the same bytes give the same calls in the same order, so that an import can be taken up
//! again by reading the file from its beginning and dropping what was acknowledged before. Its memory is bounded
//! whatever the file holds.
//!
//! Not here: jobs, uploads, whose points they are; how the pieces of several files become the total of a day.

pub mod apple;
mod archive;
pub mod batch;
pub mod counter;
pub mod day;
pub mod garmin;
pub mod health_auto_export;
mod mistaken;
mod withdraw;

use std::fmt;

pub use self::withdraw::Withdrawn;

/// Who measured: the source and the device, as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Maker<'a> {
    /// The source, 1 to 64 characters.
    pub source: &'a str,
    /// The device, 1 to 128 characters, the same text for the same device in every file.
    pub device: Option<&'a str>,
}

/// One measured value, stored as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// Key of the catalogue.
    pub metric: &'static str,
    /// In the metric's canonical unit; the sink checks the bounds.
    pub value: f64,
    /// The sample's start, microseconds UTC.
    pub recorded_at: i64,
    /// Who measured it.
    pub maker: Maker<'a>,
}

/// What is stored of a night, by the order of [`Night::values`].
pub const NIGHT_METRICS: [&str; 4] = ["sleep_duration", "sleep_deep", "sleep_rem", "hrv"];

/// A sleep, of a night or a nap. All of its points stand at its end.
///
/// A night is told again when more is known of it: with a later end, with another start, by another device. Whoever stores
/// it takes back what it takes the place of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Night<'a> {
    /// The first microsecond asleep, UTC; as long before the end as the sleep is where nobody says it.
    pub start: i64,
    /// The first microsecond awake for good, UTC.
    pub end: i64,
    /// Hours asleep.
    pub asleep_h: f64,
    /// Hours of deep sleep; `None` where the maker knows no stages.
    pub deep_h: Option<f64>,
    /// Hours of REM sleep; `None` where the maker knows no stages.
    pub rem_h: Option<f64>,
    /// Heart rate variability of the whole night, RMSSD in ms.
    pub hrv_ms: Option<f64>,
    /// When the file was made that tells it, microseconds UTC; `None` where it does not say.
    pub told_at: Option<i64>,
    /// Where nights overlap, one of a lower rank counts whenever it was told: 0 for what its owner sees and corrects, 1 for
    /// what a watch wrote by itself.
    pub rank: u8,
    /// Who measured it.
    pub maker: Maker<'a>,
}

impl Night<'_> {
    /// What is stored, by [`NIGHT_METRICS`].
    pub fn values(&self) -> [Option<f64>; NIGHT_METRICS.len()] {
        [Some(self.asleep_h), self.deep_h, self.rem_h, self.hrv_ms]
    }

    /// What is stored: metric and value.
    pub fn points(&self) -> impl Iterator<Item = (&'static str, f64)> {
        NIGHT_METRICS.into_iter().zip(self.values()).filter_map(|(metric, value)| Some((metric, value?)))
    }
}

/// What the pieces of a day add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Daily {
    /// Pieces are `steps_sample`, the total is `steps`.
    Steps,
    /// Pieces are `calories_sample`, the total is `calories`: active and basal energy, kcal.
    Calories,
}

impl Daily {
    /// The metric of the pieces.
    pub fn piece_metric(self) -> &'static str {
        match self {
            Self::Steps => "steps_sample",
            Self::Calories => "calories_sample",
        }
    }

    /// The metric of the day's total.
    pub fn total_metric(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Calories => "calories",
        }
    }
}

/// A part of a day's total: so many steps, so much energy, between two moments.
///
/// Pieces of different makers may overlap; which of them counts where is decided when the total is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece<'a> {
    /// What it is a piece of.
    pub daily: Daily,
    /// Quantities that add up even where they overlap in time are of different strands: active and basal energy,
    /// a watch's counters of walking and of running. Overlaps are settled inside a strand, strands are summed.
    pub strand: u8,
    /// First microsecond, UTC; a piece is stored here.
    pub start: i64,
    /// First microsecond behind; `start` for a moment.
    pub end: i64,
    /// Steps, or kcal.
    pub value: f64,
    /// Offset from UTC of the local time that the file says, seconds east.
    pub offset_s: i32,
    /// Where pieces overlap, those of the lower rank count: 0 for a watch, 1 for a phone, 2 for anything else.
    pub rank: u8,
    /// Who counted it.
    pub maker: Maker<'a>,
}

/// What a counter that starts at nothing with every local day shows at a moment.
///
/// The readings of one day may lie in several files, in any order, so the pieces between them can be made only of all
/// that are known: [`counter::pieces`] does. Between two readings the pieces of a strand have its rank and maker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading<'a> {
    /// What is counted.
    pub daily: Daily,
    /// As in [`Piece::strand`]: one counter.
    pub strand: u8,
    /// The local day's first microsecond, UTC.
    pub start: i64,
    /// When the counter showed it: behind `start`, at most at the first microsecond of the next local day.
    pub at: i64,
    /// Steps, or kcal, since `start`.
    pub value: f64,
    /// Offset from UTC of the local time that the file says, seconds east.
    pub offset_s: i32,
    /// As in [`Piece::rank`].
    pub rank: u8,
    /// Who counted.
    pub maker: Maker<'a>,
}

/// The total of a local day as the maker says it, stored as it is.
///
/// It stands above what the pieces and readings of the same source add up to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayTotal<'a> {
    /// Of what.
    pub daily: Daily,
    /// The local day's first microsecond, UTC.
    pub start: i64,
    /// Steps, or kcal.
    pub value: f64,
    /// Who counted it.
    pub maker: Maker<'a>,
}

/// Something for us in a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found<'a> {
    /// A value.
    Sample(Sample<'a>),
    /// A sleep.
    Night(Night<'a>),
    /// A part of a day's total.
    Piece(Piece<'a>),
    /// What a counter of the day shows.
    Reading(Reading<'a>),
    /// A day's total.
    DayTotal(DayTotal<'a>),
}

/// Why an importer must end before its file does.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Somebody cancelled the import, or the server goes down.
    #[error("the import was stopped")]
    Asked,
    /// The points could not be stored.
    #[error(transparent)]
    Failed(#[from] crate::Error),
}

/// Where an importer puts what it finds: the job of an import, or a test.
///
/// An error of any method ends the reading; the importer hands it on as [`Fault::Stopped`].
pub trait Sink {
    /// Takes something.
    ///
    /// # Errors
    /// When no more may come.
    fn found(&mut self, found: Found<'_>) -> Result<(), Stop>;

    /// Something that is not taken: `reason` is one of a fixed few, in words for people; `example` says which one, and
    /// is only asked for the first time.
    fn skipped(&mut self, reason: &'static str, example: &dyn fmt::Display);

    /// So many bytes of the file (as it lies there, compressed or not) are read. Called at least once a mebibyte.
    ///
    /// # Errors
    /// When no more may come.
    fn reached(&mut self, bytes: u64) -> Result<(), Stop>;
}

/// Why a file could not be read to its end. What was found before it stands.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file is broken, or is no such file.
    #[error("broken at byte {at}: {what}")]
    Broken {
        /// Offset in the file (of a part of an archive: inside that part, which `what` names).
        at: u64,
        /// What is wrong, for people; holds nothing but what the file says.
        what: String,
    },
    /// Nothing in the file is of this maker.
    #[error("{what}")]
    Foreign {
        /// What it is instead and what to do, for people.
        what: String,
    },
    /// The file was read to its end, but parts of it are broken. Each was reported as skipped; the others stand.
    #[error("{what}")]
    Parts {
        /// The first of them, and where it breaks, for people.
        what: String,
    },
    /// The sink wanted no more.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// The file could not be read from the disk.
    #[error("reading the file: {0}")]
    Io(#[from] std::io::Error),
}
