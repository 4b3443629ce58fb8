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

/// What an endpoint can be told of.
#[derive(Debug, ToSchema)]
pub enum EventKind {
    /// A patient wrote a check-in.
    #[serde(rename = "check_in.created")]
    CheckInCreated,
    /// A patient wrote a symptom down.
    #[serde(rename = "symptom.created")]
    SymptomCreated,
    /// A patient let a doctor in.
    #[serde(rename = "grant.accepted")]
    GrantAccepted,
    /// Either side ended that.
    #[serde(rename = "grant.revoked")]
    GrantRevoked,
}

/// What became of a delivery.
#[derive(Debug, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// It waits for its next try.
    Pending,
    /// A receiver took it.
    Delivered,
    /// It was given up.
    Dropped,
}

/// A time as in RFC 3339.
#[derive(Debug, ToSchema)]
#[schema(example = "2026-06-01T00:00:00Z", format = DateTime)]
pub struct Moment(pub String);

/// The id of an event.
#[derive(Debug, ToSchema)]
#[schema(example = "evt_3fYqZ0dTnUe1xK9s", pattern = "^evt_[0-9A-Za-z]{16}$")]
pub struct EventId(pub String);

/// A time, or an event of this webhook: what follows it.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum Since {
    /// From this time on.
    Time(Moment),
    /// Behind this event.
    Event(EventId),
}

/// An `https` URL, of the public internet unless the operator allows more: that its name leads there is looked up.
#[derive(Debug, ToSchema)]
#[schema(
    example = "https://clinic.example.org/hooks/avycenna",
    format = "uri",
    max_length = 2048,
    pattern = "^[Hh][Tt][Tt][Pp][Ss]?://"
)]
pub struct EndpointUrl(pub String);
