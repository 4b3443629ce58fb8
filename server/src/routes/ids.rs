//! Ids in paths.

/// Random characters behind an id's prefix.
const RANDOM_CHARACTERS: usize = 16;

/// Whether a text can be an id of this prefix. What cannot be one is nobody's, and no database need be asked.
pub(crate) fn is_id(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == RANDOM_CHARACTERS && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_prefix_length_and_alphabet() {
        assert!(is_id("ci_", "ci_0123456789abcDEF"));
        for text in
            ["", "ci_", "ci_0123456789abcDE", "ci_0123456789abcDEFG", "sym_0123456789abcDEF", "ci_0123456789abcDE\0"]
        {
            assert!(!is_id("ci_", text), "{text}");
        }
    }
}
