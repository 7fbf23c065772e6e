//! Sealed private keys and signed manifests.

use scrip_protocol::{id::VendorId, time::Day};
use sqlx::Row;

use super::{Act, Store, StoreError, Tx, TxError, What, rows};

/// A private key, sealed under the passphrase.
#[derive(Clone, Debug)]
pub struct SealedKey {
    /// What it is for, which is also authenticated by the seal.
    pub name: String,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

/// Everything that `init` makes, stored at once or not at all.
#[derive(Clone, Debug)]
pub struct KeyMaterial {
    /// How the passphrase becomes the sealing key.
    pub kdf_header: Vec<u8>,
    /// The first manifest, with all private keys.
    pub version: ManifestVersion,
}

/// A version of the manifest and the private keys that are new in it, stored at once or not at all.
#[derive(Clone, Debug)]
pub struct ManifestVersion {
    /// The vendor's id.
    pub vendor_id: VendorId,
    /// The version of the manifest.
    pub version: u64,
    /// The signed manifest.
    pub manifest: Vec<u8>,
    /// The private keys.
    pub keys: Vec<SealedKey>,
}

impl Store {
    /// Stores the first keys and the first manifest. `false` where there are some: then nothing is changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn initialise(&self, material: &KeyMaterial) -> Result<bool, StoreError> {
        self.run_tx("initialise", |tx| {
            Box::pin(async move {
                if !tx.insert_vault(&material.kdf_header).await? {
                    return Ok(false);
                }
                // There is no vault without a manifest, so that none can be in the way.
                tx.insert_version(&material.version).await
            })
        })
        .await
    }

    /// Stores the next version of the manifest with its new private keys, and logs it. `false` where another process stored this
    /// version first: then nothing is changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish(&self, version: &ManifestVersion, act: &Act) -> Result<bool, StoreError> {
        self.run_tx("publish", |tx| {
            Box::pin(async move {
                let mine = tx.insert_version(version).await?;
                if mine {
                    tx.log_admin(act).await?;
                }
                Ok(mine)
            })
        })
        .await
    }

    /// The version of the latest manifest; 0 where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn manifest_version(&self) -> Result<u64, StoreError> {
        self.read("manifest_version", |tx| {
            Box::pin(async move {
                let sql = "-- manifest_version()
                    SELECT COALESCE(MAX(version), 0) AS version FROM manifests";
                let row = sqlx::query(sql).fetch_one(tx.connection()).await?;
                rows::integer(&row, "version", "manifests")
            })
        })
        .await
    }

    /// The header from which the sealing key is derived.
    ///
    /// # Errors
    /// [`StoreError::NotInitialised`] and others.
    pub async fn kdf_header(&self) -> Result<Vec<u8>, StoreError> {
        self.read("kdf_header", |tx| {
            Box::pin(async move {
                let sql = "-- kdf_header()
                    SELECT kdf_header FROM vault WHERE id = 1";
                let row = sqlx::query(sql).fetch_optional(tx.connection()).await?;
                let row = row.ok_or(StoreError::NotInitialised)?;
                Ok(row.try_get("kdf_header")?)
            })
        })
        .await
    }

    /// The sealed keys whose names begin with `prefix`, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sealed_keys(&self, prefix: &str) -> Result<Vec<SealedKey>, StoreError> {
        let all = self.read("sealed_keys", |tx| {
            Box::pin(async move {
                let sql = "-- sealed_keys()
                    SELECT name, sealed FROM sealed_keys ORDER BY name";
                let rows = sqlx::query(sql).fetch_all(tx.connection()).await?;
                let key = |row: &sqlx::any::AnyRow| {
                    Ok(SealedKey { name: row.try_get("name")?, sealed: row.try_get("sealed")? })
                };
                rows.iter().map(key).collect::<Result<Vec<_>, TxError>>()
            })
        });
        let mut keys = all.await?;
        keys.retain(|key| key.name.starts_with(prefix));
        Ok(keys)
    }

    /// The vendor's id and its latest signed manifest.
    ///
    /// # Errors
    /// [`StoreError::NotInitialised`] and others.
    pub async fn manifest(&self) -> Result<(VendorId, Vec<u8>), StoreError> {
        self.read("manifest", |tx| {
            Box::pin(async move {
                let sql = "-- manifest()
                    SELECT vendor_id, manifest FROM manifests ORDER BY version DESC LIMIT 1";
                let row = sqlx::query(sql).fetch_optional(tx.connection()).await?;
                let row = row.ok_or(StoreError::NotInitialised)?;
                let vendor_id = rows::bytes(&row, "vendor_id", "manifests")?;
                Ok((VendorId::from_bytes(vendor_id), row.try_get("manifest")?))
            })
        })
        .await
    }
}

impl Tx<'_> {
    async fn insert_vault(&mut self, kdf_header: &[u8]) -> Result<bool, TxError> {
        let sql = "-- insert_vault()
            INSERT INTO vault (id, kdf_header) VALUES (1, $1) ON CONFLICT DO NOTHING";
        let inserted = sqlx::query(sql).bind(kdf_header).execute(self.connection()).await?;
        Ok(inserted.rows_affected() == 1)
    }

    async fn insert_sealed_key(&mut self, key: &SealedKey) -> Result<(), TxError> {
        let sql = "-- insert_sealed_key()
            INSERT INTO sealed_keys (name, sealed) VALUES ($1, $2)";
        sqlx::query(sql)
            .bind(key.name.as_str())
            .bind(key.sealed.as_slice())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The primary key of `manifests` decides which of several processes makes a version.
    async fn insert_version(&mut self, new: &ManifestVersion) -> Result<bool, TxError> {
        let sql = "-- insert_version()
            INSERT INTO manifests (version, vendor_id, manifest) VALUES ($1, $2, $3)
            ON CONFLICT DO NOTHING";
        let version =
            i64::try_from(new.version).map_err(|_| StoreError::Damaged { table: "manifests" })?;
        let inserted = sqlx::query(sql)
            .bind(version)
            .bind(new.vendor_id.as_bytes().as_slice())
            .bind(new.manifest.as_slice())
            .execute(self.connection())
            .await?;
        if inserted.rows_affected() == 0 {
            return Ok(false);
        }
        for key in &new.keys {
            self.insert_sealed_key(key).await?;
        }
        self.enqueue(What::Manifest, version, Day(0), None).await?;
        Ok(true)
    }
}
