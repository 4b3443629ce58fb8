//! The dictionary of a column of texts.
//!
//! A row group of level 0 has a thousand users and as many devices, of which a page, and more so one person's rows, need a
//! few: only those become an array.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, StringBuilder};

use super::split_length;

/// Up to this many names go into the array as they are.
const FEW: usize = 64;

/// The names of a row group's column, by key.
#[derive(Debug, Default)]
pub(in crate::parquet) struct Names {
    /// Behind each other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// All of them, where they are few.
    all: Option<ArrayRef>,
}

impl Names {
    /// Reads `count` names of a dictionary page: each behind its length.
    pub(super) fn read(mut content: &[u8], count: usize) -> Option<Self> {
        let mut names = Self {
            bytes: Vec::with_capacity(content.len()),
            ends: Vec::with_capacity(count.min(content.len() / 4)),
            all: None,
        };
        for _ in 0..count {
            let (name, rest) = split_length(content)?;
            names.bytes.extend_from_slice(name);
            names.ends.push(names.bytes.len());
            content = rest;
        }
        if (1..=FEW).contains(&count) {
            let mut all = StringBuilder::with_capacity(count, names.bytes.len());
            (0..count).try_for_each(|key| names.get(key).map(|name| all.append_value(name)))?;
            names.all = Some(Arc::new(all.finish()));
        }
        Some(names)
    }

    fn get(&self, key: usize) -> Option<&str> {
        let start = match key.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        std::str::from_utf8(self.bytes.get(start..*self.ends.get(key)?)?).ok()
    }

    /// The names that keys use, which then are keys into those. There is one at least, for nulls.
    pub(super) fn used(&self, keys: &mut [i32]) -> Option<ArrayRef> {
        if let Some(all) = &self.all {
            return Some(Arc::clone(all));
        }
        let mut used = StringBuilder::new();
        let mut count = 0;
        // By key: the key among those used, plus one.
        let mut known = vec![0; self.ends.len()];
        for run in keys.chunk_by_mut(|a, b| a == b) {
            let key = usize::try_from(*run.first()?).ok()?;
            let slot: &mut i32 = known.get_mut(key)?;
            if *slot == 0 {
                used.append_value(self.get(key)?);
                count += 1;
                *slot = count;
            }
            run.fill(*slot - 1);
        }
        if count == 0 {
            return Some(Arc::new(StringArray::from_iter_values([""])));
        }
        Some(Arc::new(used.finish()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_lead_to_the_same_names(count in 1..200_usize, keys in prop::collection::vec(0..220_i32, 0..300)) {
            let name = |key: i32| format!("name-{}", key * 7);
            let mut content = Vec::new();
            for key in 0..i32::try_from(count).unwrap() {
                content.extend_from_slice(&u32::try_from(name(key).len()).unwrap().to_le_bytes());
                content.extend_from_slice(name(key).as_bytes());
            }
            let names = Names::read(&content, count).unwrap();
            let mut mapped = keys.clone();
            let used = names.used(&mut mapped);
            if count > FEW && keys.iter().any(|key| usize::try_from(*key).unwrap() >= count) {
                prop_assert!(used.is_none(), "a key without a name");
            } else {
                let used = used.unwrap();
                let used = used.as_string::<i32>();
                let inside = keys.iter().zip(&mapped).filter(|(key, _)| usize::try_from(**key).unwrap() < count);
                for (key, mapped) in inside {
                    prop_assert_eq!(used.value(usize::try_from(*mapped).unwrap()), name(*key));
                }
            }
            prop_assert!(Names::read(&content[1..], count).is_none(), "lengths that do not fit");
        }
    }
}
