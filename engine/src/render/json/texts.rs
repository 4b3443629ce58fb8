//! The texts of a dictionary, escaped once and not once a row.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};

use super::write_string;
use crate::error::Result;
use crate::query::malformed;

/// Each entry as a JSON string with something before and behind it; all in one buffer, and where each ends.
#[derive(Debug)]
pub(super) struct Texts {
    before: &'static [u8],
    behind: &'static [u8],
    /// What the buffer was made of.
    dictionary: Option<ArrayRef>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    /// With nothing in it.
    pub(super) fn new(before: &'static [u8], behind: &'static [u8]) -> Self {
        Self { before, behind, dictionary: None, bytes: Vec::new(), ends: Vec::new() }
    }

    /// Takes the entries of a dictionary, unless they are those that it has.
    ///
    /// # Errors
    /// A dictionary of something else than texts.
    pub(super) fn prepare(&mut self, dictionary: &ArrayRef) -> Result<()> {
        if self.dictionary.as_ref().is_some_and(|known| Arc::ptr_eq(known, dictionary)) {
            return Ok(());
        }
        let texts = dictionary.as_string_opt::<i32>().ok_or_else(|| malformed("dictionary"))?;
        self.bytes.clear();
        self.ends.clear();
        for text in texts {
            self.bytes.extend_from_slice(self.before);
            write_string(text.unwrap_or_default(), &mut self.bytes);
            self.bytes.extend_from_slice(self.behind);
            self.ends.push(self.bytes.len());
        }
        self.dictionary = Some(Arc::clone(dictionary));
        Ok(())
    }

    /// The entry of a key.
    #[inline]
    pub(super) fn get(&self, key: i32) -> Option<&[u8]> {
        let key = usize::try_from(key).ok()?;
        let start = match key.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..*self.ends.get(key)?)
    }
}
