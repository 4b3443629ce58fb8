//! Which watch, phone or app measured: one name for one device, however often Apple's export writes it differently.
//!
//! A record says `sourceName="Max’s Apple&#160;Watch"` and `device="<<HKDevice: 0x28…>, name:Apple Watch,
//! manufacturer:Apple Inc., model:Watch, hardware:Watch5,3, software:6.1.3>"`. The address changes with every export, the
//! software with every update, and a space may be any of several. So:
//!
//! - the source is the name of the source, 64 characters at most, every space and control character one space, marks of
//!   writing direction gone;
//! - the device is `name, manufacturer, model, hardware` as far as they are there, 128 characters at most. The address,
//!   the versions of software and firmware, and identifiers of the phone's own (`localIdentifier`) are left out.

use std::collections::HashMap;

use crate::import::Maker;

/// Characters of a source.
const SOURCE_CHARS_MAX: usize = 64;
/// Characters of a device.
pub(crate) const DEVICE_CHARS_MAX: usize = 128;
/// Sources and devices that one file may name. A person has a few dozen; a file with more is not one person's.
const MAKERS_MAX: usize = 10_000;
/// Spellings that are remembered, so that they need not be cleaned again.
const SPELLINGS_MAX: usize = 4_096;
/// A longer spelling is not remembered.
const SPELLING_BYTES_MAX: usize = 1_024;
/// Bytes of a key in the description of a device, more than any has.
const KEY_BYTES_MAX: usize = 33;
/// Bytes between `&` and `;`, with zeros in front of a number.
const REFERENCE_BYTES_MAX: usize = 16;
/// The source of a record that names none.
const UNNAMED: &str = "Apple Health";

/// A watch comes first where pieces of a day overlap.
pub(crate) const RANK_WATCH: u8 = 0;
/// Then a phone.
pub(crate) const RANK_PHONE: u8 = 1;
/// Then everything else.
pub(crate) const RANK_OTHER: u8 = 2;

/// A source with its device, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) source: String,
    pub(crate) device: Option<String>,
    /// Whose pieces count where several overlap.
    pub(crate) rank: u8,
}

impl Origin {
    pub(crate) fn maker(&self) -> Maker<'_> {
        Maker { source: &self.source, device: self.device.as_deref() }
    }
}

/// What a record says of its maker, as the file writes it, entities and all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spelling<'a> {
    pub(super) source: &'a str,
    pub(super) device: &'a str,
    pub(super) product: &'a str,
}

/// All makers of a file, found by their spelling.
#[derive(Debug, Default)]
pub(crate) struct Makers {
    origins: Vec<Origin>,
    by_name: HashMap<String, usize>,
    by_spelling: HashMap<String, usize>,
    key: String,
    /// The spelling that was asked last, and what it was.
    last: Option<(String, usize)>,
}

impl Makers {
    /// The number of a maker; `None` if the file names more than can be kept.
    #[inline]
    pub(super) fn find(&mut self, spelling: Spelling<'_>) -> Option<usize> {
        self.key.clear();
        self.key.push_str(spelling.source);
        self.key.push('\n');
        self.key.push_str(behind_address(spelling.device));
        self.key.push('\n');
        self.key.push_str(spelling.product);
        match &self.last {
            Some((last, found)) if *last == self.key => Some(*found),
            _ => self.look_up(spelling),
        }
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Origin> {
        self.origins.get(number)
    }

    fn look_up(&mut self, spelling: Spelling<'_>) -> Option<usize> {
        let found = match self.by_spelling.get(&self.key) {
            Some(found) => *found,
            None => self.add(spelling)?,
        };
        match &mut self.last {
            Some((last, number)) => {
                last.clone_from(&self.key);
                *number = found;
            }
            None => self.last = Some((self.key.clone(), found)),
        }
        Some(found)
    }

    /// The number of a maker whose names are clean; `None` if the file names more than can be kept.
    pub(crate) fn number_of(&mut self, origin: Origin) -> Option<usize> {
        let name = format!("{}\n{}", origin.source, origin.device.as_deref().unwrap_or_default());
        if let Some(found) = self.by_name.get(&name) {
            return Some(*found);
        }
        if self.origins.len() >= MAKERS_MAX {
            return None;
        }
        self.origins.push(origin);
        self.by_name.insert(name, self.origins.len() - 1);
        Some(self.origins.len() - 1)
    }

    fn add(&mut self, spelling: Spelling<'_>) -> Option<usize> {
        let found = self.number_of(origin(spelling))?;
        if self.key.len() <= SPELLING_BYTES_MAX {
            if self.by_spelling.len() >= SPELLINGS_MAX {
                self.by_spelling.clear();
            }
            self.by_spelling.insert(self.key.clone(), found);
        }
        Some(found)
    }
}

/// What follows `<<HKDevice: 0x282d03020>, `: the address differs from record to record.
#[inline]
fn behind_address(device: &str) -> &str {
    match device.split_once(", ") {
        Some((address, rest)) if address.contains("HKDevice") => rest,
        _ => device,
    }
}

fn origin(spelling: Spelling<'_>) -> Origin {
    let mut source = cleaned(&unescaped(spelling.source), SOURCE_CHARS_MAX);
    if source.is_empty() {
        UNNAMED.clone_into(&mut source);
    }
    let described = unescaped(spelling.device);
    let fields = Fields::of(&described);
    let device = if described.is_empty() { None } else { Some(fields.name(&described)) };
    let device = device.filter(|device| !device.is_empty());
    let rank = rank(&fields, spelling.product, device.is_none().then_some(source.as_str()));
    Origin { source, device, rank }
}

/// What a description of a device says.
#[derive(Debug, Default)]
struct Fields<'a> {
    name: &'a str,
    manufacturer: &'a str,
    model: &'a str,
    hardware: &'a str,
}

impl<'a> Fields<'a> {
    /// Reads `…, name:Apple Watch, hardware:Watch5,3, software:8.1>`. A value may hold commas.
    fn of(described: &'a str) -> Self {
        let mut fields = Self::default();
        let body = described.trim_end().trim_end_matches('>');
        let mut rest = body;
        while !rest.is_empty() {
            let end = rest.match_indices(", ").find(|(at, _)| key(rest.get(at + 2..).unwrap_or_default()).is_some());
            let (field, behind) = match end {
                Some((at, _)) => (rest.get(..at).unwrap_or_default(), rest.get(at + 2..).unwrap_or_default()),
                None => (rest, ""),
            };
            if let Some(key) = key(field) {
                let value = field.get(key.len() + 1..).unwrap_or_default();
                match key {
                    "name" => fields.name = value,
                    "manufacturer" => fields.manufacturer = value,
                    "model" => fields.model = value,
                    "hardware" => fields.hardware = value,
                    _ => {}
                }
            }
            rest = behind;
        }
        fields
    }

    /// The device's name for us; of a description in no known form, the description.
    fn name(&self, described: &str) -> String {
        let fields = [self.name, self.manufacturer, self.model, self.hardware];
        let known: Vec<_> = fields.into_iter().filter(|field| !field.trim().is_empty()).collect();
        if known.is_empty() {
            let is_empty = described.contains("HKDevice");
            return if is_empty { String::new() } else { cleaned(described, DEVICE_CHARS_MAX) };
        }
        cleaned(&known.join(", "), DEVICE_CHARS_MAX)
    }
}

/// The key of `hardware:Watch5,3` or `creation date:2019-…`.
fn key(field: &str) -> Option<&str> {
    let end = field.bytes().take(KEY_BYTES_MAX).position(|byte| !byte.is_ascii_alphabetic() && byte != b' ')?;
    (end > 0 && field.as_bytes().get(end) == Some(&b':')).then(|| field.get(..end))?
}

/// The device decides; where there is none, the source's name.
fn rank(fields: &Fields<'_>, product: &str, source: Option<&str>) -> u8 {
    let says = |text: &str, word: &str| text.to_ascii_lowercase().contains(word);
    let texts = [fields.hardware, fields.model, fields.name, product, source.unwrap_or_default()];
    if texts.iter().any(|text| says(text, "watch")) {
        RANK_WATCH
    } else if texts.iter().any(|text| says(text, "iphone")) {
        RANK_PHONE
    } else {
        RANK_OTHER
    }
}

/// One space for every run of spaces and control characters, none at the ends, no marks that cannot be seen; so many
/// characters at most.
pub(crate) fn cleaned(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let mut chars = 0;
    let mut is_apart = false;
    for letter in text.chars() {
        // Marks of direction, joiners and the byte order mark: writing that nobody sees.
        if matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        {
            continue;
        }
        if letter.is_whitespace() || letter.is_control() {
            is_apart = chars > 0;
            continue;
        }
        if chars + usize::from(is_apart) >= chars_max {
            break;
        }
        if is_apart {
            out.push(' ');
            chars += 1;
            is_apart = false;
        }
        out.push(letter);
        chars += 1;
    }
    out
}

/// The text of an attribute: the five entities that XML has by itself and characters by number; any other stays as it is
/// written, for nothing that a file defines is ever expanded.
pub(super) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let end = behind.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';');
        let name = end.and_then(|end| behind.get(..end));
        if let Some((letter, bytes)) = name.and_then(|name| Some((reference(name)?, name.len() + 1))) {
            out.push(letter);
            rest = behind.get(bytes..).unwrap_or_default();
        } else {
            out.push('&');
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

fn reference(name: &str) -> Option<char> {
    let number = match name {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => name.strip_prefix('#')?,
    };
    let code = match number.strip_prefix('x') {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str, device: &str) -> Origin {
        origin(Spelling { source, device, product: "" })
    }

    const WATCH: &str = "&lt;&lt;HKDevice: 0x2825c8c80&gt;, name:Apple Watch, manufacturer:Apple, model:Watch, hardware:Watch4,4, software:8.1&gt;";

    #[test]
    fn a_device_is_the_same_whatever_its_address_software_and_spaces() {
        let expected = Origin {
            source: "User’s Apple Watch".to_owned(),
            device: Some("Apple Watch, Apple, Watch, Watch4,4".to_owned()),
            rank: RANK_WATCH,
        };
        let mut makers = Makers::default();
        for device in [
            WATCH,
            &WATCH.replace("0x2825c8c80", "0x1"),
            &WATCH.replace("0x2825c8c80&gt;", "0x"),
            &WATCH.replace("8.1", "9.0.2"),
            &WATCH.replace("software", "firmware:7, software"),
            &WATCH.replace("&gt;\"", ", localIdentifier:AA-BB, creation date:2021-01-01 00:00:00 +0000&gt;"),
            &WATCH.replace("Apple Watch", "Apple&#160;Watch"),
        ] {
            for source in
                ["User&#8217;s Apple&#xA0;Watch", " User’s\u{202f}Apple\tWatch\u{1}", "User’s Apple Watch\u{200e}"]
            {
                assert_eq!(found(source, device), expected, "{source:?} {device}");
                assert_eq!(makers.find(Spelling { source, device, product: "" }), Some(0));
            }
        }
        assert_eq!(makers.find(Spelling { source: "Phone", device: WATCH, product: "" }), Some(1));
        assert_eq!(makers.get(1).unwrap().maker().source, "Phone");
    }

    #[test]
    fn ranks_follow_the_device_and_then_the_name() {
        let phone =
            "<<HKDevice: 0x1>, name:iPhone, manufacturer:Apple Inc., model:iPhone, hardware:iPhone11,2, software:13>";
        for (source, device, product, rank) in [
            ("any", WATCH, "", RANK_WATCH),
            ("my watch app", phone, "", RANK_PHONE),
            ("my watch app", "<<HKDevice: 0x1>, name:AirPods, model:0x2002>", "", RANK_OTHER),
            ("Max's Apple Watch", "", "", RANK_WATCH),
            ("Max's iPhone", "", "", RANK_PHONE),
            ("Max", "", "Watch6,1", RANK_WATCH),
            ("Max", "", "iPhone14,2", RANK_PHONE),
            ("Strava", "", "", RANK_OTHER),
        ] {
            assert_eq!(origin(Spelling { source, device, product }).rank, rank, "{source} {device} {product}");
        }
    }

    #[test]
    fn texts_are_as_long_as_a_point_takes_them() {
        let long = "ä".repeat(300);
        let origin = found(&long, &format!("<<HKDevice: 0x1>, name:{long}, hardware:1>"));
        assert_eq!(origin.source.chars().count(), SOURCE_CHARS_MAX);
        assert_eq!(origin.device.unwrap().chars().count(), DEVICE_CHARS_MAX);
        assert_eq!(cleaned(&"a ".repeat(40), 3), "a a");
        assert_eq!(cleaned("a b", 2), "a");
        assert_eq!(found("\u{1}\u{a0}", "").source, UNNAMED);
        assert_eq!(found("x", "<<HKDevice: 0x1>>").device, None);
        assert_eq!(found("x", "Withings\u{a0}Scale").device.as_deref(), Some("Withings Scale"));
        assert_eq!(found("x", "&lt;&lt;HKDevice: 0x1&gt;, software:1&gt;").device, None);
    }

    #[test]
    fn entities_of_the_file_are_never_expanded() {
        assert_eq!(unescaped("&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&#0000067;"), "<>&\"'ABC");
        for same in ["&bomb;", "&", "&;", "&#;", "&#x;", "&#xD800;", "&#99999999999;", "a & b; c", "&#x110000;"] {
            assert_eq!(unescaped(same), same);
        }
        assert_eq!(unescaped("&bomb;&amp;lt;"), "&bomb;&lt;");
    }

    #[test]
    fn makers_and_spellings_are_bounded() {
        let mut makers = Makers::default();
        for number in 0..MAKERS_MAX {
            let source = format!("app {number}");
            assert_eq!(makers.find(Spelling { source: &source, ..Spelling::default() }), Some(number));
        }
        assert_eq!(makers.find(Spelling { source: "one more", ..Spelling::default() }), None);
        assert_eq!(makers.find(Spelling { source: "app 0", ..Spelling::default() }), Some(0));
        assert!(makers.by_spelling.len() <= SPELLINGS_MAX);
        let long = "x".repeat(SPELLING_BYTES_MAX);
        let before = makers.by_spelling.len();
        assert_eq!(makers.find(Spelling { source: "app 7", device: "", product: &long }), Some(7));
        assert_eq!(makers.by_spelling.len(), before);
    }
}
