//! `avycenna verify --erased usr_… --email …`: looks for a person in every byte that the server keeps.
//!
//! The data directory is read file by file (Parquet decoded), and so is a control database that lies elsewhere. What is
//! found in the control database's file counts unless it stands in a page of the trails of reads, which outlive an
//! account with ids alone. Its rows are looked at by SQL, too, since a text can be cut in two at the end of a page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::disk::Disk;
use storage::disk::real::RealDisk;
use storage::search::{self, Hit, Needle, Part, Searched};
use storage::{Clock, Place, SystemClock, UserId, ledger};

use super::{Failure, Terminal, block_on};
use crate::auth::normal_email;
use crate::config::{Config, Database};
use crate::control::Control;
use crate::control::pages::TRAILS;

/// Places that are listed; more are counted.
const LISTED_MAX: usize = 100;
/// SQLite's file format, sections 1.3 and 4.1 (<https://www.sqlite.org/fileformat2.html>).
const PAGE_BYTES_AT: u64 = 16;
const WAL_HEADER_BYTES: u64 = 32;
const WAL_PAGE_BYTES_AT: u64 = 8;
const WAL_FRAME_HEADER_BYTES: u64 = 24;

/// Whom to look for.
#[derive(Debug)]
pub(super) struct Sought {
    words: Vec<String>,
    needles: Vec<Needle>,
    user: Option<UserId>,
}

impl Sought {
    /// An id, an address, or both.
    pub(super) fn new(id: Option<&str>, email: Option<&str>) -> Result<Self, Failure> {
        let mut sought = Self { words: Vec::new(), needles: Vec::new(), user: None };
        if let Some(id) = id {
            let user = UserId::parse(id).filter(|_| id.starts_with("usr_"));
            sought.user = Some(user.ok_or(Failure::Argument("--erased takes an id: usr_ and eight characters"))?);
            sought.words.push(id.to_owned());
            sought.needles.push(Needle::exact(id));
        }
        if let Some(email) = email {
            let email = normal_email(email).ok_or(Failure::Argument("--email takes an e-mail address"))?;
            sought.needles.push(Needle::in_any_case(&email));
            sought.words.push(email);
        }
        Ok(sought)
    }

    fn word(&self, nth: usize) -> &str {
        self.words.get(nth).map_or("", String::as_str)
    }
}

/// Looks everywhere and says what it found.
pub(super) fn run(config: &Config, place: &Place, sought: &Sought, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let mut searched = search::search(place, &sought.needles)?;
    let database = database_files(config, place)?;
    for file in database.iter().filter(|file| file.is_elsewhere) {
        searched.read_file(file.disk.as_ref(), &file.path, &sought.needles)?;
    }
    let rows = block_on(Rows::look(config, sought))?;
    let mut found: Vec<String> = Vec::new();
    let mut in_trails = 0;
    for hit in &searched.hits {
        match owner_of(hit, &database, &rows)? {
            Some(table) if TRAILS.contains(&table.as_str()) => in_trails += 1,
            owner => {
                let owner = owner.map(|table| format!(", table {table}")).unwrap_or_default();
                found.push(format!("{}, {}{owner}: {}", hit.path.display(), hit.part, sought.word(hit.needle)));
            }
        }
    }
    found.extend(rows.found.iter().cloned());
    let is_in_ledger = match sought.user {
        Some(user) => ledger::contains(place, user)?,
        None => false,
    };
    tell(sought, &searched, &rows, is_in_ledger, terminal)?;
    if in_trails > 0 {
        terminal.say(&format!("{in_trails} places in the trails of who read what: these stay, with ids alone"))?;
    }
    for line in found.iter().take(LISTED_MAX) {
        terminal.say(line)?;
    }
    if found.len() > LISTED_MAX {
        terminal.say(&format!("and {} places more", found.len() - LISTED_MAX))?;
    }
    for (path, why) in &searched.unreadable {
        terminal.say(&format!("{}: cannot be decoded, so nobody knows: {why}", path.display()))?;
    }
    match found.len() + searched.unreadable.len() {
        0 => terminal.say(&format!("not found: {}", sought.words.join(", "))),
        places => Err(Failure::StillThere { places }),
    }
}

/// What was read.
fn tell(
    sought: &Sought,
    searched: &Searched,
    rows: &Rows,
    is_in_ledger: bool,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let Searched { files, bytes, decoded, .. } = searched;
    terminal.say(&format!("read {files} files, {bytes} bytes; decoded {decoded} Parquet files"))?;
    let rows = if rows.is_there { "read every row of the control database" } else { "there is no control database" };
    terminal.say(rows)?;
    if let Some(user) = sought.user {
        let is_in = if is_in_ledger { "is in" } else { "is not in" };
        terminal.say(&format!("{user} {is_in} the ledger of erased people"))?;
    }
    Ok(())
}

/// A file of a SQLite database.
struct DatabaseFile {
    disk: Arc<dyn Disk>,
    /// As the search names it.
    path: PathBuf,
    /// Whether it lies outside of the data directory.
    is_elsewhere: bool,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pages,
    WriteAhead,
}

/// The files of the control database that are there; none for PostgreSQL.
fn database_files(config: &Config, place: &Place) -> Result<Vec<DatabaseFile>, Failure> {
    let Database::Sqlite(path) = config.control.database(&config.storage.data_dir) else { return Ok(Vec::new()) };
    let at = |source| Failure::DataDir { path: path.clone(), source };
    let absolute = |path: &Path| std::path::absolute(path).map_err(at);
    let (whole, data_dir) = (absolute(&path)?, absolute(&config.storage.data_dir)?);
    let inside = whole.strip_prefix(&data_dir).ok().map(Path::to_path_buf);
    let (disk, name) = match (&inside, whole.parent(), whole.file_name()) {
        (Some(inside), ..) => (Arc::clone(&place.disk), inside.clone()),
        (None, Some(folder), Some(name)) if matches!(folder.try_exists(), Ok(true)) => {
            (Arc::new(RealDisk::open(folder).map_err(at)?) as Arc<dyn Disk>, PathBuf::from(name))
        }
        _ => return Ok(Vec::new()),
    };
    let mut write_ahead = name.clone().into_os_string();
    write_ahead.push("-wal");
    let files = [(name, Kind::Pages), (PathBuf::from(write_ahead), Kind::WriteAhead)]
        .map(|(path, kind)| DatabaseFile { disk: Arc::clone(&disk), path, is_elsewhere: inside.is_none(), kind });
    Ok(files.into_iter().filter(|file| file.disk.open_read(&file.path).is_ok()).collect())
}

/// The table of the page in which a hit lies; `None` where it lies in none, or in another file.
fn owner_of(hit: &Hit, database: &[DatabaseFile], rows: &Rows) -> Result<Option<String>, Failure> {
    let (Some(file), Part::Bytes(offset)) = (database.iter().find(|file| file.path == hit.path), &hit.part) else {
        return Ok(None);
    };
    Ok(file.page_at(*offset)?.and_then(|page| rows.owners.get(&page).cloned()))
}

impl DatabaseFile {
    /// Number of the page that holds a byte of the file, as it was when the search read it.
    fn page_at(&self, offset: u64) -> Result<Option<u64>, Failure> {
        Ok(match self.kind {
            Kind::Pages => {
                let size = match self.number::<2>(PAGE_BYTES_AT)? {
                    Some([0, 1]) => 65_536,
                    Some(bytes) => u64::from(u16::from_be_bytes(bytes)),
                    None => return Ok(None),
                };
                offset.checked_div(size).map(|page| page + 1)
            }
            Kind::WriteAhead => {
                let Some(size) = self.number::<4>(WAL_PAGE_BYTES_AT)?.map(u32::from_be_bytes) else { return Ok(None) };
                let frame = WAL_FRAME_HEADER_BYTES + u64::from(size);
                let Some(into) = offset.checked_sub(WAL_HEADER_BYTES) else { return Ok(None) };
                let begins = WAL_HEADER_BYTES + into / frame * frame;
                self.number::<4>(begins)?.map(|page| u64::from(u32::from_be_bytes(page)))
            }
        })
    }

    fn number<const N: usize>(&self, at: u64) -> Result<Option<[u8; N]>, Failure> {
        let failed = |source| Failure::DataDir { path: self.path.clone(), source };
        let mut bytes = [0; N];
        match self.disk.open_read(&self.path).and_then(|file| file.read_at(&mut bytes, at)) {
            Ok(()) => Ok(Some(bytes)),
            // Gone meanwhile, or cut: then nothing is known of it.
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof) => {
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// What the rows of the control database say.
#[derive(Debug, Default)]
struct Rows {
    is_there: bool,
    /// The table of each page.
    owners: BTreeMap<u64, String>,
    /// Lines for the report.
    found: Vec<String>,
}

impl Rows {
    async fn look(config: &Config, sought: &Sought) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let Some(control) = Control::look(config, clock).await? else { return Ok(Self::default()) };
        let mut found = Vec::new();
        for word in &sought.words {
            for column in control.columns_with(word).await? {
                let is_address = word.contains('@');
                if TRAILS.contains(&column.table.as_str()) && !is_address {
                    continue;
                }
                found.push(format!(
                    "control database, table {}, column {}: {word} in {} rows",
                    column.table, column.column, column.rows
                ));
            }
        }
        let owners = control.page_owners().await?;
        control.close().await?;
        Ok(Self { is_there: true, owners, found })
    }
}
