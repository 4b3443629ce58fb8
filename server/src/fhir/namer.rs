//! Ids of one person's points, one after the other: AES-SIV (RFC 5297) with what the points have in common computed once.
//!
//! The library's AES-SIV expands both keys, and hashes a block of nothing for each message: a third of a
//! microsecond, which was most of what an observation costs. The points of one metric, source and device differ in their time
//! alone, so that here an id costs three blocks of AES, and many ids are made at once.
//!
//! ```text
//! plain:  kind person metric time₀ │ time₁…₇ origin            31 bytes
//! S2V:    ├──── block 0 ──────────┤ ├── block 1, 15 bytes ──┤   D = CMAC(0) is added to the last 16 bytes
//! CMAC:   E(block 0) is the same while `time₀` is: two thousand years
//! CTR:    E(IV), E(IV + 1)
//! ```
//!
//! Only this shape of message is made here; everything else, and every reading, is the library's. A property test holds
//! both against each other.

use std::fmt;

use super::id::{ID_CHARACTERS_MAX, KEY_BYTES, Mark, POINT_BYTES, put};
use aes::Aes128;
use aes::cipher::{Block, BlockCipherEncrypt, KeyInit};

const BLOCK_BYTES: usize = 16;
/// Bytes of an IV and an encrypted text.
const SEALED_BYTES: usize = BLOCK_BYTES + POINT_BYTES;
/// Ids that are made at once: as many blocks as the widest instructions take.
const IDS_AT_ONCE: usize = 64;
/// Blocks of a stream for each id.
const STREAM_BLOCKS: usize = 2;
/// Where the person stands in a block of the kind, the person, the metric and the time's first byte, bits from the right.
const USER_BITS: u32 = 72;
/// Where the metric's mark stands there.
const METRIC_BITS: u32 = 8;
/// Where the time's other bytes stand in a block of these, the mark of source and device, and what pads it.
const TIME_BITS: u32 = 72;
/// Where that mark stands there.
const ORIGIN_BITS: u32 = 8;
/// Bits of the time that do not stand in the first block.
const LATE_TIME_BITS: u32 = 56;
/// What the polynomial of CMAC's field leaves of a carry (NIST SP 800-38B, 5.3: R₁₂₈).
const CARRY: u128 = 0x87;
/// What CMAC pads a message of 31 bytes with: one bit.
const PAD: u128 = 0x80;
/// The bits that RFC 5297 (2.6) takes out of the IV before it counts, so that 32-bit counters do not carry.
const COUNTER_MASK: u128 = !(1 << 63 | 1 << 31);

/// An id of a point, in characters of FHIR's alphabet.
pub type PointId = [u8; ID_CHARACTERS_MAX];

/// Makes ids of one person's points. Cost: three blocks of AES an id, of many ids at once.
#[derive(Clone)]
pub struct Namer {
    tags: Aes128,
    streams: Aes128,
    /// What is added to the last 16 bytes of a plain text: CMAC of a block of nothing.
    zero_tag: u128,
    /// What CMAC adds to a last block that was padded.
    last_subkey: u128,
    /// Kind and person, where they stand in the first block.
    person: u128,
    /// The first block without a time.
    common_first: u128,
    /// The second block without a time.
    common_second: u128,
    /// The last first block of CMAC, and what it encrypts to.
    chained: (u128, u128),
}

impl fmt::Debug for Namer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Namer(***)")
    }
}

impl Namer {
    /// By the key of names, for what begins with a kind and a person.
    pub(super) fn new(key: &[u8; KEY_BYTES], begin: [u8; 7]) -> Self {
        // RFC 5297, 2.6: the first half of a key makes tags, the second one encrypts.
        let (tags, streams) = (half(key, 0), half(key, BLOCK_BYTES));
        let (tags, streams) = (Aes128::new(&tags.into()), Aes128::new(&streams.into()));
        let whole_subkey = doubled(encrypted(&tags, 0));
        let person = begin.iter().fold(0, |person, byte| person << 8 | u128::from(*byte)) << USER_BITS;
        Self {
            zero_tag: encrypted(&tags, whole_subkey),
            last_subkey: doubled(whole_subkey),
            person,
            common_first: person,
            common_second: 0,
            chained: (0, encrypted(&tags, 0)),
            tags,
            streams,
        }
    }

    /// The points that follow are of this metric, source and device.
    pub fn begin(&mut self, metric: Mark, origin: Mark) {
        self.common_first = self.person | u128::from(u64::from_be_bytes(metric)) << METRIC_BITS;
        self.common_second = u128::from(u64::from_be_bytes(origin)) << ORIGIN_BITS;
    }

    /// The id of the point of a moment, microseconds UTC.
    pub fn id(&mut self, recorded_at: i64) -> PointId {
        let mut ids = Vec::with_capacity(1);
        self.ids(&[recorded_at], &mut ids);
        ids.first().copied().unwrap_or([b'.'; ID_CHARACTERS_MAX])
    }

    /// Puts in the ids of the points of these moments, microseconds UTC, in their order.
    pub fn ids(&mut self, times: &[i64], out: &mut Vec<PointId>) {
        let mut ivs = [Block::<Aes128>::default(); IDS_AT_ONCE];
        let mut streams = [Block::<Aes128>::default(); IDS_AT_ONCE * STREAM_BLOCKS];
        for times in times.chunks(IDS_AT_ONCE) {
            for (iv, time) in ivs.iter_mut().zip(times) {
                *iv = self.last_block(*time).to_be_bytes().into();
            }
            encrypt(&self.tags, &mut ivs, times.len());
            for (stream, iv) in streams.chunks_exact_mut(STREAM_BLOCKS).zip(&ivs) {
                let counter = u128::from_be_bytes((*iv).into()) & COUNTER_MASK;
                for (block, count) in stream.iter_mut().zip(0..) {
                    *block = (counter + count).to_be_bytes().into();
                }
            }
            encrypt(&self.streams, &mut streams, times.len() * STREAM_BLOCKS);
            let sealed = ivs.iter().zip(streams.chunks_exact(STREAM_BLOCKS)).zip(times);
            out.extend(sealed.map(|((iv, stream), time)| self.text((*iv).into(), stream, *time)));
        }
    }

    /// Both blocks of a plain text, the second without what pads it.
    fn plain(&self, recorded_at: i64) -> (u128, u128) {
        let time = u128::from(recorded_at.cast_unsigned());
        let late = time & ((1 << LATE_TIME_BITS) - 1);
        (self.common_first | time >> LATE_TIME_BITS, self.common_second | late << TIME_BITS)
    }

    /// What CMAC encrypts last, of S2V's only text.
    fn last_block(&mut self, recorded_at: i64) -> u128 {
        let (first, second) = self.plain(recorded_at);
        // The last 16 of 31 bytes: one in the first block, the others in the second.
        let (first, second) = (first ^ self.zero_tag >> 120, second ^ self.zero_tag << 8 ^ PAD);
        if self.chained.0 != first {
            self.chained = (first, encrypted(&self.tags, first));
        }
        self.chained.1 ^ second ^ self.last_subkey
    }

    /// The IV and the encrypted text, as characters.
    fn text(&self, iv: [u8; BLOCK_BYTES], stream: &[Block<Aes128>], recorded_at: i64) -> PointId {
        let (first, second) = self.plain(recorded_at);
        let mut sealed = [0; BLOCK_BYTES * (1 + STREAM_BLOCKS)];
        put(&mut sealed, 0, &iv);
        for (at, (plain, stream)) in (1..).zip([first, second].into_iter().zip(stream)) {
            let block = plain ^ u128::from_be_bytes((*stream).into());
            put(&mut sealed, at * BLOCK_BYTES, &block.to_be_bytes());
        }
        // The last block has a byte more than the plain text; what it became is not part of the id.
        put(&mut sealed, SEALED_BYTES, &[0]);
        characters(&sealed)
    }
}

/// The characters of base 64 ([`super::id::SIX_BITS`]) for 47 bytes and one of nothing. Here and not the library's, which
/// looks up one character after the other: steps that are the same for each are taken for sixteen at once.
fn characters(sealed: &[u8; BLOCK_BYTES * (1 + STREAM_BLOCKS)]) -> PointId {
    let mut text = [0; ID_CHARACTERS_MAX + 1];
    let (sixes, _) = sealed.as_chunks::<6>();
    let (eights, _) = text.as_chunks_mut::<8>();
    for (six, eight) in sixes.iter().zip(eights) {
        let bits = six.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        // 48 bits become two of 24, these four of twelve, and these eight of six.
        let bits = (bits & 0xFFFF_FF00_0000) << 8 | bits & 0xFF_FFFF;
        let bits = (bits & 0x00FF_F000_00FF_F000) << 4 | bits & 0x0000_0FFF_0000_0FFF;
        let bits = (bits & 0x0FC0_0FC0_0FC0_0FC0) << 2 | bits & 0x003F_003F_003F_003F;
        *eight = bits.to_be_bytes();
    }
    for character in &mut text {
        *character = character_of(*character);
    }
    text.first_chunk().copied().unwrap_or([b'.'; ID_CHARACTERS_MAX])
}

/// The character for six bits: the alphabet's four stretches are one behind the other, but for a gap before each.
fn character_of(six: u8) -> u8 {
    let bits = six.cast_signed();
    let mut gap = i8::from_ne_bytes([b'A']);
    gap += if bits > 25 { 6 } else { 0 };
    gap -= if bits > 51 { 75 } else { 0 };
    gap -= if bits > 61 { 13 } else { 0 };
    bits.wrapping_add(gap).cast_unsigned()
}

/// Sixteen bytes of a key.
fn half(key: &[u8; KEY_BYTES], at: usize) -> [u8; BLOCK_BYTES] {
    key.get(at..).and_then(|half| half.first_chunk()).copied().unwrap_or_default()
}

/// Encrypts so many of the blocks.
fn encrypt(cipher: &Aes128, blocks: &mut [Block<Aes128>], count: usize) {
    if let Some(blocks) = blocks.get_mut(..count) {
        cipher.encrypt_blocks(blocks);
    }
}

/// A block, encrypted.
fn encrypted(cipher: &Aes128, block: u128) -> u128 {
    let mut block = Block::<Aes128>::from(block.to_be_bytes());
    cipher.encrypt_block(&mut block);
    u128::from_be_bytes(block.into())
}

/// Times x in the field of CMAC (RFC 5297, 2.3: dbl).
fn doubled(block: u128) -> u128 {
    (block << 1) ^ if block >> 127 == 1 { CARRY } else { 0 }
}

#[cfg(test)]
mod tests {
    use aes_siv::siv::Aes128Siv;
    use base64::Engine as _;
    use proptest::prelude::*;

    use super::*;
    use crate::fhir::id::TEXT;

    const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];

    /// The ids as the library makes them.
    fn by_the_library(
        key: &[u8; KEY_BYTES],
        begin: [u8; 7],
        (metric, origin): (Mark, Mark),
        times: &[i64],
    ) -> Vec<String> {
        let mut cipher = Aes128Siv::new(&(*key).into());
        let plain = |time: &i64| [&begin[..], &metric, &time.to_be_bytes(), &origin].concat();
        times.iter().map(|time| TEXT.encode(cipher.encrypt::<[&[u8]; 0], _>([], &plain(time)).unwrap())).collect()
    }

    fn by_the_namer(namer: &mut Namer, (metric, origin): (Mark, Mark), times: &[i64]) -> Vec<String> {
        namer.begin(metric, origin);
        let mut ids = Vec::new();
        namer.ids(times, &mut ids);
        ids.iter().map(|id| String::from_utf8(id.to_vec()).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn ids_are_those_of_the_library_however_many_at_once(
            key: [u8; KEY_BYTES],
            begin: [u8; 7],
            runs in prop::collection::vec((any::<(Mark, Mark)>(), any::<i64>(), 0_i64..150), 1..4),
        ) {
            let mut namer = Namer::new(&key, begin);
            for (marks, first, count) in runs {
                // Moments beside each other share their first block, and some do not.
                let times: Vec<i64> = (0..count).map(|at| first.wrapping_add(at * ((1 << 52) + 1))).collect();
                prop_assert_eq!(by_the_namer(&mut namer, marks, &times), by_the_library(&key, begin, marks, &times));
            }
        }
    }

    #[test]
    fn a_first_block_of_nothing_is_hashed_as_any_other() {
        // It is all zero where the time's first byte is what is added there.
        let mut namer = Namer::new(&KEY, [0; 7]);
        let marks = (Mark::default(), Mark::default());
        let times = [i64::from_be_bytes([namer.zero_tag.to_be_bytes()[0], 0, 0, 0, 0, 0, 0, 0])];
        assert_eq!(by_the_namer(&mut namer, marks, &times), by_the_library(&KEY, [0; 7], marks, &times));
    }
}
