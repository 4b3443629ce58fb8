//! What a field may hold, and what is said when it does not.
//!
//! A complaint is a small copyable value; its place and its words are made only when there is something to complain
//! about. Messages say what is allowed and never repeat what was sent.

use std::borrow::Cow;

use super::stream::LINE_BYTES_MAX;
use super::{DEVICE_CHARS_MAX, POINTS_MAX, SOURCE_CHARS_MAX};
use crate::catalogue::{Catalogue, Metric};
use crate::error::{FAULTS_MAX, Fault, FaultKind, Loc};
use crate::number;
use crate::time::DAY_US;

/// How far ahead of now a time may lie: clocks of watches run wrong, and time zones get lost.
pub(crate) const AHEAD_US_MAX: i64 = DAY_US;

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Complaint {
    Missing,
    NotObject,
    NotArray,
    NotString,
    NotNumber,
    /// Number of points in the body.
    PointCount(usize),
    UnknownMetric,
    /// Place of the metric whose units are said.
    UnknownUnit(u16),
    /// Place of the metric whose bounds are said.
    OutOfRange(u16),
    NotTime,
    BeforeEpoch,
    TooFarAhead,
    /// Most characters.
    Length(usize),
    ControlCharacter,
    Blank,
    NotUser,
    NotGranted,
    LineLength,
}

impl Complaint {
    fn kind(self) -> FaultKind {
        match self {
            Self::Missing => FaultKind::Missing,
            Self::NotObject | Self::NotArray | Self::NotString | Self::NotNumber => FaultKind::Type,
            _ => FaultKind::Value,
        }
    }

    fn msg(self, catalogue: &Catalogue) -> Cow<'static, str> {
        match self {
            Self::Missing => "is required".into(),
            Self::NotObject => "must be an object".into(),
            Self::NotArray => "must be an array".into(),
            Self::NotString => "must be a string".into(),
            Self::NotNumber => "must be a number".into(),
            Self::PointCount(found) => format!("must hold 1 to {POINTS_MAX} points, not {found}").into(),
            Self::UnknownMetric => "unknown metric, GET /api/v1/wearables/metrics lists the known ones".into(),
            Self::UnknownUnit(place) => catalogue.at(place).map(units_msg).unwrap_or_default().into(),
            Self::OutOfRange(place) => catalogue.at(place).map(bounds_msg).unwrap_or_default().into(),
            Self::NotTime => "must be an RFC 3339 time, such as 2026-06-01T08:30:00Z".into(),
            Self::BeforeEpoch => "must not lie before 1970-01-01T00:00:00Z".into(),
            Self::TooFarAhead => "must not lie more than 24 hours ahead of now".into(),
            Self::Length(chars_max) => format!("must have 1 to {chars_max} characters").into(),
            Self::NotGranted => "no active grant lets you write for this person".into(),
            Self::LineLength => format!("must have at most {LINE_BYTES_MAX} bytes").into(),
            Self::NotUser => "must be the id of a person, such as usr_7jRtHvBk".into(),
            Self::ControlCharacter => "must not hold control characters".into(),
            Self::Blank => "must not be blank".into(),
        }
    }
}

fn units_msg(metric: &Metric) -> String {
    let names: Vec<_> = metric.units.iter().map(|unit| format!("`{}`", unit.name)).collect();
    format!("unknown unit of {}, accepted are {}", metric.key, names.join(", "))
}

fn bounds_msg(metric: &Metric) -> String {
    let text = |bound| {
        let mut out = Vec::new();
        number::write(bound, true, &mut out);
        String::from_utf8(out).unwrap_or_default()
    };
    format!("must be between {} and {} {}", text(metric.min), text(metric.max), metric.unit)
}

/// The faults found so far, at most [`FAULTS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    /// Notes a complaint at `["body", way…]`; ignored when the list is full.
    pub(super) fn push(&mut self, way: &[Loc], complaint: Complaint, catalogue: &Catalogue) {
        if !self.is_full() {
            let loc = [&[Loc::Key("body")], way].concat();
            self.list.push(Fault { loc, msg: complaint.msg(catalogue), kind: complaint.kind() });
        }
    }

    /// Notes that the body is not JSON from `offset` on.
    pub(super) fn malformed(offset: usize, what: &'static str) -> Vec<Fault> {
        let loc = vec![Loc::Key("body"), Loc::Index(offset)];
        vec![Fault { loc, msg: format!("malformed JSON: {what}").into(), kind: FaultKind::Json }]
    }

    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= FAULTS_MAX
    }

    /// The faults, if there are any.
    pub(super) fn into_list(self) -> Option<Vec<Fault>> {
        (!self.list.is_empty()).then_some(self.list)
    }
}

/// Whether a time may be stored.
#[inline]
pub(crate) fn check_time(at_us: i64, now_us: i64) -> Result<i64, Complaint> {
    if at_us < 0 {
        Err(Complaint::BeforeEpoch)
    } else if at_us > now_us.saturating_add(AHEAD_US_MAX) {
        Err(Complaint::TooFarAhead)
    } else {
        Ok(at_us)
    }
}

/// Whether a text may be a source.
pub(crate) fn check_source(text: &str) -> Result<(), Complaint> {
    check_text(text, SOURCE_CHARS_MAX)
}

/// Whether a text may be a device id.
pub(crate) fn check_device(text: &str) -> Result<(), Complaint> {
    check_text(text, DEVICE_CHARS_MAX)
}

/// A text has 1 to `chars_max` Unicode scalar values, not all of them blanks, and no control characters (C0, DEL, C1).
fn check_text(text: &str, chars_max: usize) -> Result<(), Complaint> {
    // No more bytes than characters allowed cannot be too many characters.
    if text.is_empty() || (text.len() > chars_max && text.chars().nth(chars_max).is_some()) {
        return Err(Complaint::Length(chars_max));
    }
    if text.contains(char::is_control) {
        return Err(Complaint::ControlCharacter);
    }
    if text.starts_with(char::is_whitespace) && text.trim().is_empty() {
        return Err(Complaint::Blank);
    }
    Ok(())
}
