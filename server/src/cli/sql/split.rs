//! Where a statement ends: at a `;` that stands in no text, name or comment.

/// What a text is in, somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    /// `'…'` or `"…"`.
    Quoted(char),
    /// `-- …`
    Line,
    /// `/* … */`
    Block,
}

/// The statements of a text, and what is left behind the last `;`. Blank ones are left out.
pub(super) fn statements(text: &str) -> (Vec<&str>, &str) {
    let (statements, rest, _) = walk(text);
    (statements, rest)
}

/// Whether a text ends inside a text, a name or a comment of several lines.
pub(super) fn is_open(text: &str) -> bool {
    matches!(walk(text).2, State::Quoted(_) | State::Block)
}

/// Statements, what is left, and what the end is in.
fn walk(text: &str) -> (Vec<&str>, &str, State) {
    let mut statements = Vec::new();
    let mut begin = 0;
    let mut state = State::Code;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        state = match (state, character, next) {
            (State::Code, '\'' | '"', _) => State::Quoted(character),
            (State::Code, '-', Some('-')) => State::Line,
            (State::Code, '/', Some('*')) => {
                characters.next();
                State::Block
            }
            (State::Code, ';', _) => {
                statements.extend(text.get(begin..at).filter(|statement| !is_blank(statement)));
                begin = at + 1;
                State::Code
            }
            // A doubled quote ends and begins again, which is the same.
            (State::Quoted(quote), _, _) if character == quote => State::Code,
            (State::Line, '\n', _) => State::Code,
            (State::Block, '*', Some('/')) => {
                characters.next();
                State::Code
            }
            (state, ..) => state,
        };
    }
    (statements, text.get(begin..).unwrap_or_default(), state)
}

/// Whether there is nothing but blanks and comments.
pub(super) fn is_blank(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some(comment) = rest.strip_prefix("--") {
        rest = comment.split_once('\n').map_or("", |(_, behind)| behind).trim_start();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_where_they_say() {
        let text = "SELECT ';' ; SELECT \";\", 'it''s;' -- ; no\n/* ; */;;\n-- nothing\n; SELECT 3";
        let (found, rest) = statements(text);
        assert_eq!(found, ["SELECT ';' ", " SELECT \";\", 'it''s;' -- ; no\n/* ; */"]);
        assert_eq!(rest, " SELECT 3");
        assert_eq!(statements("SELECT 1;"), (vec!["SELECT 1"], ""));
        assert_eq!(statements("SELECT 'open;"), (vec![], "SELECT 'open;"));
        for (text, expected) in [
            ("SELECT 'open", true),
            ("SELECT 'it''s", true),
            ("SELECT \"open", true),
            ("SELECT /* open", true),
            ("SELECT 'closed'", false),
            ("SELECT -- ' closed", false),
            ("", false),
        ] {
            assert_eq!(is_open(text), expected, "{text}");
        }
    }
}
