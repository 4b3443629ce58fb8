//! Distinct values of a row group, numbered in order of appearance.

use std::collections::HashMap;

/// Slots of the table in front of the map.
const SLOTS: usize = 2_048;

/// Texts, already as the dictionary page holds them: length in four bytes, then the text.
#[derive(Debug, Default)]
pub(super) struct Texts {
    index: HashMap<Box<str>, u32>,
    pub(super) plain: Vec<u8>,
}

impl Texts {
    /// The number of a text, new or known.
    pub(super) fn key(&mut self, text: &str) -> u32 {
        if let Some(key) = self.index.get(text) {
            return *key;
        }
        let key = self.len();
        self.index.insert(text.into(), key);
        // A text is at most a few hundred bytes.
        self.plain.extend_from_slice(&u32::try_from(text.len()).unwrap_or_default().to_le_bytes());
        self.plain.extend_from_slice(text.as_bytes());
        key
    }

    /// Distinct texts.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.index.len()).unwrap_or(u32::MAX)
    }
}

/// Numbers of 64 bits, told apart by their bits.
#[derive(Debug)]
pub(super) struct Numbers {
    index: HashMap<u64, u32>,
    /// Those seen last, by a few bits of their hash: what repeats is found without a look into the map.
    recent: Box<[(u64, u32)]>,
    pub(super) plain: Vec<u8>,
}

impl Default for Numbers {
    fn default() -> Self {
        // The first slot would take a zero for known, so that it is numbered before it is asked for.
        Self { index: HashMap::new(), recent: vec![(0, u32::MAX); SLOTS].into(), plain: Vec::new() }
    }
}

impl Numbers {
    /// The number of a number, new or known.
    #[inline]
    pub(super) fn key(&mut self, bits: u64) -> u32 {
        let slot = usize::try_from(bits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).unwrap_or_default() % SLOTS;
        match self.recent.get(slot) {
            Some((known, key)) if *known == bits && *key != u32::MAX => *key,
            _ => self.find(bits, slot),
        }
    }

    #[cold]
    fn find(&mut self, bits: u64, slot: usize) -> u32 {
        let next = self.len();
        let key = *self.index.entry(bits).or_insert(next);
        if key == next {
            self.plain.extend_from_slice(&bits.to_le_bytes());
        }
        if let Some(slot) = self.recent.get_mut(slot) {
            *slot = (bits, key);
        }
        key
    }

    /// Distinct numbers.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.index.len()).unwrap_or(u32::MAX)
    }
}
