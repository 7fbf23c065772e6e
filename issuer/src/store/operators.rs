//! Operators under contract.

use scrip_protocol::{id::OperatorId, keys::PublicKey, manifest::Classes, time::Day};
use sqlx::{Row, any::AnyRow};

use super::{Act, Store, StoreError, Tx, TxError, rows};

/// An operator whose redemptions are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorRow {
    /// The hash of its key.
    pub id: OperatorId,
    /// The short number that other tables refer to it by.
    pub number: i64,
    /// Its key.
    pub key: PublicKey,
    /// What the vendor calls it.
    pub name: String,
    /// The UTC day on which it was added.
    pub added: Day,
    /// Where its relay is, `host[:port]` each; none where the manifest does not list it.
    pub addresses: Vec<String>,
    /// What its relay serves.
    pub classes: Classes,
}

/// What became of the attempt to add an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddedOperator {
    /// It is there now.
    Added,
    /// It was there before, under the same name.
    Before,
    /// The key is known under another name.
    KeyTaken {
        /// That name.
        name: String,
    },
    /// Another key has this name.
    NameTaken,
}

/// An operator that is to be added.
#[derive(Clone, Debug)]
pub struct NewOperator<'a> {
    /// Its key.
    pub key: &'a PublicKey,
    /// What the vendor calls it.
    pub name: &'a str,
    /// Where its relay is, `host[:port]` each; none where it is not to be listed.
    pub addresses: &'a [String],
    /// What its relay serves.
    pub classes: Classes,
}

impl Store {
    /// Adds an operator, and logs it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_operator(
        &self,
        new: &NewOperator<'_>,
        today: Day,
        act: &Act,
    ) -> Result<AddedOperator, StoreError> {
        let id = OperatorId::of(new.key);
        self.run_tx("add_operator", |tx| {
            Box::pin(async move {
                let all = tx.operators().await?;
                if let Some(same_key) = all.iter().find(|operator| operator.id == id) {
                    let name_taken = same_key.name != new.name;
                    return Ok(match name_taken {
                        true => AddedOperator::KeyTaken { name: same_key.name.clone() },
                        false => AddedOperator::Before,
                    });
                }
                // Readers of the manifest take names that differ in case alone for one.
                let name = new.name.to_lowercase();
                if all.iter().any(|operator| operator.name.to_lowercase() == name) {
                    return Ok(AddedOperator::NameTaken);
                }
                // Not a hot path: where two processes choose one number, the constraint makes one start again.
                let number = all.iter().map(|operator| operator.number).max().unwrap_or(0) + 1;
                let row = OperatorRow {
                    id,
                    number,
                    key: *new.key,
                    name: new.name.to_owned(),
                    added: today,
                    addresses: new.addresses.to_vec(),
                    classes: new.classes,
                };
                tx.insert_operator(&row).await?;
                tx.log_admin(act).await?;
                Ok(AddedOperator::Added)
            })
        })
        .await
    }

    /// Sets where an operator's relay is and what it serves, and logs it; `false` where there is no such operator.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_operator(
        &self,
        name: &str,
        addresses: &[String],
        classes: Classes,
        act: &Act,
    ) -> Result<bool, StoreError> {
        let addresses = addresses.join(" ");
        let addresses = addresses.as_str();
        self.run_tx("list_operator", |tx| {
            Box::pin(async move {
                let sql = "-- list_operator()
                    UPDATE operators SET addresses = $2, classes = $3 WHERE name = $1";
                let updated = sqlx::query(sql)
                    .bind(name)
                    .bind(addresses)
                    .bind(i64::from(classes.to_wire()))
                    .execute(tx.connection())
                    .await?;
                if updated.rows_affected() == 0 {
                    return Ok(false);
                }
                tx.log_admin(act).await?;
                Ok(true)
            })
        })
        .await
    }

    /// The operator with this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn operator(&self, id: &OperatorId) -> Result<Option<OperatorRow>, StoreError> {
        self.read("operator", |tx| {
            Box::pin(async move {
                let sql = "-- operator()
                    SELECT operator_id, number, public_key, name, added_day, addresses, classes
                    FROM operators WHERE operator_id = $1";
                let row = sqlx::query(sql)
                    .bind(id.as_bytes().as_slice())
                    .fetch_optional(tx.connection())
                    .await?;
                row.as_ref().map(operator).transpose()
            })
        })
        .await
    }

    /// All operators, by number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn operators(&self) -> Result<Vec<OperatorRow>, StoreError> {
        self.read("operators", |tx| Box::pin(async move { tx.operators().await })).await
    }
}

impl Tx<'_> {
    async fn operators(&mut self) -> Result<Vec<OperatorRow>, TxError> {
        let sql = "-- operators()
            SELECT operator_id, number, public_key, name, added_day, addresses, classes
            FROM operators ORDER BY number";
        let rows = sqlx::query(sql).fetch_all(self.connection()).await?;
        rows.iter().map(operator).collect()
    }

    async fn insert_operator(&mut self, operator: &OperatorRow) -> Result<(), TxError> {
        let sql = "-- insert_operator()
            INSERT INTO operators
                (operator_id, number, public_key, name, added_day, addresses, classes)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(sql)
            .bind(operator.id.as_bytes().as_slice())
            .bind(operator.number)
            .bind(operator.key.as_bytes().as_slice())
            .bind(operator.name.as_str())
            .bind(i64::from(operator.added.0))
            .bind(operator.addresses.join(" "))
            .bind(i64::from(operator.classes.to_wire()))
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn operator(row: &AnyRow) -> Result<OperatorRow, TxError> {
    let addresses: String = row.try_get("addresses")?;
    Ok(OperatorRow {
        id: OperatorId::from_bytes(rows::bytes(row, "operator_id", "operators")?),
        number: row.try_get("number")?,
        key: rows::key(row, "public_key", "operators")?,
        name: row.try_get("name")?,
        added: Day(rows::integer(row, "added_day", "operators")?),
        addresses: addresses.split_whitespace().map(str::to_owned).collect(),
        classes: Classes::from_wire(rows::integer(row, "classes", "operators")?)
            .ok_or(StoreError::Damaged { table: "operators" })?,
    })
}
