//! Lists of summaries, all of one person: a body that is taken for somebody must not bring in another's heart.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use super::Scalar;

/// What is said where a second person is found.
const OTHER_PERSON: &str = "a summary of another `userId` than those before it: a push is of one person";

/// A summary of a kind that is not read.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Stranger {
    pub(super) user_id: Scalar,
}

/// Reads a list of summaries, or nothing, and fails behind the first that is of another person than one before.
pub(super) struct OfOne<'a, T> {
    /// The person of the lists before, or nobody; a summary that names none is anybody's.
    pub(super) person: &'a mut Scalar,
    /// Who a summary is of.
    pub(super) of: fn(&T) -> &Scalar,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for OfOne<'_, T> {
    type Value = Option<Vec<T>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OfOne<'_, T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of summaries")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut summaries = Vec::new();
        while let Some(summary) = list.next_element::<T>()? {
            let person = (self.of)(&summary);
            if *self.person == Scalar::Nothing {
                self.person.clone_from(person);
            } else if *person != Scalar::Nothing && person != self.person {
                return Err(A::Error::custom(OTHER_PERSON));
            }
            summaries.push(summary);
        }
        Ok(Some(summaries))
    }
}
