//! The parameters of a request: those that are known are kept, others are refused or left out.

use std::borrow::Cow;

use super::link::CURSOR;
use super::table::Searchable;
use crate::fhir::outcome::Failure;

/// Most values of one parameter.
pub const VALUES_MAX: usize = 10_000;

/// What any request may say.
pub const GENERAL: [&str; 2] = ["_format", "_pretty"];

/// What to do about a parameter that the server does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Refuse it: a search that ignores a condition returns more than was asked.
    Strict,
    /// Leave it out, as the client wishes; the answer's `self` link does not have it.
    Lenient,
}

impl Handling {
    /// What `Prefer: handling=…` says; strict without it.
    pub fn of(headers: &axum::http::HeaderMap) -> Self {
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let mut wishes = values.flat_map(|value| value.split([',', ';'])).map(|wish| wish.trim().replace(' ', ""));
        if wishes.any(|wish| wish.eq_ignore_ascii_case("handling=lenient")) { Self::Lenient } else { Self::Strict }
    }
}

/// The parameters of a request that are known, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Reads what stands behind the `?` and, of a search by `POST`, the form in the body.
    ///
    /// # Errors
    /// 400 for a parameter that is not known, unless unknown ones are to be left out; for a modifier in any case.
    pub fn read(parts: &[&[u8]], known: &[&[&str]], handling: Handling) -> Result<Self, Failure> {
        let is_known = |name: &str| known.iter().any(|list| list.contains(&name));
        let mut pairs = Vec::new();
        for (name, value) in parts.iter().flat_map(|part| url::form_urlencoded::parse(part)) {
            let (basis, modifier) = name.split_once(':').map_or((&*name, None), |(basis, rest)| (basis, Some(rest)));
            // `Patient` is what the reference is to anyway.
            let is_typed = modifier == Some("Patient") && matches!(basis, "subject" | "patient");
            match (is_known(basis), modifier) {
                (true, None) if basis == "_pretty" && !matches!(&*value, "true" | "false") => {
                    return Err(Failure::value("_pretty", "must be true or false"));
                }
                // R4 has a server ignore what says nothing; whoever wants that is asked to say so, as of what is not known.
                (true, None) if value.is_empty() && handling == Handling::Lenient && basis != CURSOR => {}
                (true, None) => pairs.push((name.into_owned(), value.into_owned())),
                (true, Some(_)) if is_known(&name) => pairs.push((name.into_owned(), value.into_owned())),
                (true, Some(_)) if is_typed => pairs.push((basis.to_owned(), format!("Patient/{}", tail(&value)))),
                (true, Some(_)) => return Err(Failure::unsupported(&name, "the modifier is not supported")),
                (false, _) if handling == Handling::Lenient => {}
                (false, _) => {
                    let known = known.concat().join(", ");
                    return Err(Failure::unsupported(&name, format!("no such parameter; known here: {known}")));
                }
            }
        }
        Ok(Self { pairs })
    }

    /// Checks what is to come along: what a search does not know is refused, or left out, which takes nothing away.
    ///
    /// # Errors
    /// 400 for a value that is not known, unless such are to be left out.
    pub fn check_along(&mut self, of: &Searchable, handling: Handling) -> Result<(), Failure> {
        let mut pairs = Vec::with_capacity(self.pairs.len());
        for (name, value) in std::mem::take(&mut self.pairs) {
            let known = match name.as_str() {
                "_include" => of.includes,
                "_revinclude" => of.revincludes,
                _ => {
                    pairs.push((name, value));
                    continue;
                }
            };
            let meant: Vec<&str> = known.iter().filter(|along| along.is(&value)).map(|along| along.name).collect();
            if meant.is_empty() && handling == Handling::Strict {
                let names: Vec<_> = known.iter().map(|along| along.name).collect();
                return Err(Failure::value(&name, format!("must be * or one of {}", names.join(", "))));
            }
            pairs.extend(meant.into_iter().map(|along| (name.clone(), along.to_owned())));
        }
        self.pairs = pairs;
        Ok(())
    }

    /// Leaves out an order that there is not where the client wishes so: any other one takes nothing away.
    pub fn check_sort(&mut self, of: &Searchable, handling: Handling) {
        if handling == Handling::Lenient {
            self.pairs.retain(|(name, value)| name != "_sort" || of.sorts.contains(&value.as_str()));
        }
    }

    /// Whether something is to come along.
    pub fn brings(&self, parameter: &str, along: &str) -> bool {
        self.pairs.iter().any(|(name, value)| name == parameter && value == along)
    }

    /// Whether a parameter is there.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Every value of a parameter as it was sent.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be there once.
    ///
    /// # Errors
    /// 400 if it is there twice.
    pub fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Failure> {
        let mut all = self.all(name);
        let first = all.next();
        if all.next().is_some() {
            return Err(Failure::value(name, "given twice"));
        }
        Ok(first)
    }

    /// The values of each time that a parameter is there: any of one list must fit, and of every list one.
    ///
    /// # Errors
    /// 400 for an empty value, and for more than [`VALUES_MAX`].
    pub fn lists<'a>(&'a self, name: &'a str) -> Result<Vec<Vec<Cow<'a, str>>>, Failure> {
        let lists: Vec<Vec<Cow<'_, str>>> = self.all(name).map(split).collect();
        if lists.iter().flatten().any(|value| value.is_empty()) {
            return Err(Failure::value(name, "a value is empty"));
        }
        if lists.iter().map(Vec::len).sum::<usize>() > VALUES_MAX {
            return Err(Failure::value(name, format!("at most {VALUES_MAX} values")));
        }
        Ok(lists)
    }

    /// As a query, for the link to what was asked.
    pub fn to_query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.pairs).finish()
    }
}

fn tail(reference: &str) -> &str {
    reference.strip_prefix("Patient/").unwrap_or(reference)
}

/// The values between commas; a comma behind a backslash is part of its value.
fn split(list: &str) -> Vec<Cow<'_, str>> {
    if !list.contains('\\') {
        return list.split(',').map(Cow::Borrowed).collect();
    }
    let mut values = vec![String::new()];
    let mut characters = list.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            ',' => {
                values.push(String::new());
                continue;
            }
            // The bar of a token stays escaped until the token is read; none of our codes has one.
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(value) = values.last_mut() {
            value.push(literal);
        }
    }
    values.into_iter().map(Cow::Owned).collect()
}

/// A token: its system (`None` if any will do, empty for none), and its code (`None` for all of the system).
pub fn token(value: &str) -> (Option<&str>, Option<&str>) {
    match value.split_once('|') {
        None => (None, Some(value)),
        Some((system, "")) => (Some(system), None),
        Some((system, code)) => (Some(system), Some(code)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use axum::response::IntoResponse;

    use super::*;

    const KNOWN: [&str; 3] = ["code", "subject", "_count"];

    fn read(query: &str, handling: Handling) -> Result<Parameters, u16> {
        Parameters::read(&[query.as_bytes()], &[&KNOWN], handling)
            .map_err(|failure| failure.into_response().status().as_u16())
    }

    #[test]
    fn unknown_parameters_are_refused_unless_the_client_is_lenient() {
        assert_eq!(read("code=1&cod=2", Handling::Strict), Err(400));
        let lenient = read("code=1&cod=2&cod:x=3", Handling::Lenient).unwrap();
        assert_eq!(lenient.to_query(), "code=1");
        assert_eq!(read("code:not=1", Handling::Lenient), Err(400), "left out, it would return more than was asked");
        let typed = read("subject:Patient=usr-1", Handling::Strict).unwrap();
        assert_eq!(typed.one("subject").unwrap(), Some("Patient/usr-1"));
        assert_eq!(read("subject:Group=1", Handling::Strict), Err(400));
    }

    #[test]
    fn handling_is_what_the_client_prefers() {
        let of =
            |value: &str| Handling::of(&HeaderMap::from_iter([("prefer".parse().unwrap(), value.parse().unwrap())]));
        assert_eq!(of("return=minimal, handling=lenient"), Handling::Lenient);
        assert_eq!(of("handling=strict"), Handling::Strict);
        assert_eq!(Handling::of(&HeaderMap::new()), Handling::Strict);
    }

    #[test]
    fn lists_are_split_at_commas_that_are_not_escaped() {
        let parameters = read("code=a,b%5C,c&code=d", Handling::Strict).unwrap();
        assert_eq!(parameters.lists("code").unwrap(), [vec!["a", "b,c"], vec!["d"]]);
        for empty in ["code=", "code=a,,b", "code=,"] {
            assert!(read(empty, Handling::Strict).unwrap().lists("code").is_err(), "{empty}");
        }
        let many = format!("code={}", vec!["x"; VALUES_MAX + 1].join(","));
        assert!(read(&many, Handling::Strict).unwrap().lists("code").is_err());
        assert!(read(&many.replacen("x,", "", 1), Handling::Strict).unwrap().lists("code").is_ok());
        assert!(read("_count=1&_count=2", Handling::Strict).unwrap().one("_count").is_err());
    }

    #[test]
    fn a_token_may_leave_out_its_system_or_its_code() {
        assert_eq!(token("8867-4"), (None, Some("8867-4")));
        assert_eq!(token("http://loinc.org|8867-4"), (Some("http://loinc.org"), Some("8867-4")));
        assert_eq!(token("http://loinc.org|"), (Some("http://loinc.org"), None));
        assert_eq!(token("|x"), (Some(""), Some("x")));
    }
}
