//! Whether a SQLite file is whole.

use std::path::Path;

use sqlx::SqliteConnection;

/// Bytes of the largest database that is looked through at a start: reading it takes a second or so.
const LARGEST: u64 = 1 << 28;

/// Looks through the whole file and says what is damaged in it first, if anything is (`PRAGMA quick_check`, which compares no
/// index with its table). One that is larger than 256 MiB is not looked through, which the log says.
///
/// # Errors
/// What the driver says of anything but damage.
pub async fn first_damage(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Option<String>, sqlx::Error> {
    let bytes = std::fs::metadata(path).map_or(0, |about| about.len());
    if bytes > LARGEST {
        tracing::info!(
            path = %path.display(), bytes,
            "too large to be looked through at every start; `sqlite3 FILE 'PRAGMA quick_check'` does it beside a running program"
        );
        return Ok(None);
    }
    let said = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_all(connection).await;
    match said {
        Ok(said) => {
            let first = said.into_iter().next().filter(|said: &String| said != "ok");
            Ok(first.map(|said| said.replace('\n', " ")))
        }
        // It may be such that not even the check gets through it.
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Whether the file itself is at fault, and neither the disk nor its permissions (`SQLITE_CORRUPT`, `SQLITE_NOTADB`).
pub fn is_damage(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| [11, 26].contains(&(code & 0xff)))
}
