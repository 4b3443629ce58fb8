//! The shapes of small values that several bodies have, for the API description alone: `fields` checks them.

use utoipa::ToSchema;

/// 1 to 200 characters, none of them a control character, not all of them blank.
#[derive(Debug, ToSchema)]
#[schema(
    example = "Ada Lovelace",
    min_length = 1,
    max_length = 200,
    pattern = r"^[^\u0000-\u001F\u007F-\u009F]*[^\u0000-\u001F\u007F-\u009F\s][^\u0000-\u001F\u007F-\u009F]*$"
)]
pub struct Name(pub String);

/// Up to 2,000 characters, none of them a control character but line breaks and tabs.
#[derive(Debug, ToSchema)]
#[schema(
    example = "better than yesterday",
    max_length = 2000,
    pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$"
)]
pub struct Note(pub String);

/// An e-mail address; trimmed and taken in lower case.
#[derive(Debug, ToSchema)]
#[schema(example = "ada@example.org", format = "email", max_length = 254)]
pub struct Email(pub String);

/// 8 to 1024 bytes.
#[derive(Debug, ToSchema)]
#[schema(example = "correct horse battery staple", format = Password, min_length = 8, max_length = 1024)]
pub struct Password(pub String);

/// Six digits.
#[derive(Debug, ToSchema)]
#[schema(example = "012345", min_length = 6, max_length = 6, pattern = "^[0-9]{6}$")]
pub struct Code(pub String);

/// What an API key may do.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Reads.
    Read,
    /// Writes.
    Write,
}

/// How bad a symptom is.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Hardly there.
    Mild,
    /// In the way.
    Moderate,
    /// Hard to bear.
    Severe,
    /// At once a doctor's business.
    Critical,
}

/// A file as it is.
#[derive(Debug, ToSchema)]
#[schema(format = Binary, min_length = 1)]
pub struct FileBytes(pub String);
