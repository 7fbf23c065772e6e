-- Purchases of every source, and what was ordered. Part of issuance.

ALTER TABLE grants ADD COLUMN test BIGINT NOT NULL DEFAULT 0; -- 1: bought in a test environment, for test keys only
ALTER TABLE grants ADD COLUMN cancelled BIGINT NOT NULL DEFAULT 0; -- 1: refunded, nothing more is signed
ALTER TABLE grants ADD COLUMN rest TEXT; -- the pack of the second part
ALTER TABLE grants ADD COLUMN rest_from BIGINT;

-- A purchase that was turned into a grant, or that was refunded before it was: then it has no grant. `day` is when the
-- vendor learned of it, and unknown for what older programs recorded. `account` is a hash of what the source calls the buyer.
CREATE TABLE purchases (
    source TEXT NOT NULL,
    transaction_id BYTEA NOT NULL,
    grant_id BYTEA UNIQUE REFERENCES grants (grant_id),
    day BIGINT NOT NULL,
    credits BIGINT NOT NULL,
    account BYTEA,
    refunded_day BIGINT,
    settled BIGINT NOT NULL DEFAULT 1, -- 0: the source is still to be told that it was delivered
    PRIMARY KEY (source, transaction_id)
) /* clustered */;
CREATE INDEX purchases_by_day ON purchases (day);

CREATE TABLE orders (
    order_id BYTEA PRIMARY KEY,
    grant_id BYTEA NOT NULL UNIQUE,
    product TEXT NOT NULL,
    day BIGINT NOT NULL
) /* clustered */;

-- What was given away on a day, and what may be.
CREATE TABLE budgets (
    source TEXT NOT NULL,
    day BIGINT NOT NULL,
    credits BIGINT NOT NULL,
    PRIMARY KEY (source, day)
) /* clustered */;

-- Notifications that were taken: each has its effects once.
CREATE TABLE notifications (
    source TEXT NOT NULL,
    notification_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    PRIMARY KEY (source, notification_id)
) /* clustered */;

-- Vouchers keep what they were sold for; what became of them is a purchase like any other.
INSERT INTO purchases (source, transaction_id, grant_id, day, credits)
    SELECT 'voucher', code_hash, grant_id, 0, 0 FROM vouchers WHERE grant_id IS NOT NULL;
CREATE TABLE vouchers_moved (
    code_hash BYTEA PRIMARY KEY,
    product TEXT NOT NULL,
    last_day BIGINT NOT NULL
) /* clustered */;
INSERT INTO vouchers_moved (code_hash, product, last_day)
    SELECT code_hash, product, last_day FROM vouchers;
DROP TABLE vouchers;
ALTER TABLE vouchers_moved RENAME TO vouchers;

-- Sources that fail, and what they said.
CREATE TABLE source_failures (
    source TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    message TEXT NOT NULL
);
