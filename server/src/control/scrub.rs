//! What is left of deleted rows in the database's files, and how it goes.
//!
//! SQLite overwrites what is deleted with zeros (`secure_delete`), but the pages as they were before lie in the
//! write-ahead file until it is copied back and cut. [`Control::scrub`] does that, and [`Control::vacuum`] writes the
//! whole file anew. PostgreSQL keeps dead rows until its own VACUUM, which is for its operator to plan.

use sea_orm::{ConnectionTrait, DbBackend};

use super::{Control, Result, error};

impl Control {
    /// Empties SQLite's write-ahead file; whether it is empty now. A reader in a long transaction, of any process, can
    /// stand in the way: then try again. Nothing to do on PostgreSQL.
    ///
    /// # Errors
    /// [`super::Error::Busy`], [`super::Error::Database`].
    pub async fn scrub(&self) -> Result<bool> {
        if self.inner.pool.get_database_backend() != DbBackend::Sqlite {
            return Ok(true);
        }
        let _turn = self.turn().await?;
        let at = error::at("empty the write-ahead file");
        let statement = sea_orm::Statement::from_string(DbBackend::Sqlite, "PRAGMA wal_checkpoint(TRUNCATE)");
        let row = self.inner.pool.query_one_raw(statement).await.map_err(&at)?;
        // The first column says whether something stood in the way.
        let busy: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0)).map_err(&at)?;
        Ok(busy == 0)
    }

    /// Writes a SQLite database anew, without free pages, and empties the write-ahead file. Takes as long as copying the
    /// file. Nothing to do on PostgreSQL.
    ///
    /// # Errors
    /// [`super::Error::Busy`], [`super::Error::Database`].
    pub async fn vacuum(&self) -> Result<bool> {
        if self.inner.pool.get_database_backend() == DbBackend::Sqlite {
            let _turn = self.turn().await?;
            self.inner.pool.execute_unprepared("VACUUM").await.map_err(error::at("write the database anew"))?;
        }
        self.scrub().await
    }
}
