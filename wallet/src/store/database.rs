//! The rows of sealed records, in SQLite.

use std::path::Path;

use sqlx::{
    Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::Mutex;

use super::{Kind, StoreError};

/// The schema, one step per release that changed it. Steps are only ever added.
const MIGRATIONS: [&str; 1] =
    ["CREATE TABLE wallet (one INTEGER PRIMARY KEY CHECK (one = 1), kdf BLOB NOT NULL) STRICT;
     CREATE TABLE record (
         kind INTEGER NOT NULL,
         id BLOB NOT NULL,
         sealed BLOB NOT NULL,
         PRIMARY KEY (kind, id)
     ) STRICT, WITHOUT ROWID;
     PRAGMA user_version = 1;"];

const KNOWN: i64 = MIGRATIONS.len() as i64;

/// A row to be written, or deleted where there is no content.
pub(super) type SealedRow = (Kind, [u8; 16], Option<Vec<u8>>);

/// One connection; its users queue up.
pub(super) struct Database(Mutex<Option<SqliteConnection>>);

impl Database {
    /// Makes the schema in an empty file and stores the header of the key derivation.
    pub(super) async fn create(path: &Path, header: &[u8]) -> Result<Self, StoreError> {
        let mut connection = connect(path).await?;
        migrate(&mut connection).await?;
        sqlx::query("INSERT INTO wallet (one, kdf) VALUES (1, ?) -- create")
            .bind(header)
            .execute(&mut connection)
            .await?;
        Ok(Self(Mutex::new(Some(connection))))
    }

    /// Opens a file, brings its schema up to date, and returns the header with it.
    pub(super) async fn open(path: &Path) -> Result<(Self, Vec<u8>), StoreError> {
        let corrupt = |damage: String| StoreError::Corrupt { path: path.to_owned(), damage };
        let damaged = |error: sqlx::Error| match is_damage(&error) {
            true => corrupt(error.to_string()),
            false => StoreError::Database(error),
        };
        if std::fs::metadata(path).is_ok_and(|about| about.len() == 0) {
            return Err(corrupt("it is empty".into()));
        }
        let mut connection = connect(path).await.map_err(damaged)?;
        // A wallet is small: it is looked through each time.
        let said: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(1) -- open")
            .fetch_all(&mut connection)
            .await
            .map_err(damaged)?;
        if let Some(damage) = said.into_iter().next().filter(|said| said != "ok") {
            return Err(corrupt(damage.replace('\n', " ")));
        }
        migrate(&mut connection).await?;
        let header = sqlx::query_scalar("SELECT kdf FROM wallet -- open");
        let header = header.fetch_optional(&mut connection).await.map_err(damaged)?;
        let header = header.ok_or_else(|| corrupt("it has no header".into()))?;
        Ok((Self(Mutex::new(Some(connection))), header))
    }

    pub(super) async fn get(
        &self,
        kind: Kind,
        id: &[u8; 16],
    ) -> Result<Option<Vec<u8>>, sqlx::Error> {
        let mut connection = self.0.lock().await;
        sqlx::query_scalar("SELECT sealed FROM record WHERE kind = ? AND id = ? -- get")
            .bind(i64::from(kind.code()))
            .bind(id.as_slice())
            .fetch_optional(usable(&mut connection)?)
            .await
    }

    pub(super) async fn all(&self, kind: Kind) -> Result<Vec<([u8; 16], Vec<u8>)>, sqlx::Error> {
        let mut connection = self.0.lock().await;
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT id, sealed FROM record WHERE kind = ? ORDER BY id -- all")
                .bind(i64::from(kind.code()))
                .fetch_all(usable(&mut connection)?)
                .await?;
        // An id of another length was not written here; its record does not open under any id.
        Ok(rows
            .into_iter()
            .map(|(id, sealed)| (id.try_into().unwrap_or([0; 16]), sealed))
            .collect())
    }

    /// Every row at one moment: kind, id, content.
    pub(super) async fn everything(&self) -> Result<Vec<(i64, Vec<u8>, Vec<u8>)>, sqlx::Error> {
        let mut connection = self.0.lock().await;
        sqlx::query_as("SELECT kind, id, sealed FROM record ORDER BY kind, id -- everything")
            .fetch_all(usable(&mut connection)?)
            .await
    }

    /// Removes a row, whatever its id looks like.
    pub(super) async fn remove(&self, kind: Kind, id: &[u8]) -> Result<(), sqlx::Error> {
        let mut connection = self.0.lock().await;
        sqlx::query("DELETE FROM record WHERE kind = ? AND id = ? -- remove")
            .bind(i64::from(kind.code()))
            .bind(id.to_vec())
            .execute(usable(&mut connection)?)
            .await?;
        Ok(())
    }

    pub(super) async fn write(&self, rows: Vec<SealedRow>) -> Result<(), sqlx::Error> {
        let mut connection = self.0.lock().await;
        let mut transaction = usable(&mut connection)?.begin().await?;
        for (kind, id, sealed) in rows {
            let query = match sealed {
                Some(sealed) => sqlx::query(
                    "INSERT INTO record (kind, id, sealed) VALUES (?1, ?2, ?3)
                     ON CONFLICT (kind, id) DO UPDATE SET sealed = ?3 -- write",
                )
                .bind(i64::from(kind.code()))
                .bind(id.to_vec())
                .bind(sealed),
                None => sqlx::query("DELETE FROM record WHERE kind = ?1 AND id = ?2 -- write")
                    .bind(i64::from(kind.code()))
                    .bind(id.to_vec()),
            };
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    pub(super) async fn close(&self) -> Result<(), sqlx::Error> {
        match self.0.lock().await.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}

fn usable(connection: &mut Option<SqliteConnection>) -> Result<&mut SqliteConnection, sqlx::Error> {
    connection.as_mut().ok_or(sqlx::Error::PoolClosed)
}

/// A rollback journal and not a write-ahead log: after each commit the one file is all there is to copy or back up.
/// Whether the file itself is at fault, and neither the disk nor its permissions (`SQLITE_CORRUPT`, `SQLITE_NOTADB`).
fn is_damage(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| [11, 26].contains(&(code & 0xff)))
}

async fn connect(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Truncate)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false);
    SqliteConnection::connect_with(&options).await
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: i64 =
        sqlx::query_scalar("PRAGMA user_version -- migrate").fetch_one(&mut *connection).await?;
    let applied = usize::try_from(found).unwrap_or(usize::MAX);
    if applied > MIGRATIONS.len() {
        return Err(StoreError::Newer { found, known: KNOWN });
    }
    for step in &MIGRATIONS[applied..] {
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}
