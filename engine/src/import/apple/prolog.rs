//! What stands before the root element: the declaration, comments, and Apple's document type definition.
//!
//! The definition is skipped and never parsed: some versions of iOS write one that no parser takes, and one that could be
//! parsed could define entities. Its end is found twice over: first as XML says, brackets, quotes and comments included;
//! where that leads nowhere, as the first `]>` that is followed by an element.

use std::io::{self, Read};

/// Bytes before the root element. Apple's definition has about ten thousand.
pub(super) const PROLOG_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that are read before it is looked at again.
const STEP_BYTES: usize = 64 * 1024;
/// Characters of a name that are shown.
const NAME_CHARS_MAX: usize = 64;

/// The beginning of a document up to its root element, and a little more.
#[derive(Debug)]
pub(super) struct Prolog {
    /// What was read from the root element's `<` on.
    rest: Vec<u8>,
    /// Where that stands in the document.
    pub(super) root_at: u64,
    /// The root element's name.
    pub(super) root: String,
    /// What ended the reading behind `rest`, if anything did.
    failure: Option<io::Error>,
}

/// Why a document has no root element.
#[derive(Debug)]
pub(super) enum NoRoot {
    /// The document says something else at this offset.
    Broken(u64, &'static str),
    /// Reading failed.
    Read(io::Error),
}

impl Prolog {
    /// Reads up to the root element.
    pub(super) fn read(mut input: impl Read) -> Result<Self, NoRoot> {
        let mut bytes = Vec::new();
        loop {
            let step = u64::try_from(STEP_BYTES).unwrap_or(u64::MAX);
            // What was read before a failure is in `bytes`, and may be a whole document.
            let (read, failure) = match input.by_ref().take(step).read_to_end(&mut bytes) {
                Ok(read) => (read, None),
                Err(error) => (0, Some(error)),
            };
            let is_all = read < STEP_BYTES || bytes.len() >= PROLOG_BYTES_MAX;
            match (root(&bytes, is_all), failure) {
                (Ok((at, name)), failure) => {
                    let root = String::from_utf8_lossy(name).chars().take(NAME_CHARS_MAX).collect();
                    let rest = bytes.split_off(at);
                    return Ok(Self { rest, root_at: offset(at), root, failure });
                }
                (Err(_), Some(failure)) => return Err(NoRoot::Read(failure)),
                (Err(Missing::More), None) if !is_all => {}
                (Err(Missing::More), None) => {
                    return Err(NoRoot::Broken(offset(bytes.len()), "it ends before its root element"));
                }
                (Err(Missing::Never(at, what)), None) => return Err(NoRoot::Broken(offset(at), what)),
            }
        }
    }

    /// The document from its root element on, of which `input` is what was not read yet.
    pub(super) fn document(self, input: impl Read) -> impl Read {
        io::Cursor::new(self.rest).chain(Failing(self.failure)).chain(input)
    }
}

/// Fails once, if it has something to fail with.
#[derive(Debug)]
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn offset(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

/// Why no root element was found.
#[derive(Debug, PartialEq)]
enum Missing {
    /// It may still come.
    More,
    /// It will not.
    Never(usize, &'static str),
}

/// Where the root element begins, and its name.
fn root(bytes: &[u8], is_all: bool) -> Result<(usize, &[u8]), Missing> {
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'<', 0, ..] | [0, b'<', ..]) {
        return Err(Missing::Never(0, "its text is not UTF-8"));
    }
    let mut at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    loop {
        at += spaces(from(bytes, at));
        let rest = from(bytes, at);
        let length = match rest {
            [] | [b'<'] => return Err(Missing::More),
            [b'<', b'?', ..] => end_of(rest, b"?>"),
            [b'<', b'!', b'-', ..] => end_of(rest, b"-->"),
            [b'<', b'!', ..] => match definition(rest) {
                Some(length) => Some(length),
                // What is missing may only not have been read yet.
                None if is_all => definition_by_its_look(rest),
                None => None,
            },
            [b'<', next, ..] if starts_name(*next) => {
                let name = rest.get(1..).unwrap_or_default();
                let end = name.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'>' | b'/'));
                return end.map(|end| (at, name.get(..end).unwrap_or_default())).ok_or(Missing::More);
            }
            _ => return Err(Missing::Never(at, "this is no XML")),
        };
        at += length.ok_or(Missing::More)?;
    }
}

fn from(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

fn spaces(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(bytes.len())
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b':' || byte >= 0x80
}

/// The length up to the end of `mark`.
fn end_of(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len())
}

/// The length of a document type definition as XML says it, if an element, a comment or an instruction follows.
fn definition(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    let mut is_inside = false;
    // Inside of `<!ELEMENT …>`, where quotes count.
    let mut is_declaring = true;
    loop {
        let rest = from(bytes, at);
        at += match rest {
            [] => return None,
            [b'<', b'!', b'-', b'-', ..] => end_of(rest, b"-->")?,
            [b'<', b'?', ..] => end_of(rest, b"?>")?,
            [b'<', b'!', ..] => {
                is_declaring = true;
                2
            }
            // No element stands in a definition: a quote or a bracket was not closed.
            [b'<', next, ..] if starts_name(*next) => return None,
            [quote @ (b'"' | b'\''), quoted @ ..] if is_declaring => quoted.iter().position(|byte| byte == quote)? + 2,
            [b'[', ..] if !is_inside => {
                (is_inside, is_declaring) = (true, false);
                1
            }
            [b']', ..] if is_inside && !is_declaring => {
                is_inside = false;
                1
            }
            [b'>', ..] if is_inside => {
                is_declaring = false;
                1
            }
            [b'>', ..] => return is_before_markup(from(bytes, at + 1)).then_some(at + 1),
            _ => 1,
        };
    }
}

/// The length of a definition that is none: up to the first `]>`, outside of comments, that an element follows.
fn definition_by_its_look(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = from(bytes, at);
        at += match rest {
            [] => return None,
            [b'<', b'!', b'-', b'-', ..] => end_of(rest, b"-->").unwrap_or(1),
            [b']', behind @ ..] => {
                let gap = spaces(behind);
                let length = gap + 2;
                if behind.get(gap) == Some(&b'>') && is_before_element(from(rest, length)) {
                    return Some(at + length);
                }
                1
            }
            _ => 1,
        };
    }
}

fn is_before_markup(bytes: &[u8]) -> bool {
    let behind = from(bytes, spaces(bytes));
    matches!(behind, [b'<', b'?', ..] | [b'<', b'!', b'-', ..]) || is_before_element(bytes)
}

fn is_before_element(bytes: &[u8]) -> bool {
    matches!(from(bytes, spaces(bytes)), [b'<', next, ..] if starts_name(*next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<(&str, &str), Missing> {
        let (at, name) = root(text.as_bytes(), true)?;
        Ok((&text[at..], std::str::from_utf8(name).unwrap()))
    }

    const ROOT: &str = "<HealthData locale=\"de_DE\">";

    #[test]
    fn the_root_is_found_behind_everything_that_may_stand_before_it() {
        for before in [
            "",
            "\u{feff}",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
            "<?xml version=\"1.0\"?><!-- <HealthData ]> -->\r\n<?target <Health ?>",
            "<!DOCTYPE HealthData>",
            "<!DOCTYPE HealthData SYSTEM \"a>b\">",
            "<!DOCTYPE HealthData [\n<!-- HealthKit Export Version: 13 -->\n<!ELEMENT HealthData (ExportDate,Me,(Record|Workout)*)>\n<!ATTLIST HealthData\n  locale CDATA #REQUIRED\n>\n]>\n",
            "<!DOCTYPE HealthData [ <!-- ]> <HealthData --> ]>",
            "<!DOCTYPE HealthData [ <!-- it's --> ]>",
            "<!DOCTYPE HealthData [ <!ENTITY a \"]>\n<HealthData>\"> ]>",
            "<!DOCTYPE HealthData [ <?note ]> <x ?> ]>",
            "<!DOCTYPE HealthData [ <!ENTITY % p 'x'> %p; ] >\n<!-- then -->",
        ] {
            let text = format!("{before}{ROOT}");
            assert_eq!(found(&text), Ok((ROOT, "HealthData")), "{before}");
        }
    }

    #[test]
    fn the_end_of_a_broken_definition_is_found_by_its_look() {
        for broken in [
            // A declaration without its end, attributes without their declaration, quotes and comments without an end.
            "<!DOCTYPE HealthData [\n<!ELEMENT A EMPTY\n<!ATTLIST B\n  startDate CDATA #REQUIRED\n]>\n",
            "<!DOCTYPE HealthData [\n  startDate CDATA #REQUIRED\n>\n>\n]>\n",
            "<!DOCTYPE HealthData [\n<!ATTLIST A b CDATA \"#REQUIRED>\n]>\n",
            "<!DOCTYPE HealthData [\n<!ELEMENT A (B's)>\n] >\n",
            "<!DOCTYPE HealthData [\n<!-- no end\n]>\n",
            "<!DOCTYPE HealthData [\n<!ATTLIST A b CDATA \"]> <!\n>\n]>",
        ] {
            let text = format!("{broken}{ROOT}");
            assert_eq!(found(&text), Ok((ROOT, "HealthData")), "{broken}");
        }
    }

    #[test]
    fn what_has_no_root_says_so() {
        assert_eq!(found("hello"), Err(Missing::Never(0, "this is no XML")));
        assert_eq!(found(" <?xml?> text"), Err(Missing::Never(9, "this is no XML")));
        for unfinished in ["", "<", "<?xml", "<!-- ", "<!DOCTYPE HealthData [", "<!DOCTYPE a [ ]>", "<Health"] {
            assert_eq!(found(unfinished), Err(Missing::More), "{unfinished}");
        }
        for utf_16 in [b"\xff\xfe<\0".as_slice(), b"\xfe\xff\0<", b"<\0?\0"] {
            assert_eq!(root(utf_16, true), Err(Missing::Never(0, "its text is not UTF-8")));
        }
    }

    #[test]
    fn every_prefix_waits_for_more_and_the_whole_is_found() {
        let text = format!("<?xml?><!DOCTYPE HealthData [ <!-- ]> <x --> <!ENTITY a ']>'> ]>\n{ROOT}");
        for end in 0..text.len() - ROOT.len() + 11 {
            assert_eq!(root(&text.as_bytes()[..end], false), Err(Missing::More), "{}", &text[..end]);
        }
        let prolog = Prolog::read(text.as_bytes()).unwrap();
        assert_eq!((prolog.root.as_str(), prolog.rest.as_slice()), ("HealthData", ROOT.as_bytes()));
        assert_eq!(usize::try_from(prolog.root_at).unwrap(), text.len() - ROOT.len());
    }

    #[test]
    fn a_definition_without_an_end_is_given_up_after_a_mebibyte() {
        let endless = b"<!DOCTYPE HealthData [".as_slice().chain(io::repeat(b' '));
        let Err(NoRoot::Broken(at, _)) = Prolog::read(endless) else { panic!("found a root in nothing") };
        assert_eq!(usize::try_from(at).unwrap(), PROLOG_BYTES_MAX);
    }
}
