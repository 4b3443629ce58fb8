//! Small JSON bodies, field by field, every fault located.
//!
//! A field that is wrong is noted and read as empty, so that one pass finds all faults; [`Fields::finish`] refuses the
//! body before anything is done with what was read.

use engine::{Fault, FaultKind, Loc};
use serde_json::{Map, Value};

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

    /// Refuses the body if anything was wrong.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::validation(&self.faults)) }
    }

    /// Notes a fault of a field.
    pub(crate) fn refuse(&mut self, key: &'static str, msg: &'static str) {
        self.faults.push(fault(&[Loc::Key(key)], msg, FaultKind::Value));
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

    fn has_fault(&self, key: &'static str) -> bool {
        self.faults.iter().any(|fault| fault.loc.get(1) == Some(&Loc::Key(key)))
    }
}

/// Longest name, characters.
const NAME_CHARACTERS_MAX: usize = 200;

fn fault(path: &[Loc], msg: &'static str, kind: FaultKind) -> Fault {
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
    fn hostile_bodies_are_refused() {
        let deep = "[".repeat(100_000);
        for body in [deep.as_bytes(), b"[]", b"3", b"", b"\xff\xfe", b"{\"a\": 1e999}"] {
            assert!(Fields::parse(body).is_err());
        }
    }
}
