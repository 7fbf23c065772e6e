-- The administration: who may see the page, and what was done by whom.

CREATE TABLE admin_tokens (
    token_hash BYTEA PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    made_at BIGINT NOT NULL,
    valid_until BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE admin_sessions (
    session_hash BYTEA PRIMARY KEY,
    token_hash BYTEA NOT NULL REFERENCES admin_tokens (token_hash),
    began_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- Appended, never changed. Names what the vendor's own people did; no grant and no certificate.
CREATE TABLE admin_log (
    number BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);

-- How each batch was decided, in counts. Belongs to redemption: no time is finer than the day. Appended, never updated: a
-- counter for each operator and day would be one row that all its batches wait for. `entry` is a hash, which says nothing
-- of the batch when that has been dropped. `days_waited` are the days from each accepted payment to its redemption, added up.
CREATE TABLE outcomes (
    operator BIGINT NOT NULL REFERENCES operators (number),
    day BIGINT NOT NULL,
    entry BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    repeated BIGINT NOT NULL,
    double_spent BIGINT NOT NULL,
    expired BIGINT NOT NULL,
    invalid BIGINT NOT NULL,
    days_waited BIGINT NOT NULL,
    longest_wait BIGINT NOT NULL,
    PRIMARY KEY (operator, day, entry)
) /* clustered */;

-- Vouchers are made in batches. `nonce` is drawn before: whoever asks twice for one batch gets one. Part of issuance.
CREATE TABLE voucher_batches (
    batch BIGINT PRIMARY KEY,
    nonce BYTEA NOT NULL UNIQUE,
    product TEXT NOT NULL,
    credits BIGINT NOT NULL, -- of each
    vouchers BIGINT NOT NULL,
    made_day BIGINT NOT NULL,
    last_day BIGINT NOT NULL,
    cancelled_day BIGINT
);
ALTER TABLE vouchers ADD COLUMN batch BIGINT; -- none of those that older programs made
CREATE INDEX vouchers_by_batch ON vouchers (batch);
