//! `[fhir]`: how the FHIR face shows what is stored.

use serde::{Deserialize, Serialize};

use super::Flaw;

/// Choices of the FHIR face.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fhir {
    /// Whether a check-in's mood carries LOINC 44250-9 behind our own code. LOINC means an item of a questionnaire by it,
    /// not a mood of 1 to 5.
    pub mood_loinc: bool,
    /// What the links of answers begin with, such as `https://health.example.org`: for servers behind a proxy that says
    /// neither `Host` nor `X-Forwarded-Proto`. Absent, they begin with what the request says. SMART clients are let in by
    /// it: absent, by requests over the loopback alone.
    pub base_url: Option<String>,
    /// Most bytes of all files of exports (`$export`) together.
    pub export_bytes_max: u64,
}

impl Default for Fhir {
    fn default() -> Self {
        Self { mood_loinc: true, base_url: None, export_bytes_max: 10 << 30 }
    }
}

impl Fhir {
    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        let Some(base_url) = &self.base_url else { return Ok(()) };
        let is_fit = url::Url::parse(base_url).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        if is_fit && !base_url.ends_with('/') {
            return Ok(());
        }
        Err(Flaw::new("base_url", "must be a URL such as https://health.example.org, without a slash at its end"))
    }
}
