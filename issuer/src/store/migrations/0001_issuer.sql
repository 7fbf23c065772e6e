-- The text is PostgreSQL's. For SQLite, BYTEA is written BLOB and BIGINT is written INTEGER, and tables marked
-- "clustered" are made WITHOUT ROWID: rows then lie in the order of their key, and no row number tells the order of
-- arrival.

-- Keys.

CREATE TABLE vault (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    kdf_header BYTEA NOT NULL
);

CREATE TABLE sealed_keys (
    name TEXT PRIMARY KEY,
    sealed BYTEA NOT NULL
);

CREATE TABLE manifests (
    version BIGINT PRIMARY KEY,
    vendor_id BYTEA NOT NULL,
    manifest BYTEA NOT NULL
);

-- Issuance. Shares no value with redemption but the numbers of epochs and denominations.

CREATE TABLE grants (
    grant_id BYTEA PRIMARY KEY,
    product TEXT NOT NULL,
    pack TEXT NOT NULL,
    minted BIGINT NOT NULL CHECK (minted IN (0, 1, 2)) -- nothing, as a pack, token by token
) /* clustered */;

CREATE TABLE vouchers (
    code_hash BYTEA PRIMARY KEY,
    product TEXT NOT NULL,
    pack TEXT NOT NULL,
    last_day BIGINT NOT NULL,
    grant_id BYTEA UNIQUE REFERENCES grants (grant_id)
) /* clustered */;

CREATE TABLE packs (
    grant_id BYTEA PRIMARY KEY REFERENCES grants (grant_id),
    request_digest BYTEA NOT NULL,
    answer BYTEA NOT NULL
) /* clustered */;

CREATE TABLE tokens (
    grant_id BYTEA NOT NULL REFERENCES grants (grant_id),
    request_digest BYTEA NOT NULL,
    exponent BIGINT NOT NULL,
    answer BYTEA NOT NULL,
    PRIMARY KEY (grant_id, request_digest)
) /* clustered */;

-- Appended, never updated: a counter per denomination would be one row that every purchase waits for.
CREATE TABLE issued (
    grant_id BYTEA NOT NULL REFERENCES grants (grant_id),
    sequence BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    exponent BIGINT NOT NULL,
    certificates BIGINT NOT NULL,
    PRIMARY KEY (grant_id, sequence, epoch, exponent)
) /* clustered */;

-- Redemption. No time is finer than the day.

CREATE TABLE operators (
    operator_id BYTEA PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    public_key BYTEA NOT NULL,
    name TEXT NOT NULL UNIQUE,
    added_day BIGINT NOT NULL,
    -- Where its relay is, separated by spaces; empty where the manifest does not list it.
    addresses TEXT NOT NULL DEFAULT '',
    -- What its relay serves, as in the manifest.
    classes BIGINT NOT NULL DEFAULT 3
);

-- `batch` is random, so that its order tells nothing and no two processes wait for one sequence.
CREATE TABLE batches (
    batch BIGINT PRIMARY KEY,
    batch_digest BYTEA NOT NULL UNIQUE,
    operator BIGINT NOT NULL REFERENCES operators (number),
    day BIGINT NOT NULL,
    manifest_version BIGINT NOT NULL,
    results BYTEA NOT NULL
) /* clustered */;

-- One row for each certificate that was ever accepted: the primary key is what makes double spending impossible.
-- Narrow, because every redemption looks here; what it refers to lies in `evidence`.
CREATE TABLE spent (
    epoch BIGINT NOT NULL,
    batch BIGINT NOT NULL,
    position BIGINT NOT NULL,
    certificate_key BYTEA NOT NULL,
    binding BYTEA NOT NULL,
    PRIMARY KEY (epoch, certificate_key)
) /* clustered */;

CREATE TABLE evidence (
    batch BIGINT NOT NULL,
    position BIGINT NOT NULL,
    day BIGINT NOT NULL,
    token BYTEA NOT NULL,
    commitment BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (batch, position)
) /* clustered */;

CREATE TABLE redeemed (
    batch BIGINT NOT NULL,
    operator BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    exponent BIGINT NOT NULL,
    certificates BIGINT NOT NULL,
    PRIMARY KEY (batch, epoch, exponent)
) /* clustered */;
