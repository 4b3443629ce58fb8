//! One `export.xml`: its elements, streamed.
//!
//! ```text
//! <HealthData>                      depth 1
//!   <ExportDate …/>                 when the phone wrote it
//!   <Record …/>                     depth 2: what is taken
//!   <Record …>                      with its beats below
//!     <HeartRateVariabilityMetadataList><InstantaneousBeatsPerMinute …/>…
//!   <Correlation …><Record …/>…     the same records again
//!   <Workout …>, <ActivitySummary …/>, <ClinicalRecord …/>, …
//! ```

use std::cell::Cell;
use std::io::Read;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::prolog::Prolog;
use super::record::{Attributes, Records};
use super::text::{Failure, PIECE_BYTES_MAX, Text};
use crate::import::{Fault, Sink};

/// Elements inside of each other; Apple has five.
const DEPTH_MAX: usize = 32;
/// Bytes of XML between two reports of progress.
pub(super) const REPORT_BYTES: u64 = 256 * 1024;
/// Depth of what stands directly below the root element.
const DEPTH_OF_RECORDS: usize = 2;

/// Reads a document whose prolog was read. `position` is how far the file is read, as it lies there.
pub(super) fn read(prolog: Prolog, input: impl Read, position: &Cell<u64>, sink: &mut dyn Sink) -> Result<(), Fault> {
    let root_at = prolog.root_at;
    let text = Text::new(prolog.document(input), root_at);
    let mut reader = Reader::from_reader(text);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.check_comments = false;
    let mut document = Document { records: Records::default(), depth: 0, inside: Parent::Root };
    let outcome = document.elements(&mut reader, root_at, position, sink);
    if let Some((first, count)) = reader.get_ref().replaced() {
        sink.skipped(
            "bytes that are no UTF-8, read as question marks",
            &format_args!("{count}, the first at byte {first}"),
        );
    }
    match outcome {
        // Who wanted no more wants no nights either.
        Err(Fault::Stopped(stop)) => Err(Fault::Stopped(stop)),
        outcome => document.records.finish(outcome.is_err(), sink).and(outcome),
    }
}

/// In what the current element stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    Root,
    Record,
    Correlation,
    Other,
}

#[derive(Debug)]
struct Document {
    records: Records,
    depth: usize,
    /// What the open element at [`DEPTH_OF_RECORDS`] is.
    inside: Parent,
}

impl Document {
    fn elements<R: Read>(
        &mut self,
        reader: &mut Reader<Text<R>>,
        root_at: u64,
        position: &Cell<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), Fault> {
        let mut piece = Vec::new();
        let mut reported_at = 0;
        loop {
            piece.clear();
            reader.get_mut().next_piece();
            let at = root_at + reader.buffer_position();
            if at - reported_at >= REPORT_BYTES {
                sink.reached(position.get())?;
                reported_at = at;
            }
            match reader.read_event_into(&mut piece) {
                Ok(Event::Start(_) | Event::Empty(_)) if self.depth == 0 && at > root_at => {
                    return Err(broken(at, "a second root element follows the first".to_owned()));
                }
                Ok(Event::Start(element)) => {
                    self.depth += 1;
                    if self.depth > DEPTH_MAX {
                        return Err(broken(at, format!("more than {DEPTH_MAX} elements inside of each other")));
                    }
                    self.open(&element, false, at, sink)?;
                }
                Ok(Event::Empty(element)) => {
                    self.depth += 1;
                    self.open(&element, true, at, sink)?;
                    self.depth -= 1;
                }
                Ok(Event::End(_)) => {
                    if self.depth == DEPTH_OF_RECORDS {
                        if self.inside == Parent::Record {
                            self.records.end(sink)?;
                        }
                        self.inside = Parent::Root;
                    }
                    // A closing tag without an opening one is an error of the reader's.
                    self.depth = self.depth.saturating_sub(1);
                }
                // An archive compares a part's checksum at its end, so that it is read on to there.
                Ok(Event::Eof) if self.depth == 0 => return Ok(()),
                Ok(Event::Eof) => return Err(broken(at, "it ends before its root element does".to_owned())),
                Ok(_) => {}
                Err(error) => return Err(fault(reader, root_at, &error)),
            }
        }
    }

    /// An element begins; `is_empty` if it ends there too.
    #[inline]
    fn open(&mut self, element: &BytesStart<'_>, is_empty: bool, at: u64, sink: &mut dyn Sink) -> Result<(), Fault> {
        let name = element.name().0;
        if self.depth == DEPTH_OF_RECORDS {
            let parent = match name {
                "Record" => {
                    let attributes = Attributes::of(element).map_err(|what| broken(at, what.to_owned()))?;
                    self.records.record(&attributes, is_empty, sink)?;
                    Parent::Record
                }
                "Correlation" => Parent::Correlation,
                "ExportDate" => {
                    let date = Attributes::of(element).map_err(|what| broken(at, what.to_owned()))?;
                    self.records.exported(&date);
                    Parent::Other
                }
                other => {
                    leave(other, sink);
                    Parent::Other
                }
            };
            self.inside = if is_empty { Parent::Root } else { parent };
        } else if name == "InstantaneousBeatsPerMinute" && self.inside == Parent::Record {
            let beat = Attributes::of(element).map_err(|what| broken(at, what.to_owned()))?;
            self.records.beat(&beat);
        } else if name == "Record" && self.inside == Parent::Correlation {
            // Apple: "Any Records that appear as children of a correlation also appear as top-level records."
            let name = Attributes::of(element).map_err(|what| broken(at, what.to_owned()))?.kind;
            sink.skipped("records repeated inside of a correlation, which stand outside of it too", &name);
        }
        Ok(())
    }
}

/// Counts an element that is no record.
fn leave(name: &str, sink: &mut dyn Sink) {
    let reason = match name {
        "Me" => return,
        "Workout" => "workouts, whose heart rate and energy stand among the records",
        "ActivitySummary" => "summaries of activity rings, as totals are made of the records",
        "ClinicalRecord" => "clinical records, which are no metric here",
        "Audiogram" => "audiograms, which are no metric here",
        "VisionPrescription" => "vision prescriptions, which are no metric here",
        _ => "elements that are not known here",
    };
    let shown: String = name.chars().take(64).collect();
    sink.skipped(reason, &shown);
}

pub(super) fn broken(at: u64, what: String) -> Fault {
    Fault::Broken { at, what }
}

/// Why the reader stopped: what stood behind its error, or the error in its own words.
fn fault<R: Read>(reader: &mut Reader<Text<R>>, root_at: u64, error: &quick_xml::Error) -> Fault {
    let at = root_at + reader.error_position();
    match reader.get_mut().take_failure() {
        Some(Failure::TooLong) => {
            let at = root_at + reader.buffer_position();
            broken(at, format!("a tag or a text of more than {PIECE_BYTES_MAX} bytes"))
        }
        Some(Failure::Read(error)) => super::failed_reading(root_at + reader.buffer_position(), error),
        None => broken(at, error.to_string()),
    }
}
