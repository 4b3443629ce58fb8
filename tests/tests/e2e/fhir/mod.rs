//! FHIR of the real binary: every resource through validators that others wrote, and read by client libraries that
//! others wrote. The validators lie in `tests/fhir`, and are tested themselves.

mod validators;
