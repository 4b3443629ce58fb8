//! An object that arrives in parts: written to its temporary file as they come, named when it is complete.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::{Inner, Publish, failure};
use crate::disk::File;

/// A multipart upload; dropped before it is complete, it leaves nothing.
pub(super) struct Upload {
    store: Arc<Inner>,
    location: Path,
    /// The temporary file; `None` after the end.
    open: Option<(PathBuf, Box<dyn File>)>,
    bytes: u64,
    /// Whether a part could not be written: such an object is never complete.
    is_broken: bool,
}

impl Upload {
    pub(super) fn begin(store: &Arc<Inner>, location: &Path) -> io::Result<Self> {
        let open = store.create_temp(&store.place(location), 0)?;
        Ok(Self { store: Arc::clone(store), location: location.clone(), open: Some(open), bytes: 0, is_broken: false })
    }

    fn write(&mut self, part: &PutPayload) -> io::Result<()> {
        let Some((_, file)) = &self.open else {
            return Err(io::Error::other("the upload has ended"));
        };
        for piece in part {
            file.write_at(piece, self.bytes)?;
            self.bytes += piece.len() as u64;
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        match self.open.take() {
            Some((temp, _)) => self.store.disk.remove(&temp),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let written = self.write(&part).map_err(|error| failure(&self.location, error));
        self.is_broken |= written.is_err();
        Box::pin(std::future::ready(written))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let Some((temp, file)) = self.open.take() else {
            return Err(Error::Generic { store: "local", source: "the upload has ended".into() });
        };
        let written = if self.is_broken { Err(io::Error::other("a part is missing")) } else { file.sync_data() };
        self.store
            .publish(written, &temp, &self.location, Publish::Replace)
            .map_err(|error| failure(&self.location, error))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.end().map_err(|error| failure(&self.location, error))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // A leftover costs space until the next sweep, nothing else.
        let _ = self.end();
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("location", &self.location).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
