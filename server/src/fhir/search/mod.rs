//! Searches for observations: what is asked, one page of it after the other.
//!
//! ```text
//! query, form ─▶ Parameters (known ones) ─▶ Search (what is asked) ─▶ access ─▶ page ─▶ Bundle
//! next link ─▶ unsealed: the Search, and the Place behind which it goes on ──────┘
//! ```
//!
//! A link to the next page holds the whole search and a place in its order, sealed for the caller who got it. The order is
//! total and what a place is does not depend on what else is there, so pages hold what was there all the while exactly once,
//! whatever is sent in the meantime. Who may read is asked anew for every page.

mod along;
pub(crate) mod bundle;
pub mod date;
mod entries;
mod fold;
pub(crate) mod link;
mod merge;
mod named;
mod order;
pub(crate) mod page;
pub mod parameter;
pub(crate) mod parse;
pub(crate) mod people;
pub mod period;
mod said;
pub mod table;

use serde::{Deserialize, Serialize};
use storage::{TimeRange, UserId};

use self::date::Moments;
use self::period::Dates;
use super::kind::{Kind, Kinds};

/// Observations of a page, if the client does not say.
pub const COUNT_DEFAULT: usize = 50;

/// Most observations of a page.
pub const COUNT_MAX: usize = 1_000;

/// Most dates of one parameter: each is a condition of a statement.
pub const DATES_MAX: usize = 100;

/// Most ids of one search.
pub const IDS_MAX: usize = 100;

/// Most bytes of names of elements of one search, so that a link holds them. All of an Observation's are half of it.
pub const ELEMENTS_BYTES_MAX: usize = 1 << 10;

/// Most bytes of names of one search for patients, so that a link holds them.
pub const NAMES_BYTES_MAX: usize = 2 << 10;

/// The order of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Sort {
    /// `-date`, and what comes without `_sort`.
    #[default]
    NewestFirst,
    /// `date`
    OldestFirst,
    /// `code`, the newest of each first.
    Code,
}

impl Sort {
    /// The order of a value of `_sort`; `None` if there is none such.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "-date" => Some(Self::NewestFirst),
            "date" => Some(Self::OldestFirst),
            "code" => Some(Self::Code),
            _ => None,
        }
    }
}

/// FHIR's states of an observation that there are here, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statuses {
    /// What a device measured, or somebody said.
    pub is_final: bool,
    /// A point whose value was another before.
    pub corrected: bool,
    /// A value of a check-in that was changed.
    pub amended: bool,
    /// The total of a day that is not over.
    pub preliminary: bool,
}

impl Default for Statuses {
    fn default() -> Self {
        Self { is_final: true, corrected: true, amended: true, preliminary: true }
    }
}

impl Statuses {
    /// Whether nothing is left out.
    pub fn is_all(self) -> bool {
        self == Self::default()
    }
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// Whose.
    pub user: String,
    /// Names of kinds, sorted; `None` for all there are.
    pub kinds: Option<Vec<String>>,
    /// When measured.
    pub dates: Dates,
    /// When accepted, or last changed.
    pub updated: Moments,
    /// In which state.
    pub statuses: Statuses,
    /// Only these.
    pub ids: Option<Vec<String>>,
    /// In which order.
    pub sort: Sort,
    /// Observations of a page; none to be told the total alone.
    pub count: usize,
    /// Whether the total is to be told.
    pub with_total: bool,
    /// The elements to be told, beside those that must be; `None` for all.
    pub elements: Option<Vec<String>>,
    /// Whether the patient comes along.
    pub with_patient: bool,
    /// Whether what measured them comes along.
    pub with_device: bool,
    /// Whether it comes along where each observation is from.
    pub with_provenance: bool,
    /// Only so many of each code, the newest.
    pub last_of_code: Option<usize>,
}

impl Search {
    /// How many observations are read at most of what has one order.
    pub fn run_count(&self) -> usize {
        self.last_of_code.map_or(self.count, |last| last.min(self.count))
    }

    /// Whose.
    pub fn user_id(&self) -> Option<UserId> {
        UserId::parse(&self.user)
    }

    /// All the moments that it wants lie in it; `with_totals` is whether points that can be totals of days are among them.
    pub fn times(&self, with_totals: bool) -> TimeRange {
        if with_totals && !self.dates.is_all() { self.dates.begins().hull() } else { self.dates.moments().hull() }
    }

    /// The kinds that are asked for.
    pub fn kinds<'a>(&'a self, all: &'a Kinds) -> impl Iterator<Item = &'a Kind> {
        all.iter().filter(|kind| {
            let is_named = |names: &Vec<String>| names.binary_search_by(|name| (**name).cmp(&*kind.name)).is_ok();
            self.kinds.as_ref().is_none_or(is_named)
        })
    }
}

/// The place of an observation in the order of a search.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spot {
    /// Microseconds UTC.
    pub at: i64,
    /// A metric's key, or `check_in`, or the name of a kind of check-ins' values.
    pub series: String,
    /// A point's source, or a check-in's id.
    pub source: String,
    /// A point's device, or which value of the check-in.
    pub device: Option<String>,
}

/// What a link to the next page holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Next {
    /// What was asked.
    pub search: Search,
    /// The last observation that was given.
    pub after: Spot,
}
