//! From parameters to a search.

use std::borrow::Cow;

use storage::UserId;

use super::date::Date;
use super::parameter::{Parameters, token};
use super::period::Dates;
use super::table::OBSERVATION;
use super::{COUNT_DEFAULT, COUNT_MAX, DATES_MAX, ELEMENTS_BYTES_MAX, IDS_MAX, Search, Sort, Statuses};
use crate::fhir::answer::Base;
use crate::fhir::id::Ids;
use crate::fhir::kind::{CATEGORY, Kind, Kinds};
use crate::fhir::outcome::Failure;
use crate::fhir::render::user_id;

/// The value set of `status`.
const STATUS_SYSTEM: &str = "http://hl7.org/fhir/observation-status";
const STATUSES: [&str; 8] =
    ["registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"];

/// What a search is read with.
pub(crate) struct Reading<'a> {
    /// What is observed.
    pub(crate) kinds: &'a Kinds,
    /// What ids mean.
    pub(crate) ids: &'a Ids,
    /// What absolute references begin with.
    pub(crate) base: &'a Base,
    /// Whose observations a search is for that names nobody.
    pub(crate) own: Option<UserId>,
}

impl Reading<'_> {
    /// Reads a search.
    ///
    /// # Errors
    /// 400 for the first parameter that is wrong.
    pub(crate) fn search(&self, parameters: &Parameters) -> Result<Search, Failure> {
        let ids = ids(parameters)?;
        let count = count(parameters)?;
        let brings = |along: &&str| parameters.brings("_include", along);
        let (is_counted, total) = (is_count_alone(parameters)?, total(parameters)?);
        Ok(Search {
            user: self.user(parameters, ids.as_deref())?,
            kinds: self.kinds(parameters)?,
            dates: dates(parameters, "date")?,
            updated: dates(parameters, "_lastUpdated")?.moments().clone(),
            statuses: statuses(parameters)?,
            ids,
            sort: sort(parameters)?,
            count: if is_counted { 0 } else { count },
            with_total: total || is_counted || count == 0,
            elements: elements(parameters, OBSERVATION.resource)?,
            with_patient: ["Observation:patient", "Observation:subject"].iter().any(brings),
            with_device: brings(&"Observation:device"),
            with_provenance: parameters.brings("_revinclude", "Provenance:target"),
            last_of_code: None,
        })
    }

    /// Whose observations: what `patient` and `subject` say, else whose the ids are, else the caller's own.
    ///
    /// # Errors
    /// 400 for two people, for a reference to something else, and where nothing says who.
    pub(crate) fn user(&self, parameters: &Parameters, ids: Option<&[String]>) -> Result<String, Failure> {
        let mut found: Option<String> = None;
        for name in ["patient", "subject"] {
            for value in parameters.lists(name)?.iter().flatten() {
                let user = self.patient(name, value)?;
                if found.as_ref().is_some_and(|found| *found != user) {
                    return Err(Failure::value(name, "one patient at a time"));
                }
                found = Some(user);
            }
        }
        if let Some(user) = found {
            return Ok(user);
        }
        if let Some(ids) = ids {
            let mut users = ids.iter().filter_map(|id| self.ids.read(id)).map(|name| name.user());
            if let Some(first) = users.next() {
                if users.any(|user| user != first) {
                    return Err(Failure::value("_id", "ids of one patient at a time"));
                }
                return Ok(first.as_str().to_owned());
            }
        }
        let own = self.own.map(|user| user.as_str().to_owned());
        own.ok_or_else(|| Failure::required("patient", "whose observations? say patient=[id]"))
    }

    /// A person by a reference to their Patient: absolute, relative, or the id alone.
    fn patient(&self, name: &str, reference: &str) -> Result<String, Failure> {
        let relative =
            reference.strip_prefix(self.base.0.as_str()).map_or(reference, |rest| rest.trim_start_matches('/'));
        let id = relative.strip_prefix("Patient/").unwrap_or(relative);
        if id.contains('/') {
            return Err(Failure::value(name, "must be Patient/[id] or [id] of this server"));
        }
        Ok(user_id(id))
    }

    /// The names of the kinds that every `code` and `category` allows, and none with `:not` names.
    fn kinds(&self, parameters: &Parameters) -> Result<Option<Vec<String>>, Failure> {
        let (codes, categories) = (parameters.lists("code")?, parameters.lists("category")?);
        let (not_codes, not_categories) = (parameters.lists("code:not")?, parameters.lists("category:not")?);
        if [&codes, &categories, &not_codes, &not_categories].iter().all(|lists| lists.is_empty()) {
            return Ok(None);
        }
        let has_code = |kind: &Kind, value: &str| {
            let (system, code) = token(value);
            kind.has_code(system, code)
        };
        let has_category = |kind: &Kind, value: &str| {
            let (system, code) = token(value);
            system.is_none_or(|system| system == CATEGORY) && code.is_none_or(|code| code == kind.category)
        };
        let fits = |kind: &&Kind| {
            codes.iter().all(|list| list.iter().any(|value| has_code(kind, value)))
                && categories.iter().all(|list| list.iter().any(|value| has_category(kind, value)))
                && !not_codes.iter().flatten().any(|value| has_code(kind, value))
                && !not_categories.iter().flatten().any(|value| has_category(kind, value))
        };
        Ok(Some(self.kinds.iter().filter(fits).map(|kind| (*kind.name).to_owned()).collect()))
    }
}

/// The dates of a parameter.
pub(crate) fn dates(parameters: &Parameters, name: &str) -> Result<Dates, Failure> {
    let lists = parameters.lists(name)?;
    if lists.iter().map(Vec::len).sum::<usize>() > DATES_MAX {
        return Err(Failure::value(name, format!("at most {DATES_MAX} dates")));
    }
    let dates = lists.iter().map(|list| list.iter().map(|value| Date::parse(value)).collect());
    let dates: Result<Vec<Vec<Date>>, &str> = dates.collect();
    Ok(dates.map_err(|what| Failure::value(name, what))?.into())
}

fn statuses(parameters: &Parameters) -> Result<Statuses, Failure> {
    let mut all = Statuses::default();
    for (name, is_wanted) in [("status", true), ("status:not", false)] {
        for list in parameters.lists(name)? {
            let has = status_codes(name, &list)?;
            let fits = |word: &str| has(word) == is_wanted;
            all.is_final &= fits("final");
            all.corrected &= fits("corrected");
            all.amended &= fits("amended");
            all.preliminary &= fits("preliminary");
        }
    }
    Ok(all)
}

/// Whether a list of `status` has a word, as a question.
fn status_codes<'a>(name: &str, list: &'a [Cow<'a, str>]) -> Result<impl Fn(&str) -> bool + 'a, Failure> {
    let mut codes = Vec::with_capacity(list.len());
    for value in list {
        let (system, code) = token(value);
        if code.is_some_and(|code| !STATUSES.contains(&code)) {
            return Err(Failure::value(name, format!("must be one of {}", STATUSES.join(", "))));
        }
        if system.is_none_or(|system| system == STATUS_SYSTEM) {
            codes.push(code);
        }
    }
    Ok(move |word: &str| codes.iter().any(|code| code.is_none_or(|code| code == word)))
}

fn ids(parameters: &Parameters) -> Result<Option<Vec<String>>, Failure> {
    let lists = parameters.lists("_id")?;
    let Some((first, others)) = lists.split_first() else { return Ok(None) };
    let mut ids: Vec<String> = first.iter().map(|id| id.clone().into_owned()).collect();
    ids.retain(|id| others.iter().all(|list| list.iter().any(|other| *other == *id)));
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > IDS_MAX {
        return Err(Failure::value("_id", format!("at most {IDS_MAX} ids")));
    }
    Ok(Some(ids))
}

/// `_count`: digits; more than the most is the most.
pub(crate) fn count(parameters: &Parameters) -> Result<usize, Failure> {
    let Some(text) = parameters.one("_count")? else { return Ok(COUNT_DEFAULT) };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::value("_count", "must be a whole number, 0 or more"));
    }
    Ok(text.parse().unwrap_or(usize::MAX).min(COUNT_MAX))
}

/// Whether `_summary` wants the total and nothing else.
pub(crate) fn is_count_alone(parameters: &Parameters) -> Result<bool, Failure> {
    match parameters.one("_summary")? {
        // The whole resource is a right answer to each, says R4; `_elements` says which elements come.
        None | Some("true" | "text" | "data" | "false") => Ok(false),
        Some("count") => Ok(true),
        Some(_) => Err(Failure::value("_summary", "must be true, text, data, count or false")),
    }
}

/// Whether `_total` wants the exact one.
pub(crate) fn total(parameters: &Parameters) -> Result<bool, Failure> {
    match parameters.one("_total")? {
        None | Some("none" | "estimate") => Ok(false),
        Some("accurate") => Ok(true),
        Some(_) => Err(Failure::value("_total", "must be none, estimate or accurate")),
    }
}

fn sort(parameters: &Parameters) -> Result<Sort, Failure> {
    let Some(text) = parameters.one("_sort")? else { return Ok(Sort::default()) };
    Sort::parse(text).ok_or_else(|| Failure::value("_sort", "must be date, -date or code"))
}

/// The names of `_elements` of a type of resource, sorted.
pub(crate) fn elements(parameters: &Parameters, resource: &str) -> Result<Option<Vec<String>>, Failure> {
    let lists = parameters.lists("_elements")?;
    if lists.is_empty() {
        return Ok(None);
    }
    let mut names: Vec<String> = Vec::new();
    for name in lists.iter().flatten() {
        let name = name.strip_prefix(resource).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name);
        // As definitions write an element that has one of several types.
        let name = name.strip_suffix("[x]").unwrap_or(name);
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Failure::value("_elements", "must be names of elements such as code,valueQuantity"));
        }
        names.push(name.to_owned());
    }
    names.sort_unstable();
    names.dedup();
    if names.iter().map(String::len).sum::<usize>() > ELEMENTS_BYTES_MAX {
        return Err(Failure::value("_elements", format!("at most {ELEMENTS_BYTES_MAX} bytes of names")));
    }
    Ok(Some(names))
}
