//! An answer that has begun and may have to break off.
//!
//! ```text
//! pieces ─▶ … ─▶ end
//!             └▶ a bound is hit, a grant ends ─▶ last words, where the format has some ─▶ a moment ─▶ the connection breaks
//! ```
//!
//! The break is what every client notices; the words say why. Without the break a part would pass for a whole.

use std::time::Duration;

use bytes::Bytes;
use engine::Format;
use futures::{Stream, StreamExt as _, stream};

use crate::access::crowd::Broken;
use crate::error::ApiError;

/// How long last words may take to leave: what is still in memory when a connection breaks is lost.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What leaves next.
enum Next<S> {
    Pieces(S),
    Break(Broken),
}

/// The first pieces and the others, which may end with an error.
pub(super) fn leaving(
    format: Format,
    first: Vec<Bytes>,
    rest: impl Stream<Item = Result<Bytes, Broken>> + Send + Unpin + 'static,
) -> impl Stream<Item = Result<Bytes, Broken>> + Send + 'static {
    let rest = stream::unfold(Some(Next::Pieces(rest)), move |next| async move {
        let broken = match next? {
            Next::Pieces(mut pieces) => match pieces.next().await? {
                Ok(piece) => return Some((Ok(piece), Some(Next::Pieces(pieces)))),
                // The query has ended, and its place is free.
                Err(broken) => broken,
            },
            Next::Break(broken) => {
                tokio::time::sleep(LAST_WORDS).await;
                return Some((Err(broken), None));
            }
        };
        tracing::info!(error = %broken, "an answer to SQL broke off");
        let error = ApiError::from(broken.clone());
        match format.last_words(error.status().as_u16(), &error.words()) {
            Some(words) => Some((Ok(words), Some(Next::Break(broken)))),
            None => Some((Err(broken), None)),
        }
    });
    stream::iter(first.into_iter().map(Ok)).chain(rest)
}
