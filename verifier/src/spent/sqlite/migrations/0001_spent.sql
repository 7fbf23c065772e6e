-- Vendors by a small number, with the credits that are reserved or committed and not yet decided.
CREATE TABLE vendors (
    number     INTEGER PRIMARY KEY,
    vendor_id  BLOB    NOT NULL UNIQUE,
    unredeemed INTEGER NOT NULL
);

-- When an epoch can be dropped.
CREATE TABLE epochs (
    vendor       INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    redeem_until INTEGER NOT NULL,
    PRIMARY KEY (vendor, epoch)
) WITHOUT ROWID;

-- One row per payment. Its evidence has the numbers from first_item to last_item.
-- state: 0 reserved, 1 committed; a released payment has no row.
CREATE TABLE payments (
    number             INTEGER PRIMARY KEY,
    payment_id         BLOB    NOT NULL UNIQUE,
    vendor             INTEGER NOT NULL,
    state              INTEGER NOT NULL,
    asks_first         INTEGER NOT NULL,
    seconds_per_credit INTEGER NOT NULL,
    reserved_at        INTEGER NOT NULL,
    first_item         INTEGER NOT NULL,
    last_item          INTEGER NOT NULL,
    status             INTEGER,
    content_type       TEXT,
    answer             BLOB
);
CREATE INDEX payments_reserved ON payments (reserved_at) WHERE state = 0;

-- The spend identity of each certificate. This table decides; it is looked up by random keys and stays narrow.
CREATE TABLE spent (
    vendor          INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    certificate_key BLOB    NOT NULL,
    binding         BLOB    NOT NULL,
    item            INTEGER NOT NULL,
    PRIMARY KEY (vendor, epoch, certificate_key)
) WITHOUT ROWID;

-- What the vendor is shown; appended. state: EvidenceState.
CREATE TABLE evidence (
    number     INTEGER PRIMARY KEY,
    payment    INTEGER NOT NULL,
    vendor     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    exponent   INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    batch      INTEGER,
    place      INTEGER,
    token      BLOB    NOT NULL,
    day        INTEGER NOT NULL,
    commitment BLOB    NOT NULL,
    signature  BLOB    NOT NULL
);
CREATE INDEX evidence_waiting ON evidence (vendor, number) WHERE state = 1;
CREATE INDEX evidence_batch ON evidence (batch, place) WHERE batch IS NOT NULL;

-- Redemption batches, with the bytes that are repeated until they are answered, and the answer.
CREATE TABLE batches (
    number  INTEGER PRIMARY KEY,
    vendor  INTEGER NOT NULL,
    items   INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    bytes   BLOB    NOT NULL,
    outcome BLOB
);
CREATE INDEX batches_pending ON batches (number) WHERE outcome IS NULL;

-- Certificates that were spent elsewhere before. Kept for good: they are the operator's evidence.
CREATE TABLE conflicts (
    number     INTEGER PRIMARY KEY,
    vendor     INTEGER NOT NULL,
    payment_id BLOB    NOT NULL,
    exponent   INTEGER NOT NULL,
    day        INTEGER NOT NULL,
    reported   INTEGER NOT NULL,
    proof      BLOB    NOT NULL
);
CREATE INDEX conflicts_payment ON conflicts (payment_id);
CREATE INDEX conflicts_unreported ON conflicts (number) WHERE reported = 0;

-- What vendors decided, kept for good. state: EvidenceState.
CREATE TABLE earnings (
    vendor  INTEGER NOT NULL,
    day     INTEGER NOT NULL,
    state   INTEGER NOT NULL,
    items   INTEGER NOT NULL,
    credits INTEGER NOT NULL,
    PRIMARY KEY (vendor, day, state)
) WITHOUT ROWID;
