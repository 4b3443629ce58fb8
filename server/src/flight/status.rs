//! What went wrong, in gRPC's words.

use tonic::{Code, Status};

use crate::error::ApiError;

/// The status of an error: a refusal with its text, what is ours without; the log gets the cause.
pub(super) fn of_error(error: &ApiError) -> Status {
    let code = match error.status().as_u16() {
        400 | 406 | 422 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        413 | 429 => Code::ResourceExhausted,
        503 | 507 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Internal,
    };
    if let Some(cause) = error.cause() {
        if code == Code::Internal {
            tracing::error!(%cause, "a call of Flight SQL failed");
        } else {
            tracing::warn!(%cause, "a call of Flight SQL was refused");
        }
    }
    Status::new(code, error.words())
}

/// What this service does not do.
pub(super) fn unsupported() -> Status {
    Status::unimplemented("this server answers queries; it takes no updates, plans or transactions")
}

/// A ticket or handle that is not there.
pub(super) fn gone() -> Status {
    Status::not_found("no such ticket or statement of yours; it may have been used, or be too old: ask again")
}

/// A ticket or handle of another server, or of the time before this one started.
pub(super) fn elsewhere() -> Status {
    Status::aborted(
        "this server has given out no such ticket or statement since it started; a ticket is good at the server that gave \
         it: ask again, and fetch from the server that answers",
    )
}
