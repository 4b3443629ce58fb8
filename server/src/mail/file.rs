//! The mail file: messages in the manner of mbox, for their owner alone to read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The mail file begins anew above this size, bytes: it is for trying things out.
pub(super) const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a message begins with.
const FIRST_LINE: &[u8] = b"From avycenna\n";

/// Appends a message.
pub(super) fn append(path: &Path, message: &[u8]) -> io::Result<()> {
    let is_full = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > FILE_BYTES_MAX);
    let mut file =
        OpenOptions::new().create(true).append(!is_full).write(true).truncate(is_full).mode(0o600).open(path)?;
    let mut text = FIRST_LINE.to_vec();
    for line in message.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A line that looks like the next message's first is quoted.
        if line.starts_with(b"From ") {
            text.push(b'>');
        }
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_data()
}

/// Takes every message out that names one of `words`, in whatever case; how many. The file is written anew beside
/// itself and then put in its place, so that a crash leaves the one or the other.
pub(super) fn forget(path: &Path, words: &[String]) -> io::Result<usize> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let messages = messages(&text);
    let kept: Vec<&[u8]> = messages.iter().copied().filter(|message| !names(message, words)).collect();
    let beside = path.with_extension("tmp");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if kept.len() < messages.len() {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(&kept.concat())?;
        file.sync_data()?;
        std::fs::rename(&beside, path)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
    }
    Ok(messages.len() - kept.len())
}

/// The messages of a mail file, first lines included; what stands before the first counts as one.
fn messages(text: &[u8]) -> Vec<&[u8]> {
    let starts = text.windows(FIRST_LINE.len()).enumerate().filter(|(at, window)| {
        let is_line = at.checked_sub(1).is_none_or(|before| text.get(before) == Some(&b'\n'));
        is_line && *window == FIRST_LINE
    });
    let mut cuts: Vec<usize> = std::iter::once(0).chain(starts.map(|(at, _)| at)).collect();
    cuts.push(text.len());
    cuts.windows(2).filter_map(|cut| text.get(*cut.first()?..*cut.last()?)).filter(|part| !part.is_empty()).collect()
}

/// Whether a message holds one of the words, not as a part of a longer one: `a@b.org` is not in `ada@b.org`.
pub(super) fn names(message: &[u8], words: &[String]) -> bool {
    let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(byte);
    words.iter().filter(|word| !word.is_empty()).any(|word| {
        message.windows(word.len()).enumerate().any(|(at, window)| {
            let before = at.checked_sub(1).and_then(|before| message.get(before));
            let behind = message.get(at + word.len()..).unwrap_or_default();
            // A dot behind an address ends the sentence, unless a name goes on behind it.
            let goes_on = match behind {
                [b'.', next, ..] => next.is_ascii_alphanumeric(),
                [next, ..] => next.is_ascii_alphanumeric() || *next == b'-' || *next == b'_',
                [] => false,
            };
            window.eq_ignore_ascii_case(word.as_bytes()) && !before.is_some_and(is_of_word) && !goes_on
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_file_that_has_grown_too_long_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mail.txt");
        std::fs::write(&path, vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1]).unwrap();
        append(&path, b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "From avycenna\nnew\n\n");
    }

    #[test]
    fn every_message_that_names_a_person_is_taken_out_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mail.txt");
        assert_eq!(forget(&path, &["da@example.org".to_owned()]).unwrap(), 0, "there is no file");
        let texts = [
            "To: da@example.org\n\nFrom avycenna\nyour code",
            "To: ada@example.org\n\nhello",
            "To: bo@example.org\n\nDr. <DA@Example.org> asks",
            "To: bo@example.org\n\nsay hello to da@example.org.",
            "To: da@example.org.uk\n\nhello",
            "To: bo@example.org\n\nusr_0000000a",
        ];
        for text in texts {
            append(&path, text.as_bytes()).unwrap();
        }
        let words = ["da@example.org".to_owned(), "usr_0000000a".to_owned(), String::new()];
        assert_eq!(forget(&path, &words).unwrap(), 4);
        let left = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            left,
            "From avycenna\nTo: ada@example.org\n\nhello\n\nFrom avycenna\nTo: da@example.org.uk\n\nhello\n\n"
        );
        assert_eq!(forget(&path, &words).unwrap(), 0);
        assert!(!dir.path().join("mail.tmp").exists());
    }
}
