//! Messages that wait in queues.

use scrip_protocol::{
    id::MessageId,
    limits::{MAX_QUEUE_MESSAGES, MESSAGE_LIFETIME},
    time::UnixSeconds,
};
use sqlx::{Row, SqliteConnection};

use super::{LeaseNumber, Reader, Store, StoreError, TxError, rows};

/// The most nonces that a queue remembers. Those of messages that were read stay for as long as a message lives, so that a
/// sender and a recipient who work together could otherwise fill the database. It leaves 195 messages for each day.
pub(crate) const MAX_QUEUE_NONCES: usize = 4_096;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It waits in the queue now.
    Stored,
    /// It was sent before.
    Repeated,
    /// The queue holds as many messages, or remembers as many, as it may.
    Full,
    /// The lease ended in the meantime.
    Ended,
}

/// The oldest message of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredMessage {
    pub(crate) id: MessageId,
    pub(crate) block: Vec<u8>,
}

impl Store {
    /// Puts a message at the end of a queue, unless a message with this nonce was sent before.
    pub(crate) async fn send(
        &self,
        queue: LeaseNumber,
        nonce: [u8; 16],
        id: MessageId,
        block: Vec<u8>,
        now: UnixSeconds,
    ) -> Result<Sent, StoreError> {
        self.write("send", move |connection| {
            Box::pin(async move {
                if !is_live(connection, queue, now).await? {
                    return Ok(Sent::Ended);
                }
                if nonce_is_known(connection, queue, &nonce).await? {
                    return Ok(Sent::Repeated);
                }
                if waiting(connection, queue, now).await? >= MAX_QUEUE_MESSAGES as i64
                    || remembered(connection, queue, now).await? >= MAX_QUEUE_NONCES as i64
                {
                    return Ok(Sent::Full);
                }
                let expires = rows::stored(now.plus(MESSAGE_LIFETIME));
                remember(&mut *connection, queue, &nonce, now.plus(MESSAGE_LIFETIME)).await?;
                let sql = "-- insert_message()
                    INSERT INTO messages (lease, message_id, expires, block) VALUES ($1, $2, $3, $4)";
                let message = sqlx::query(sql).bind(queue.0).bind(id.as_bytes().as_slice());
                message.bind(expires).bind(block).execute(connection).await?;
                Ok(Sent::Stored)
            })
        })
        .await
    }

    /// Removes a message; nothing happens where it is gone already.
    pub(crate) async fn remove_message(
        &self,
        queue: LeaseNumber,
        id: MessageId,
    ) -> Result<(), StoreError> {
        self.write("remove_message", move |connection| {
            Box::pin(async move {
                let sql = "-- remove_message()
                    DELETE FROM messages WHERE lease = $1 AND message_id = $2";
                let query = sqlx::query(sql).bind(queue.0).bind(id.as_bytes().as_slice());
                Ok(query.execute(connection).await.map(drop)?)
            })
        })
        .await
    }
}

impl Reader {
    /// The oldest message of a queue that has not expired.
    pub(crate) async fn oldest_message(
        &self,
        queue: LeaseNumber,
        now: UnixSeconds,
    ) -> Result<Option<StoredMessage>, StoreError> {
        self.read("oldest_message", move |connection| {
            Box::pin(async move {
                let sql = "-- oldest_message()
                    SELECT message_id, block FROM messages WHERE lease = $1 AND expires > $2
                    ORDER BY number LIMIT 1";
                let query = sqlx::query(sql).bind(queue.0).bind(rows::stored(now));
                let row = query.fetch_optional(connection).await?;
                row.map(|row| {
                    Ok(StoredMessage {
                        id: MessageId::from_bytes(rows::bytes(&row, "message_id", "messages")?),
                        block: row.try_get("block")?,
                    })
                })
                .transpose()
            })
        })
        .await
    }
}

async fn is_live(
    connection: &mut SqliteConnection,
    lease: LeaseNumber,
    now: UnixSeconds,
) -> Result<bool, TxError> {
    let sql = "-- is_live()
        SELECT 1 FROM leases WHERE number = $1 AND ended_at IS NULL AND lease_until > $2";
    let query = sqlx::query(sql).bind(lease.0).bind(rows::stored(now));
    Ok(query.fetch_optional(connection).await?.is_some())
}

/// Remembers a command's nonce until `expires`. `false` where it is known.
pub(super) async fn remember(
    connection: &mut SqliteConnection,
    lease: LeaseNumber,
    nonce: &[u8; 16],
    expires: UnixSeconds,
) -> Result<bool, TxError> {
    let sql = "-- insert_nonce()
        INSERT INTO nonces (lease, nonce, expires) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql).bind(lease.0).bind(nonce.as_slice()).bind(rows::stored(expires));
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

async fn nonce_is_known(
    connection: &mut SqliteConnection,
    queue: LeaseNumber,
    nonce: &[u8; 16],
) -> Result<bool, TxError> {
    let sql = "-- nonce_is_known()
        SELECT 1 FROM nonces WHERE lease = $1 AND nonce = $2";
    let query = sqlx::query(sql).bind(queue.0).bind(nonce.as_slice());
    Ok(query.fetch_optional(connection).await?.is_some())
}

async fn waiting(
    connection: &mut SqliteConnection,
    queue: LeaseNumber,
    now: UnixSeconds,
) -> Result<i64, TxError> {
    let sql = "-- waiting()
        SELECT COUNT(*) FROM messages WHERE lease = $1 AND expires > $2";
    let query = sqlx::query(sql).bind(queue.0).bind(rows::stored(now));
    Ok(query.fetch_one(connection).await?.try_get(0)?)
}

async fn remembered(
    connection: &mut SqliteConnection,
    queue: LeaseNumber,
    now: UnixSeconds,
) -> Result<i64, TxError> {
    let sql = "-- remembered()
        SELECT COUNT(*) FROM nonces WHERE lease = $1 AND expires > $2";
    let query = sqlx::query(sql).bind(queue.0).bind(rows::stored(now));
    Ok(query.fetch_one(connection).await?.try_get(0)?)
}
