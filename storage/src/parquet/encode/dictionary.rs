//! Distinct values of a row group, numbered in order of appearance.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Slots of an empty table of numbers.
const SLOTS_MIN: usize = 512;

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

/// Numbers of 64 bits, told apart by their bits, in a table of open addressing. The hash is seeded by chance, so that
/// nobody can choose values that meet in one place.
#[derive(Debug)]
pub(super) struct Numbers {
    /// Of each slot the number of its entry, plus one; 0 where it is free. A power of two, at most half full.
    slots: Vec<u32>,
    seed: u64,
    /// 64 less the number of bits of a slot's index.
    shift: u32,
    entries: Vec<u64>,
}

impl Default for Numbers {
    fn default() -> Self {
        let seed = RandomState::new().hash_one(SLOTS_MIN);
        Self { slots: vec![0; SLOTS_MIN], seed, shift: u64::BITS - SLOTS_MIN.ilog2(), entries: Vec::new() }
    }
}

impl Numbers {
    /// The number of a number, new or known.
    #[inline]
    pub(super) fn key(&mut self, bits: u64) -> u32 {
        let mut slot = self.slot_of(bits);
        loop {
            match self.slots.get(slot).copied().unwrap_or_default().checked_sub(1) {
                Some(key) if self.entries.get(key as usize) == Some(&bits) => return key,
                Some(_) => slot = (slot + 1) & (self.slots.len() - 1),
                None => return self.insert(bits, slot),
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves are taken apart")]
    fn slot_of(&self, bits: u64) -> usize {
        // A multiplication whose halves are folded, as in wyhash: with the seed, every bit of the number reaches the upper
        // ones, by which the slot goes. (The lower half of a small whole number's bits is zero, and so would be that of
        // a plain product.)
        let product = u128::from(bits ^ self.seed) * u128::from(0x9E37_79B9_7F4A_7C15_u64 ^ self.seed.rotate_left(32));
        let (low, high) = (product as u64, (product >> 64) as u64);
        usize::try_from((low ^ high) >> self.shift).unwrap_or_default()
    }

    #[cold]
    fn insert(&mut self, bits: u64, slot: usize) -> u32 {
        let key = self.len();
        self.entries.push(bits);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = key + 1;
        }
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
        key
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        self.shift -= 1;
        for (entry, key) in (1..).zip(&self.entries) {
            let mut slot = self.slot_of(*key);
            while self.slots.get(slot).is_some_and(|taken| *taken != 0) {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            if let Some(slot) = self.slots.get_mut(slot) {
                *slot = entry;
            }
        }
    }

    /// Distinct numbers. A row group has fewer rows than a `u32` counts.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX - 1)
    }

    /// Length of the dictionary page.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.entries.as_slice())
    }

    /// As the dictionary page holds them.
    pub(super) fn plain(&self) -> Vec<u8> {
        self.entries.iter().flat_map(|bits| bits.to_le_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_numbered_in_order_of_appearance_however_many() {
        let mut numbers = Numbers::default();
        let values: Vec<u64> = (0..10_000_u32).map(|nth| (f64::from(nth) / 4.0).to_bits()).collect();
        for (key, value) in (0..).zip(&values) {
            assert_eq!(numbers.key(*value), key);
        }
        assert!((0..).zip(&values).all(|(key, value)| numbers.key(*value) == key));
        assert_eq!(numbers.plain(), values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
    }

    #[test]
    fn whole_numbers_do_not_share_slots() {
        // By chance 138 of 161 on average. A seed that gives few is rare, and costs time alone; the seed is new each time, so
        // that one of them proves nothing.
        let is_spread = |numbers: &Numbers| {
            let slots = (40..=200_u8).map(|value| numbers.slot_of(f64::from(value).to_bits()));
            slots.collect::<std::collections::HashSet<usize>>().len() > 100
        };
        let spread = (0..32).filter(|_| is_spread(&Numbers::default())).count();
        assert!(spread >= 24, "{spread} of 32 tables");
    }
}
