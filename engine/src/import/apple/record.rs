//! Records into points: heart rates, days' pieces, nights.

use std::fmt;

use quick_xml::events::BytesStart;

use super::beats::Beats;
use super::date::{Dates, Moment};
use super::kind::{Kind, Rest};
use super::maker::{Makers, Spelling};
use super::sleep::Sleep;
use crate::import::{Daily, Fault, Found, Piece, Sample, Sink, Stop};

/// Attributes of one element; Apple has nine.
const ATTRIBUTES_MAX: usize = 64;

/// Pieces that burn by moving.
pub(crate) const STRAND_ACTIVE: u8 = 0;
/// Pieces that burn at rest: summed with the active ones, never settled against them.
pub(crate) const STRAND_BASAL: u8 = 1;

/// The attributes that are read, as the file writes them; empty where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attributes<'a> {
    /// `type`
    pub(super) kind: &'a str,
    maker: Spelling<'a>,
    unit: &'a str,
    value: &'a str,
    start: &'a str,
    end: &'a str,
    bpm: &'a str,
    time: &'a str,
}

impl<'a> Attributes<'a> {
    /// Reads an element's attributes; what is wrong with them otherwise.
    #[inline]
    pub(super) fn of(element: &'a BytesStart<'_>) -> Result<Self, &'static str> {
        let mut found = Self::default();
        let mut rest = element.attributes_raw();
        for _ in 0..ATTRIBUTES_MAX {
            let Some((name, value, behind)) = attribute(rest)? else { return Ok(found) };
            rest = behind;
            let place = match name {
                "type" => &mut found.kind,
                "sourceName" => &mut found.maker.source,
                "device" => &mut found.maker.device,
                "productType" => &mut found.maker.product,
                "unit" => &mut found.unit,
                "value" => &mut found.value,
                "startDate" => &mut found.start,
                "endDate" => &mut found.end,
                "bpm" => &mut found.bpm,
                "time" => &mut found.time,
                _ => continue,
            };
            *place = value;
        }
        if attribute(rest)?.is_some() { Err("an element with more than 64 attributes") } else { Ok(found) }
    }
}

/// The next `name="value"`, and what follows it.
#[inline]
fn attribute(text: &str) -> Result<Option<(&str, &str, &str)>, &'static str> {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return Ok(None);
    }
    let (name, rest) = text.split_once('=').ok_or("an attribute without a value")?;
    let rest = rest.trim_ascii_start();
    let quote = match rest.as_bytes().first() {
        Some(b'"') => '"',
        Some(b'\'') => '\'',
        _ => return Err("an attribute's value without quotes"),
    };
    let (value, behind) = rest.get(1..).and_then(|rest| rest.split_once(quote)).ok_or("a quote without its end")?;
    Ok(Some((name.trim_ascii_end(), value, behind)))
}

/// What an example of a record that was left out says.
struct Shown<'a>(&'a Attributes<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attributes { kind, value, unit, start, .. } = *self.0;
        let kind = kind.trim_start_matches("HKQuantityTypeIdentifier").trim_start_matches("HKCategoryTypeIdentifier");
        let cut = |text: &str| text.chars().take(64).collect::<String>();
        write!(to, "{} {} {} at {}", cut(kind), cut(value), cut(unit), cut(start))
    }
}

/// A record whose beats are being read.
#[derive(Debug, Clone, Copy)]
struct Beating {
    at: i64,
    maker: usize,
}

/// Takes the records of a document.
#[derive(Debug, Default)]
pub(super) struct Records {
    makers: Makers,
    sleep: Sleep,
    starts: Dates,
    ends: Dates,
    beats: Beats,
    beating: Option<Beating>,
    /// Records of a type stand together: the last type's name, and what it is.
    last: Option<(String, Kind)>,
    /// When the phone wrote the document, microseconds UTC.
    exported_at: Option<i64>,
}

const NO_TIME: &str = "records whose time cannot be read";
const BACKWARD: &str = "records that end before they begin";
const TOO_MANY_MAKERS: &str = "records of more devices than one person has";
const UNKNOWN_SLEEP: &str = "records of sleep of a kind that is not known here";
const AWAKE: &str = "time in bed or awake, which is no sleep";
const FEW_BEATS: &str = "beats of a record that are too few or too irregular for RMSSD";

impl Records {
    /// Takes a record; with `is_empty` none of its beats follow.
    #[inline]
    pub(super) fn record(&mut self, record: &Attributes<'_>, is_empty: bool, sink: &mut dyn Sink) -> Result<(), Stop> {
        self.beating = None;
        let kind = self.kind(record.kind);
        match self.take(kind, record, is_empty, sink) {
            Ok(outcome) => outcome,
            Err(reason) => {
                sink.skipped(reason, &Shown(record));
                Ok(())
            }
        }
    }

    /// The document says when it was written.
    pub(super) fn exported(&mut self, date: &Attributes<'_>) {
        self.exported_at = self.starts.read(date.value).map(|date| date.at);
    }

    /// Takes a beat of the record that was taken last.
    pub(super) fn beat(&mut self, beat: &Attributes<'_>) {
        if self.beating.is_some() {
            self.beats.add(beat.bpm, beat.time);
        }
    }

    /// The record that was taken last ends.
    pub(super) fn end(&mut self, sink: &mut dyn Sink) -> Result<(), Stop> {
        let Some(Beating { at, maker }) = self.beating.take() else { return Ok(()) };
        if self.beats.is_empty() {
            return Ok(());
        }
        let (Some(value), Some(origin)) = (self.beats.rmssd(), self.makers.get(maker)) else {
            sink.skipped(FEW_BEATS, &crate::time::format(at));
            return Ok(());
        };
        sink.found(Found::Sample(Sample { metric: "hrv", value, recorded_at: at, maker: origin.maker() }))
    }

    /// The document ended, or broke off: gives the nights.
    pub(super) fn finish(self, is_broken: bool, sink: &mut dyn Sink) -> Result<(), Fault> {
        let is_cut_off = is_broken && self.last.is_some_and(|(_, kind)| kind == Kind::Sleep);
        self.sleep.finish(&self.makers, self.exported_at, is_cut_off, sink)
    }

    #[inline]
    fn kind(&mut self, name: &str) -> Kind {
        match &mut self.last {
            Some((last, kind)) if last == name => *kind,
            Some((last, kind)) => {
                name.clone_into(last);
                *kind = Kind::of(name);
                *kind
            }
            None => self.last.insert((name.to_owned(), Kind::of(name))).1,
        }
    }

    /// Takes a record, or says why not.
    #[inline]
    fn take(
        &mut self,
        kind: Kind,
        record: &Attributes<'_>,
        is_empty: bool,
        sink: &mut dyn Sink,
    ) -> Result<Result<(), Stop>, &'static str> {
        if let Kind::Left(reason) = kind {
            return Err(reason);
        }
        let start = self.starts.read(record.start).ok_or(NO_TIME)?;
        let metric = match kind {
            Kind::HeartRate => "heart_rate",
            Kind::OxygenSaturation => "spo2",
            Kind::RespiratoryRate => "respiratory_rate",
            Kind::BodyTemperature => "body_temperature",
            Kind::Variability => "hrv_sdnn",
            Kind::Steps => return self.piece(Daily::Steps, 0, kind, start, record, sink),
            Kind::ActiveEnergy => return self.piece(Daily::Calories, STRAND_ACTIVE, kind, start, record, sink),
            Kind::BasalEnergy => return self.piece(Daily::Calories, STRAND_BASAL, kind, start, record, sink),
            Kind::Sleep => return self.sleep(start, record).map(Ok),
            Kind::Left(reason) => return Err(reason),
        };
        let value = kind.value(record.value, record.unit)?;
        let maker = self.makers.find(record.maker).ok_or(TOO_MANY_MAKERS)?;
        let origin = self.makers.get(maker).ok_or(TOO_MANY_MAKERS)?;
        if kind == Kind::Variability && !is_empty {
            self.beats.clear();
            self.beating = Some(Beating { at: start.at, maker });
        }
        Ok(sink.found(Found::Sample(Sample { metric, value, recorded_at: start.at, maker: origin.maker() })))
    }

    #[inline]
    fn piece(
        &mut self,
        daily: Daily,
        strand: u8,
        kind: Kind,
        start: Moment,
        record: &Attributes<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Result<(), Stop>, &'static str> {
        let value = kind.value(record.value, record.unit)?;
        let end = self.end_of(start, record)?;
        let maker = self.makers.find(record.maker).ok_or(TOO_MANY_MAKERS)?;
        let origin = self.makers.get(maker).ok_or(TOO_MANY_MAKERS)?;
        Ok(sink.found(Found::Piece(Piece {
            daily,
            strand,
            start: start.at,
            end,
            value,
            offset_s: start.offset_s,
            rank: origin.rank,
            maker: origin.maker(),
        })))
    }

    fn sleep(&mut self, start: Moment, record: &Attributes<'_>) -> Result<(), &'static str> {
        let stage = match Rest::of(record.value).ok_or(UNKNOWN_SLEEP)? {
            Rest::Asleep(stage) => stage,
            Rest::Awake => return Err(AWAKE),
        };
        let end = self.end_of(start, record)?;
        let maker = self.makers.find(record.maker).ok_or(TOO_MANY_MAKERS)?;
        self.sleep.add(start.at, end, stage, maker)
    }

    #[inline]
    fn end_of(&mut self, start: Moment, record: &Attributes<'_>) -> Result<i64, &'static str> {
        let end = self.ends.read(record.end).ok_or(NO_TIME)?.at;
        if end < start.at { Err(BACKWARD) } else { Ok(end) }
    }
}
