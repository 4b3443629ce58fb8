//! Searches for patients: oneself, or those who let a doctor in, a page of them at a time.
//!
//! A link to the next page holds what was asked and the place of the last one of the page before, sealed as those of
//! observations are. Who lets the doctor in is asked anew for every page: who does all the while, and keeps their place in
//! the order, comes exactly once. Whoever is told of is told of behind a record in their trail; a total alone is nothing
//! that the doctor's list of grants does not say.

use serde::{Deserialize, Serialize};

use super::bundle::Bundle;
use super::date::Moments;
use super::fold::folded;
use super::link;
use super::order::{PeopleOrder, Place};
use super::parameter::{Parameters, token};
use super::parse::{count, dates, elements, is_count_alone, total};
use super::table::PATIENT;
use super::{IDS_MAX, NAMES_BYTES_MAX};
use crate::access::{Visitor, roll};
use crate::auth::Role;
use crate::control::entities::user;
use crate::control::repository::users;
use crate::fhir::answer::Base;
use crate::fhir::id::Ids;
use crate::fhir::outcome::Failure;
use crate::fhir::render::{USER_SYSTEM, patient, patient_id, user_id};
use crate::state::AppState;

/// The value set of `gender`.
const GENDER_SYSTEM: &str = "http://hl7.org/fhir/administrative-gender";
const GENDERS: [&str; 4] = ["female", "male", "other", "unknown"];

/// Bytes of a person's id.
const ID_BYTES: usize = 12;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct People {
    /// Only these, sorted.
    only: Option<Vec<String>>,
    /// What their name has to be like.
    names: Names,
    /// When the account last changed.
    updated: Moments,
    /// In which order.
    order: PeopleOrder,
    /// Patients of a page; none to be told the total alone.
    count: usize,
}

/// What a name has to be like: of each list one. Begins and parts are as [`folded`] has them, and the name with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Names {
    /// How it, or a word of it, begins.
    begins: Vec<Vec<String>>,
    /// What is somewhere in it.
    parts: Vec<Vec<String>>,
    /// What it is.
    wholes: Vec<Vec<String>>,
}

impl Names {
    fn read(parameters: &Parameters) -> Result<Self, Failure> {
        let lists = |name: &str, form: fn(&str) -> String| {
            let lists = parameters.lists(name)?;
            Ok::<_, Failure>(lists.iter().map(|list| list.iter().map(|text| form(text)).collect()).collect())
        };
        let (begins, parts) = (lists("name", folded)?, lists("name:contains", folded)?);
        let names = Self { begins, parts, wholes: lists("name:exact", str::to_owned)? };
        // A link has to hold them.
        if names.lists().flatten().map(String::len).sum::<usize>() > NAMES_BYTES_MAX {
            return Err(Failure::value("name", format!("at most {NAMES_BYTES_MAX} bytes of names")));
        }
        Ok(names)
    }

    fn lists(&self) -> impl Iterator<Item = &Vec<String>> {
        self.begins.iter().chain(&self.parts).chain(&self.wholes)
    }

    fn fit(&self, name: &str) -> bool {
        if self.lists().next().is_none() {
            return true;
        }
        let folded = folded(name);
        let begins =
            |begin: &String| folded.starts_with(begin) || folded.split_whitespace().any(|word| word.starts_with(begin));
        self.begins.iter().all(|list| list.iter().any(begins))
            && self.parts.iter().all(|list| list.iter().any(|part| folded.contains(part)))
            && self.wholes.iter().all(|list| list.iter().any(|whole| name == whole))
    }
}

/// What a link to the next page holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NextPeople {
    /// What was asked.
    pub(crate) asked: People,
    /// Where the page before ended.
    pub(crate) after_person: Place,
}

impl People {
    /// Reads a search.
    ///
    /// # Errors
    /// 400 for the first parameter that is wrong.
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, Failure> {
        let names = Names::read(parameters)?;
        let count = if is_count_alone(parameters)? { 0 } else { count(parameters)? };
        // The total is always told, and of a patient there is little to leave out: R4 lets a server tell the whole.
        total(parameters)?;
        elements(parameters, PATIENT.resource)?;
        let only = wanted(parameters)?;
        // Nobody's is known, so another one is nobody's.
        let only = if is_unknown_gender(parameters)? { only } else { Some(Vec::new()) };
        let updated = dates(parameters, "_lastUpdated")?.moments().clone();
        Ok(Self { only, names, updated, order: PeopleOrder::read(parameters)?, count })
    }

    /// The place of somebody who is wanted.
    fn place(&self, person: &user::Model) -> Option<Place> {
        let is_wanted = self.names.fit(&person.name) && self.updated.contain(person.updated_at);
        is_wanted.then(|| self.order.place(person))
    }
}

/// Whether every `gender` allows one that is unknown.
fn is_unknown_gender(parameters: &Parameters) -> Result<bool, Failure> {
    let mut is_allowed = true;
    for (name, is_wanted) in [("gender", true), ("gender:not", false)] {
        for list in parameters.lists(name)? {
            let mut has_it = false;
            for value in &list {
                let (system, code) = token(value);
                if code.is_some_and(|code| !GENDERS.contains(&code)) {
                    return Err(Failure::value(name, format!("must be one of {}", GENDERS.join(", "))));
                }
                has_it |=
                    system.is_none_or(|system| system == GENDER_SYSTEM) && code.is_none_or(|code| code == "unknown");
            }
            is_allowed &= has_it == is_wanted;
        }
    }
    Ok(is_allowed)
}

/// Ids of the people that every parameter allows; `None` where none names any.
fn wanted(parameters: &Parameters) -> Result<Option<Vec<String>>, Failure> {
    let of_identifier = |value: &str| {
        let (system, code) = token(value);
        system.is_none_or(|system| system == USER_SYSTEM).then(|| user_id(code.unwrap_or_default()))
    };
    let (ids, mut identifiers) = (parameters.lists("_id")?, parameters.lists("identifier")?);
    // Everybody has an identifier of that system.
    identifiers.retain(|list| list.iter().all(|value| token(value) != (Some(USER_SYSTEM), None)));
    let ids = ids.iter().map(|list| list.iter().map(|id| user_id(id)).collect());
    let identifiers = identifiers.iter().map(|list| list.iter().filter_map(|value| of_identifier(value)).collect());
    let mut lists: Vec<Vec<String>> = ids.chain(identifiers).collect();
    let Some(mut first) = lists.pop() else { return Ok(None) };
    first.retain(|id| lists.iter().all(|list| list.contains(id)));
    first.sort_unstable();
    first.dedup();
    if first.len() > IDS_MAX {
        return Err(Failure::value("_id", format!("at most {IDS_MAX} patients")));
    }
    // What cannot be an id is nobody's, and no database need be asked.
    first.retain(|id| id.len() == ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic()));
    Ok(Some(first))
}

/// What a page is made with.
pub(crate) struct Desk<'a> {
    pub(crate) state: &'a AppState,
    pub(crate) ids: &'a Ids,
    pub(crate) base: &'a Base,
    pub(crate) visitor: &'a Visitor,
}

/// Who stands on a page, before anybody is told of.
struct Found {
    places: Vec<Place>,
    is_more: bool,
    total: usize,
}

impl Desk<'_> {
    /// The page behind a place, as a Bundle; `own` is the link to it.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn page(&self, asked: People, after: Option<&Place>, own: String) -> Result<Vec<u8>, Failure> {
        let Found { mut places, is_more, total } = self.find(&asked, after).await?;
        let mut bundle = Bundle::new();
        let mut told = 0;
        let ids: Vec<&str> = places.iter().map(Place::id).collect();
        for person in self.admitted(&ids).await? {
            bundle.resource(self.base, ("Patient", &patient_id(&person.id)), "match", &patient(&person));
            told += 1;
        }
        // Of a whole list so many as there are in it, whoever went in between.
        let is_whole = asked.count > 0 && after.is_none() && !is_more;
        let mut links = vec![("self", own)];
        if let (true, Some(after_person)) = (is_more, places.pop()) {
            let next = NextPeople { asked, after_person };
            links.push(("next", link::to((self.ids, self.base, self.visitor), PATIENT.resource, &next)?));
        }
        Ok(bundle.finish(&links, Some(if is_whole { told } else { total })))
    }

    async fn find(&self, asked: &People, after: Option<&Place>) -> Result<Found, Failure> {
        let (principal, control) = (self.visitor.principal(), &self.state.control);
        // One more tells that there is more; where nobody is to be told of, nothing does.
        let limit = if asked.count == 0 { 0 } else { asked.count.saturating_add(1) };
        let (mut places, total) = match &asked.only {
            None if principal.role == Role::Doctor => {
                let place_of = |person: &user::Model| asked.place(person);
                let listed = roll::list(control, self.visitor, place_of, after, limit).await?;
                (listed.places, listed.count)
            }
            people => {
                let own = principal.user.as_str();
                let others: Vec<&str> = people.iter().flatten().map(String::as_str).filter(|id| *id != own).collect();
                let mut all = roll::among(control, self.visitor, &others).await?;
                if people.as_ref().is_none_or(|ids| ids.iter().any(|id| id == own)) {
                    all.extend(users::by_id(control.read(), own).await?);
                }
                let mut places: Vec<Place> = all.iter().filter_map(|person| asked.place(person)).collect();
                places.sort_unstable();
                let total = places.len();
                places.retain(|place| after.is_none_or(|after| place > after));
                places.truncate(limit);
                (places, total)
            }
        };
        let is_more = places.len() > asked.count;
        places.truncate(asked.count);
        Ok(Found { places, is_more, total })
    }

    /// Who these are, in their order, behind a record for each other one.
    async fn admitted(&self, ids: &[&str]) -> Result<Vec<user::Model>, Failure> {
        let own = self.visitor.principal().user.as_str();
        let others: Vec<&str> = ids.iter().copied().filter(|id| *id != own).collect();
        let mut people = roll::admit(&self.state.control, self.visitor, &others, "fhir_patient").await?;
        if others.len() < ids.len()
            && let Some(person) = users::by_id(self.state.control.read(), own).await?
        {
            people.insert(person.id.clone(), person);
        }
        Ok(ids.iter().filter_map(|id| people.remove(*id)).collect())
    }
}
