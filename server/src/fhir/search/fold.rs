//! Names as they are compared: without case and without accents, as R4 wants of a search by a string.
//!
//! ```text
//! "André Müller", composed or not ─▶ small letters ─▶ NFD ─▶ no combining marks ─▶ letters of LETTERS ─▶ NFC: "andre muller"
//! ```

use unicode_normalization::UnicodeNormalization as _;

/// Combining marks that are accents. Marks of other blocks are vowels or tones of their scripts, and stay.
const ACCENTS: [std::ops::RangeInclusive<char>; 3] =
    ['\u{300}'..='\u{36f}', '\u{1ab0}'..='\u{1aff}', '\u{1dc0}'..='\u{1dff}'];

/// Letters whose stroke or shape is no mark that Unicode could take off, and how they are written without.
const LETTERS: [(char, &str); 10] = [
    ('ß', "ss"),
    ('æ', "ae"),
    ('œ', "oe"),
    ('ø', "o"),
    ('đ', "d"),
    ('ð', "d"),
    ('þ', "th"),
    ('ł', "l"),
    ('ı', "i"),
    // At the end of a word.
    ('ς', "σ"),
];

/// A text without case and accents.
pub(crate) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let small = text.to_lowercase();
    let mut bare = String::with_capacity(small.len());
    for character in small.nfd().filter(|character| !ACCENTS.iter().any(|block| block.contains(character))) {
        match LETTERS.iter().find(|(letter, _)| *letter == character) {
            Some((_, letters)) => bare.push_str(letters),
            None => bare.push(character),
        }
    }
    bare.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_make_no_difference_however_they_are_written() {
        for (text, expected) in [
            ("André Müller", "andre muller"),
            ("Andre\u{301} Mu\u{308}ller", "andre muller"),
            ("ANDRE MULLER", "andre muller"),
            ("Łukasz Øre, Straße, STRASSE", "lukasz ore, strasse, strasse"),
            ("Þóra Æsir Đặng", "thora aesir dang"),
            ("İpek Işık", "ipek isik"),
            ("ΝΊΚΟΣ", "νικοσ"),
            ("Νίκος", "νικοσ"),
            ("Пётр", "петр"),
        ] {
            assert_eq!(folded(text), expected, "{text}");
            assert_eq!(folded(expected), expected);
        }
    }

    #[test]
    fn letters_of_other_scripts_stay_what_they_are() {
        assert_eq!(folded("हिन्दी"), "हिन्दी");
        assert_eq!(folded("한글"), "한글");
        assert_ne!(folded("が"), "");
        assert_eq!(folded("が"), "が");
    }
}
