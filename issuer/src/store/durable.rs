//! What a PostgreSQL server must do so that a commit is one.

use sqlx::{AnyConnection, ConnectOptions, Connection, Row, any::AnyConnectOptions};

use super::StoreError;

/// Settings with which a commit is on the server's disk when it returns, and with `remote_apply` on a replica as well.
const COMMITS: [&str; 2] = ["on", "remote_apply"];

/// Whether the server keeps what it commits.
///
/// # Errors
/// [`StoreError::NotDurable`], and where it cannot be reached.
pub(super) async fn check(options: &AnyConnectOptions) -> Result<(), StoreError> {
    let mut connection = options.connect().await.map_err(StoreError::Open)?;
    let weakness = weakness(&mut connection).await.map_err(StoreError::Open)?;
    let torn = setting(&mut connection, "full_page_writes").await.map_err(StoreError::Open)?;
    // The connection is gone either way.
    let _ = connection.close().await;
    if torn != "on" {
        tracing::warn!(
            "the PostgreSQL server runs with `full_page_writes = {torn}`: after a power failure its files may be damaged, unless its file \
             system never writes half a page (ZFS)"
        );
    }
    match weakness {
        None => Ok(()),
        Some(NotDurable { setting, value }) => Err(StoreError::NotDurable { setting, value }),
    }
}

/// Makes the commits of a connection durable. One on which they are not is not used.
pub(super) async fn prepare(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    match weakness(connection).await? {
        None => Ok(()),
        Some(weak) => Err(sqlx::Error::Configuration(Box::new(weak))),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the server runs with `{setting} = {value}`")]
struct NotDurable {
    setting: &'static str,
    value: String,
}

async fn weakness(connection: &mut AnyConnection) -> Result<Option<NotDurable>, sqlx::Error> {
    const COMMIT: &str = "synchronous_commit";
    // Of this session, whatever the server, the database or the role have as their default, and whatever it becomes: what a session has
    // not set itself follows a server that reads its configuration again.
    let set = match setting(connection, COMMIT).await?.as_str() {
        "remote_apply" => "SET synchronous_commit = 'remote_apply'",
        _ => "SET synchronous_commit = 'on'",
    };
    sqlx::query(set).execute(&mut *connection).await?;
    for setting_name in [COMMIT, "fsync"] {
        let value = setting(connection, setting_name).await?;
        if !COMMITS.contains(&value.as_str()) {
            return Ok(Some(NotDurable { setting: setting_name, value }));
        }
    }
    Ok(None)
}

async fn setting(
    connection: &mut AnyConnection,
    name: &'static str,
) -> Result<String, sqlx::Error> {
    let row = sqlx::query("SELECT current_setting($1) AS value").bind(name).fetch_one(connection);
    row.await?.try_get("value")
}
