//! Ids of observations: what an observation is, encrypted, so that an id names it for ever and tells nobody what.
//!
//! The cipher is AES-SIV (RFC 5297) with a key of our own: the same name always has the same id, no two names have the same, and
//! a text that we did not make is none. There is no table of ids, and nothing to keep beside the key.
//!
//! | bytes  | a point                                   | bytes | a value of a check-in         |
//! |--------|-------------------------------------------|-------|-------------------------------|
//! | 0      | 1                                         | 0     | 2                             |
//! | 1..7   | the person: eight characters in base 63   | 1..7  | the person                    |
//! | 7..15  | SHA-256 of the metric's key, its beginning | 7     | which of its values           |
//! | 15..23 | when measured, microseconds, big-endian   | 8..20 | the check-in: sixteen in base 62 |
//! | 23..31 | SHA-256 of source and device, its beginning |     |                               |
//!
//! A device is 3, the person, and that beginning of the hash of source and device.
//!
//! Before it comes the synthetic IV, 16 bytes. All of it is written in base 64 by FHIR's alphabet of ids, `[A-Za-z0-9\-\.]`:
//! 63 characters for a point, 48 for a value of a check-in, 42 for a device.
//!
//! The metric is its key's hash and not a number of the catalogue, so that a change of the catalogue renames nothing.

use std::fmt;

use aes_siv::KeyInit;
use aes_siv::siv::Aes128Siv;
use base64::Engine as _;
use base64::alphabet::{Alphabet, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use storage::UserId;

use super::kind::Field;
use super::namer::Namer;

/// Bytes of the key that everything here is derived from.
pub const KEY_BYTES: usize = 32;

/// Longest id, characters.
pub const ID_CHARACTERS_MAX: usize = 63;

/// Longest page link that is looked at, characters.
const SEALED_CHARACTERS_MAX: usize = 28 << 10;

/// Bytes of what an id of a point encrypts.
pub(super) const POINT_BYTES: usize = 31;
const CHECK_IN_BYTES: usize = 20;
const DEVICE_BYTES: usize = 15;
const POINT: u8 = 1;
const CHECK_IN: u8 = 2;
const DEVICE: u8 = 3;

const USER_PREFIX: &str = "usr_";
const CHECK_IN_PREFIX: &str = "ci_";
const CHECK_IN_CHARACTERS: usize = 16;
/// What the ids of people and check-ins are made of; the last one stands in ids of people alone.
const CHARACTERS: &[u8; 63] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";

/// Characters that an id of FHIR may have, by the six bits that each stands for.
pub(super) const SIX_BITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.";

const FHIR: Alphabet = match Alphabet::new(SIX_BITS) {
    Ok(alphabet) => alphabet,
    // Cannot be; a test looks at the characters.
    Err(_) => URL_SAFE,
};
/// How bytes become characters of an id.
pub(super) const TEXT: GeneralPurpose = GeneralPurpose::new(&FHIR, NO_PAD);

/// The beginning of a hash: tells apart, protects nothing.
pub type Mark = [u8; 8];

/// What an id names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A point.
    Point(Point),
    /// One value of a check-in.
    CheckIn {
        /// Whose.
        user: UserId,
        /// Which value.
        field: Field,
        /// `ci_…`
        id: String,
    },
}

impl Name {
    /// Whose observation it is.
    pub fn user(&self) -> UserId {
        match self {
            Self::Point(point) => point.user,
            Self::CheckIn { user, .. } => *user,
        }
    }
}

/// A point by what identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Whose.
    pub user: UserId,
    /// [`metric_mark`] of its metric.
    pub metric: Mark,
    /// When measured, microseconds UTC.
    pub recorded_at: i64,
    /// [`origin_mark`] of its source and device.
    pub origin: Mark,
}

/// What tells metrics apart.
pub fn metric_mark(key: &str) -> Mark {
    beginning(&Sha256::digest(key.as_bytes()))
}

/// What tells sources and devices apart; no device is one of its own.
pub fn origin_mark(source: &str, device: Option<&str>) -> Mark {
    let mut hash = Sha256::new();
    hash.update(u64::try_from(source.len()).unwrap_or(u64::MAX).to_le_bytes());
    hash.update(source.as_bytes());
    hash.update([u8::from(device.is_some())]);
    hash.update(device.unwrap_or_default().as_bytes());
    beginning(&hash.finalize())
}

fn beginning(hash: &[u8]) -> Mark {
    hash.first_chunk().copied().unwrap_or_default()
}

/// Makes ids and reads them.
#[derive(Clone)]
pub struct Ids {
    names: [u8; KEY_BYTES],
    pages: [u8; KEY_BYTES],
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids(***)")
    }
}

impl Ids {
    /// By the key of a database.
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self { names: derived(key, b"fhir id"), pages: derived(key, b"fhir page") }
    }

    /// Makes ids of a person's points, one after the other.
    pub fn namer(&self, user: UserId) -> Namer {
        let mut begin = [0; 7];
        put(&mut begin, 0, &[POINT]);
        put(&mut begin, 1, &user_code(user));
        Namer::new(&self.names, begin)
    }

    /// The id of a point.
    pub fn of_point(&self, point: &Point) -> String {
        let mut namer = self.namer(point.user);
        namer.begin(point.metric, point.origin);
        String::from_utf8_lossy(&namer.id(point.recorded_at)).into_owned()
    }

    /// The id of a value of a check-in; `None` for a check-in's id that we did not make.
    pub fn of_check_in(&self, user: UserId, field: Field, id: &str) -> Option<String> {
        let mut plain = [0; CHECK_IN_BYTES];
        put(&mut plain, 0, &[CHECK_IN]);
        put(&mut plain, 1, &user_code(user));
        put(&mut plain, 7, &[field.number()]);
        put(&mut plain, 8, &check_in_code(id)?);
        let sealed = cipher(&self.names).encrypt::<[&[u8]; 0], _>([], &plain).ok()?;
        Some(TEXT.encode(sealed))
    }

    /// What an id names; `None` for a text that is not an id of ours.
    pub fn read(&self, id: &str) -> Option<Name> {
        let plain = self.plain_of(id)?;
        let (kind, rest) = plain.split_first()?;
        let (user, rest) = rest.split_first_chunk::<6>()?;
        let user = user_of(*user)?;
        match *kind {
            POINT => {
                let (metric, rest) = rest.split_first_chunk::<8>()?;
                let (recorded_at, rest) = rest.split_first_chunk::<8>()?;
                let origin = <Mark>::try_from(rest).ok()?;
                let recorded_at = i64::from_be_bytes(*recorded_at);
                Some(Name::Point(Point { user, metric: *metric, recorded_at, origin }))
            }
            CHECK_IN => {
                let (field, id) = rest.split_first()?;
                let id = check_in_of(id.try_into().ok()?)?;
                Some(Name::CheckIn { user, field: Field::numbered(*field)?, id })
            }
            _ => None,
        }
    }

    /// The id of a person's source and device, by its [`origin_mark`].
    pub fn of_device(&self, user: UserId, origin: Mark) -> String {
        let mut plain = [0; DEVICE_BYTES];
        put(&mut plain, 0, &[DEVICE]);
        put(&mut plain, 1, &user_code(user));
        put(&mut plain, 7, &origin);
        // It fails for messages of many gigabytes alone.
        TEXT.encode(cipher(&self.names).encrypt::<[&[u8]; 0], _>([], &plain).unwrap_or_default())
    }

    /// Whose source and device an id names, and which; `None` for a text that is not an id of ours.
    pub fn read_device(&self, id: &str) -> Option<(UserId, Mark)> {
        let plain = self.plain_of(id)?;
        let (user, rest) = plain.strip_prefix(&[DEVICE])?.split_first_chunk::<6>()?;
        Some((user_of(*user)?, Mark::try_from(rest).ok()?))
    }

    fn plain_of(&self, id: &str) -> Option<Vec<u8>> {
        if id.len() > ID_CHARACTERS_MAX {
            return None;
        }
        cipher(&self.names).decrypt::<[&[u8]; 0], _>([], &TEXT.decode(id).ok()?).ok()
    }

    /// Seals what a link to a page carries, for one caller alone.
    pub fn seal(&self, caller: &str, plain: &[u8]) -> String {
        // It fails for messages of many gigabytes alone.
        TEXT.encode(cipher(&self.pages).encrypt([caller.as_bytes()], plain).unwrap_or_default())
    }

    /// What [`Self::seal`] sealed for the same caller; `None` for anything else.
    pub fn unseal(&self, caller: &str, sealed: &str) -> Option<Vec<u8>> {
        if sealed.len() > SEALED_CHARACTERS_MAX {
            return None;
        }
        cipher(&self.pages).decrypt([caller.as_bytes()], &TEXT.decode(sealed).ok()?).ok()
    }
}

fn derived(key: &[u8; KEY_BYTES], label: &[u8]) -> [u8; KEY_BYTES] {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; KEY_BYTES] };
    mac.update(label);
    mac.finalize().into_bytes().into()
}

fn cipher(key: &[u8; KEY_BYTES]) -> Aes128Siv {
    Aes128Siv::new(&(*key).into())
}

/// Copies bytes to a place that has room for them.
pub(super) fn put(room: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = room.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// A person's id as a number: `usr_` and eight characters, which is what every account has.
fn user_code(user: UserId) -> [u8; 6] {
    let characters = user.as_bytes().iter().skip(USER_PREFIX.len());
    let number = characters.fold(0_u64, |number, character| number * 63 + digit(*character).unwrap_or(62));
    let [_, _, code @ ..] = number.to_be_bytes();
    code
}

fn user_of(code: [u8; 6]) -> Option<UserId> {
    let number = code.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    UserId::parse(&format!("{USER_PREFIX}{}", characters(number, 63, 8)?))
}

fn check_in_code(id: &str) -> Option<[u8; 12]> {
    let characters = id.strip_prefix(CHECK_IN_PREFIX).filter(|rest| rest.len() == CHECK_IN_CHARACTERS)?;
    let mut number = 0_u128;
    for character in characters.bytes() {
        number = number * 62 + u128::from(digit(character).filter(|digit| *digit < 62)?);
    }
    let [_, _, _, _, code @ ..] = number.to_be_bytes();
    Some(code)
}

fn check_in_of(code: [u8; 12]) -> Option<String> {
    let number = code.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    Some(format!("{CHECK_IN_PREFIX}{}", characters(number, 62, CHECK_IN_CHARACTERS)?))
}

fn digit(character: u8) -> Option<u64> {
    CHARACTERS.iter().position(|known| *known == character).and_then(|digit| u64::try_from(digit).ok())
}

/// A number in so many digits of a base; `None` if it has more.
fn characters(mut number: u128, base: u128, count: usize) -> Option<String> {
    let mut text = vec![b'0'; count];
    for place in text.iter_mut().rev() {
        *place = *usize::try_from(number % base).ok().and_then(|digit| CHARACTERS.get(digit))?;
        number /= base;
    }
    (number == 0).then(|| String::from_utf8(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids() -> Ids {
        Ids::new(&[7; KEY_BYTES])
    }

    fn user(text: &str) -> UserId {
        UserId::parse(text).unwrap()
    }

    fn point() -> Point {
        let (metric, origin) = (metric_mark("heart_rate"), origin_mark("watch", Some("left")));
        Point { user: user("usr_7jRtHvBk"), metric, recorded_at: 1_780_000_000_000_000, origin }
    }

    fn is_fhir_id(id: &str) -> bool {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    }

    #[test]
    fn an_id_stays_what_it_was_when_it_was_first_given() {
        // Clients keep ids: whatever changes these texts breaks what was promised.
        insta::assert_snapshot!(ids().of_point(&point()), @"Ehsaeg.HdPRKS.bvcE1TuTQ6hbxNNVKyBCKRM34WOI6PddUIbG.Rfm7kpZFDXLQ");
        let check_in = ids().of_check_in(point().user, Field::Mood, "ci_0123456789abcDEF").unwrap();
        insta::assert_snapshot!(check_in, @"2fRfLrZOhHcSiXawqoegfnhu29U5h3ozit7Sj0g2NrEgc5Rw");
    }

    proptest! {
        #[test]
        fn an_id_of_a_point_reads_back_and_fits_fhir(
            name in "usr_[A-Za-z0-9_]{8}",
            key in "[a-z0-9_]{1,64}",
            recorded_at: i64,
            source in "\\PC{1,64}",
            device in prop::option::of("\\PC{0,128}"),
        ) {
            let (metric, origin) = (metric_mark(&key), origin_mark(&source, device.as_deref()));
            let point = Point { user: user(&name), metric, recorded_at, origin };
            let id = ids().of_point(&point);
            prop_assert!(is_fhir_id(&id) && id.len() == ID_CHARACTERS_MAX, "{}", id);
            prop_assert_eq!(ids().read(&id), Some(Name::Point(point)));
            prop_assert_eq!(Ids::new(&[8; KEY_BYTES]).read(&id), None, "another key");
        }

        #[test]
        fn an_id_of_a_check_in_reads_back_and_fits_fhir(name in "usr_[A-Za-z0-9]{8}", id in "ci_[A-Za-z0-9]{16}") {
            for field in Field::ALL {
                let text = ids().of_check_in(user(&name), field, &id).unwrap();
                prop_assert!(is_fhir_id(&text), "{}", text);
                let name = Name::CheckIn { user: user(&name), field, id: id.clone() };
                prop_assert_eq!(ids().read(&text), Some(name));
            }
        }

        #[test]
        fn no_changed_character_makes_another_id(place in 0_usize..63, character in "[A-Za-z0-9\\-\\.]") {
            let mut id = ids().of_point(&point());
            prop_assume!(id[place..=place] != character);
            id.replace_range(place..=place, &character);
            prop_assert_eq!(ids().read(&id), None);
        }
    }

    #[test]
    fn an_id_of_a_device_reads_back_and_is_no_observation() {
        let id = ids().of_device(point().user, point().origin);
        assert!(is_fhir_id(&id), "{id}");
        assert_eq!(ids().read_device(&id), Some((point().user, point().origin)));
        assert_eq!(ids().read(&id), None);
        assert_eq!(ids().read_device(&ids().of_point(&point())), None);
        assert_eq!(Ids::new(&[8; KEY_BYTES]).read_device(&id), None, "another key");
        assert_ne!(ids().of_device(user("usr_7jRtHvBl"), point().origin), id);
    }

    #[test]
    fn what_differs_in_anything_has_another_id() {
        let first = point();
        let others = [
            Point { user: user("usr_7jRtHvBl"), ..first },
            Point { metric: metric_mark("hrv"), ..first },
            Point { recorded_at: first.recorded_at + 1, ..first },
            Point { origin: origin_mark("watch", None), ..first },
            Point { origin: origin_mark("watch", Some("")), ..first },
            Point { origin: origin_mark("watchl", Some("eft")), ..first },
        ];
        let mut all: Vec<String> = others.iter().chain([&first]).map(|point| ids().of_point(point)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn what_is_no_id_names_nothing() {
        let good = ids().of_point(&point());
        let long = "A".repeat(100_000);
        let texts = ["", "A", "usr_7jRtHvBk", &good[..62], &format!("{good}A"), &format!(".{good}"), &long, "ä", "%00"];
        for text in texts {
            assert_eq!(ids().read(text), None, "{text}");
        }
        assert_eq!(ids().of_check_in(point().user, Field::Mood, "ci_short"), None);
        assert_eq!(ids().of_check_in(point().user, Field::Mood, "ci_0123456789abcDE_"), None);
    }

    #[test]
    fn a_page_is_unsealed_for_its_caller_alone_and_only_whole() {
        let sealed = ids().seal("usr_a", b"place");
        assert_eq!(ids().unseal("usr_a", &sealed).unwrap(), b"place");
        assert_eq!(ids().unseal("usr_b", &sealed), None);
        assert_eq!(ids().unseal("usr_a", &sealed[1..]), None);
        assert_eq!(ids().unseal("usr_a", &sealed[..sealed.len() - 1]), None);
        assert_eq!(ids().unseal("usr_a", ""), None);
        assert_eq!(ids().unseal("usr_a", &"A".repeat(1 << 20)), None);
        assert_eq!(ids().unseal("usr_a", &ids().of_point(&point())), None, "an id is no page");
    }

    #[test]
    fn a_key_is_in_no_log() {
        assert_eq!(format!("{:?} {:?}", ids(), ids().namer(point().user)), "Ids(***) Namer(***)");
    }
}
