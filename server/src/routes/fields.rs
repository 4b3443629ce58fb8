//! Small JSON bodies, field by field, every fault located.
//!
//! A field that is wrong is noted and read as empty, so that one pass finds all faults; [`Fields::finish`] refuses the
//! body before anything is done with what was read, and so does a field that nobody has asked for: who sends `role` or
//! `user_id` where they mean nothing must not believe that they did.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use engine::{Fault, FaultKind, Loc};
use serde_json::{Map, Number, Value};

use crate::auth::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, normal_email};
use crate::error::ApiError;

/// The fields of a body that is an object.
#[derive(Debug)]
pub(crate) struct Fields {
    object: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Fields {
    /// Parses a body.
    ///
    /// # Errors
    /// 422 for what is not JSON, with the byte offset, and for what is not an object.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Ok(Self { object, faults: Vec::new() }),
            Ok(_) => Err(ApiError::validation(&[fault(&[], "must be an object", FaultKind::Type)])),
            Err(error) => {
                let at = Loc::Index(offset(body, error.line(), error.column()));
                Err(ApiError::validation(&[fault(&[at], "not valid JSON", FaultKind::Json)]))
            }
        }
    }

    /// As [`Self::parse`]; an empty body is an empty object.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn parse_optional(body: &[u8]) -> Result<Self, ApiError> {
        if body.is_empty() { Ok(Self { object: Map::new(), faults: Vec::new() }) } else { Self::parse(body) }
    }

    /// Refuses the body if anything was wrong, or if a field is left that nobody has read.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.faults.is_empty() && self.object.is_empty() {
            return Ok(());
        }
        Err(ApiError::validation_with_unknown(&self.faults, self.object.into_iter().map(|(name, _)| name)))
    }

    /// Notes a fault of a field.
    pub(crate) fn refuse(&mut self, key: &'static str, msg: impl Into<Cow<'static, str>>) {
        self.faults.push(fault(&[Loc::Key(key)], msg, FaultKind::Value));
    }

    /// Notes a fault of an item of a list.
    pub(crate) fn refuse_item(&mut self, key: &'static str, nth: usize, msg: &'static str) {
        self.faults.push(fault(&[Loc::Key(key), Loc::Index(nth)], msg, FaultKind::Value));
    }

    /// Whether a field is there, be it null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    /// Notes that a field must be there, if it is not.
    pub(crate) fn require(&mut self, key: &'static str) {
        if self.is_missing(key) {
            self.faults.push(fault(&[Loc::Key(key)], "field required", FaultKind::Missing));
        }
    }

    /// A whole number within bounds that may be absent or null. `3.0` is whole, as in JSON Schema.
    pub(crate) fn integer(&mut self, key: &'static str, bounds: &RangeInclusive<i32>) -> Option<i32> {
        let number = self.number_of(key)?;
        let whole = number.as_i64().or_else(|| {
            let number = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e15)?;
            format!("{number:.0}").parse().ok()
        });
        let found = whole.and_then(|whole| i32::try_from(whole).ok()).filter(|whole| bounds.contains(whole));
        if found.is_none() {
            self.refuse(key, format!("must be a whole number from {} to {}", bounds.start(), bounds.end()));
        }
        found
    }

    /// A number within bounds that may be absent or null.
    pub(crate) fn number(&mut self, key: &'static str, bounds: &RangeInclusive<f64>) -> Option<f64> {
        let found = self.number_of(key)?.as_f64().filter(|number| bounds.contains(number));
        if found.is_none() {
            self.refuse(key, format!("must be a number from {} to {}", bounds.start(), bounds.end()));
        }
        found
    }

    /// `true` or `false`, which may be absent or null.
    pub(crate) fn switch(&mut self, key: &'static str) -> Option<bool> {
        match self.object.remove(key) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(is_on)) => Some(is_on),
            Some(_) => {
                self.faults.push(fault(&[Loc::Key(key)], "must be true or false", FaultKind::Type));
                None
            }
        }
    }

    fn number_of(&mut self, key: &'static str) -> Option<Number> {
        match self.object.remove(key) {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) => Some(number),
            Some(_) => {
                self.faults.push(fault(&[Loc::Key(key)], "must be a number", FaultKind::Type));
                None
            }
        }
    }

    /// A moment in RFC 3339 that may be absent or null, as microseconds since 1970 UTC.
    pub(crate) fn moment_us(&mut self, key: &'static str) -> Option<i64> {
        let text = self.optional_text(key)?;
        let moment_us = engine::time::parse(&text);
        if moment_us.is_none() {
            self.refuse(key, "must be a time as in RFC 3339, such as 2026-06-01T00:00:00Z");
        }
        moment_us
    }

    /// A text of some lines that may be absent or null: at most [`NOTE_CHARACTERS_MAX`], trimmed; an empty one is none.
    pub(crate) fn note(&mut self, key: &'static str) -> Option<String> {
        let text = self.optional_text(key)?;
        let is_odd = |character: char| character.is_control() && !matches!(character, '\n' | '\r' | '\t');
        if text.chars().count() > NOTE_CHARACTERS_MAX || text.chars().any(is_odd) {
            self.refuse(
                key,
                "must be at most 2000 characters, none of them a control character but line breaks and tabs",
            );
        }
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, key: &'static str) -> String {
        if self.is_missing(key) {
            self.faults.push(fault(&[Loc::Key(key)], "field required", FaultKind::Missing));
        }
        self.optional_text(key).unwrap_or_default()
    }

    /// A text that may be absent or null.
    pub(crate) fn optional_text(&mut self, key: &'static str) -> Option<String> {
        match self.object.remove(key) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.faults.push(fault(&[Loc::Key(key)], "must be a string", FaultKind::Type));
                None
            }
        }
    }

    /// A list of texts that may be absent or null.
    pub(crate) fn optional_texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let items = match self.object.remove(key) {
            None | Some(Value::Null) => return None,
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.faults.push(fault(&[Loc::Key(key)], "must be a list", FaultKind::Type));
                return None;
            }
        };
        let mut texts = Vec::new();
        for (nth, item) in items.into_iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text),
                _ => self.faults.push(fault(&[Loc::Key(key), Loc::Index(nth)], "must be a string", FaultKind::Type)),
            }
        }
        Some(texts)
    }

    /// A list of whatever values that may be absent or null.
    pub(crate) fn optional_values(&mut self, key: &'static str) -> Option<Vec<Value>> {
        match self.object.remove(key) {
            None | Some(Value::Null) => None,
            Some(Value::Array(values)) => Some(values),
            Some(_) => {
                self.faults.push(fault(&[Loc::Key(key)], "must be a list", FaultKind::Type));
                None
            }
        }
    }

    /// An address, in its normal form.
    pub(crate) fn email(&mut self, key: &'static str) -> String {
        let is_there = !self.is_missing(key);
        let text = self.text(key);
        let email = normal_email(&text);
        if is_there && email.is_none() && !self.has_fault(key) {
            self.refuse(key, "must be an e-mail address");
        }
        email.unwrap_or_default()
    }

    /// A password of a bearable length.
    pub(crate) fn password(&mut self, key: &'static str) -> String {
        let password = self.text(key);
        if !self.has_fault(key) && !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
            self.refuse(key, "must be 8 to 1024 bytes");
        }
        password
    }

    /// A one-time code: six digits.
    pub(crate) fn code(&mut self, key: &'static str) -> String {
        let code = self.text(key);
        let is_code = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
        if !is_code && !self.has_fault(key) {
            self.refuse(key, "must be six digits");
        }
        code
    }

    /// A name that must be there.
    pub(crate) fn name(&mut self, key: &'static str) -> String {
        let name = self.text(key);
        if self.has_fault(key) { String::new() } else { self.checked_name(key, &name) }
    }

    /// A name that may be absent or null.
    pub(crate) fn optional_name(&mut self, key: &'static str) -> Option<String> {
        let name = self.optional_text(key)?;
        Some(self.checked_name(key, &name))
    }

    fn checked_name(&mut self, key: &'static str, name: &str) -> String {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || name.chars().any(char::is_control) {
            self.refuse(key, "must be 1 to 200 characters, none of them a control character");
        }
        name.to_owned()
    }

    fn is_missing(&self, key: &str) -> bool {
        self.object.get(key).is_none_or(Value::is_null)
    }

    /// Whether a field was found wrong.
    pub(crate) fn has_fault(&self, key: &'static str) -> bool {
        self.faults.iter().any(|fault| fault.loc.get(1) == Some(&Loc::Key(key)))
    }
}

/// Longest note, characters.
const NOTE_CHARACTERS_MAX: usize = 2_000;

/// Longest name, characters.
const NAME_CHARACTERS_MAX: usize = 200;

fn fault(path: &[Loc], msg: impl Into<Cow<'static, str>>, kind: FaultKind) -> Fault {
    let mut loc = vec![Loc::Key("body")];
    loc.extend_from_slice(path);
    Fault { loc, msg: msg.into(), kind }
}

/// The byte offset of a line and column, both from 1, as serde_json counts them.
fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let before: usize = body.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (before + column.saturating_sub(1)).min(body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_json_is_located_by_its_byte() {
        for (body, expected) in [("{\"a\": x}", 6), ("{\n\"a\": x}", 7), ("", 0), ("{\"a\": 1", 6), ("nul", 2)] {
            let error = serde_json::from_str::<Value>(body).unwrap_err();
            assert_eq!(offset(body.as_bytes(), error.line(), error.column()), expected, "{body}");
        }
    }

    #[test]
    fn every_fault_of_a_body_is_found_in_one_pass() {
        let mut fields =
            Fields::parse(br#"{"email": "nobody", "password": 3, "scopes": ["read", 4], "name": " "}"#).unwrap();
        fields.email("email");
        fields.password("password");
        fields.optional_texts("scopes");
        fields.name("name");
        fields.text("absent");
        let found: Vec<_> = fields.faults.iter().map(|fault| (fault.loc[1..].to_vec(), fault.kind)).collect();
        assert_eq!(
            found,
            [
                (vec![Loc::Key("email")], FaultKind::Value),
                (vec![Loc::Key("password")], FaultKind::Type),
                (vec![Loc::Key("scopes"), Loc::Index(1)], FaultKind::Type),
                (vec![Loc::Key("name")], FaultKind::Value),
                (vec![Loc::Key("absent")], FaultKind::Missing),
            ]
        );
        assert!(fields.finish().is_err());
    }

    #[test]
    fn numbers_are_within_their_bounds_and_whole_where_they_must_be() {
        let body = br#"{"a": 3, "b": 3.0, "c": 3.5, "d": 6, "e": "3", "f": null, "g": 1e300, "h": 23.5, "i": 24.5}"#;
        let mut fields = Fields::parse(body).unwrap();
        let found = ["a", "b", "c", "d", "e", "f", "g"].map(|key| fields.integer(key, &(1..=5)));
        assert_eq!(found, [Some(3), Some(3), None, None, None, None, None]);
        assert_eq!(["h", "i"].map(|key| fields.number(key, &(0.0..=24.0))), [Some(23.5), None]);
        let wrong: Vec<_> = fields.faults.iter().map(|fault| fault.loc[1]).collect();
        assert_eq!(wrong, ["c", "d", "e", "g", "i"].map(Loc::Key));
    }

    #[test]
    fn what_nobody_asked_for_is_refused_with_its_name() {
        let mut fields = Fields::parse(br#"{"name": "Ada", "role": "doctor", "user_id": "usr_1"}"#).unwrap();
        fields.name("name");
        let text = format!("{:?}", fields.finish().unwrap_err());
        assert!(text.contains("role") && text.contains("user_id") && !text.contains("\"name\""), "{text}");
        assert!(Fields::parse_optional(b"").unwrap().finish().is_ok());
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let deep = "[".repeat(100_000);
        for body in [deep.as_bytes(), b"[]", b"3", b"", b"\xff\xfe", b"{\"a\": 1e999}"] {
            assert!(Fields::parse(body).is_err());
        }
    }
}
