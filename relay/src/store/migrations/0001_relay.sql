-- Leases and what they are for. A lease ends at `lease_until`, or earlier; `ended_at` is set then, its content is
-- collected soon after, and the row goes 30 days later. Numbers are never used twice, because files are named by them.
CREATE TABLE leases (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    lease_id BLOB NOT NULL UNIQUE,             -- the recipient's or the owner's address
    peer_id BLOB NOT NULL UNIQUE,              -- the sender's or the reader's address
    kind INTEGER NOT NULL CHECK (kind IN (1, 2)), -- queue, chunk
    owner_key BLOB NOT NULL,
    peer_key BLOB NOT NULL,
    lease_until INTEGER NOT NULL,
    ended_at INTEGER,
    collected INTEGER NOT NULL DEFAULT 0,
    size_class INTEGER,                        -- of chunks, as are the next two
    digest BLOB,
    uploaded INTEGER NOT NULL DEFAULT 0,
    CHECK ((kind = 2) = (size_class IS NOT NULL)),
    CHECK ((kind = 2) = (digest IS NOT NULL))
);

CREATE INDEX leases_live ON leases (lease_until) WHERE ended_at IS NULL;
CREATE INDEX leases_ended ON leases (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX leases_uncollected ON leases (number) WHERE ended_at IS NOT NULL AND collected = 0;

-- One row for each payment that bought something, in the order in which they did. That a payment has one row is what makes
-- provisioning twice provisioning once.
CREATE TABLE provisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_id BLOB NOT NULL UNIQUE,
    made_at INTEGER NOT NULL,
    lease INTEGER NOT NULL REFERENCES leases (number),
    credits INTEGER NOT NULL,
    seconds_per_credit INTEGER NOT NULL,
    receipt BLOB NOT NULL
);

CREATE INDEX provisions_of_lease ON provisions (lease);

-- Every signed statement about a lease, in the order in which they were made.
CREATE TABLE receipts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    lease INTEGER NOT NULL REFERENCES leases (number),
    receipt BLOB NOT NULL
);

CREATE INDEX receipts_of_lease ON receipts (lease, number);

-- Certificates that turned out spent elsewhere. Kept after the lease is gone: it is the operator's evidence.
CREATE TABLE conflicts (
    payment_id BLOB NOT NULL,
    certificate_key BLOB NOT NULL,
    lease_id BLOB,                             -- null where the lease was gone already
    value INTEGER NOT NULL,                    -- credits
    event INTEGER NOT NULL CHECK (event IN (0, 3, 4)), -- none (ended before), shortened, ended
    lease_until INTEGER,
    learned_at INTEGER NOT NULL,
    proof BLOB NOT NULL,
    PRIMARY KEY (payment_id, certificate_key)
) WITHOUT ROWID;

CREATE TABLE messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    lease INTEGER NOT NULL REFERENCES leases (number),
    message_id BLOB NOT NULL,
    expires INTEGER NOT NULL,
    block BLOB NOT NULL
);

CREATE INDEX messages_of_lease ON messages (lease, number);
CREATE INDEX messages_by_expiry ON messages (expires);

-- The nonces of commands that must not happen twice: of messages, remembered as long as a message lives, so that one that is
-- sent again after it was read is not delivered twice; of deletions, as long as the command is good. They outlive what the
-- lease held, since it may be paid for again.
CREATE TABLE nonces (
    lease INTEGER NOT NULL REFERENCES leases (number),
    nonce BLOB NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (lease, nonce)
) WITHOUT ROWID;

CREATE INDEX nonces_by_expiry ON nonces (expires);

-- Up to which payment of `spent.sqlite`, and which provision, the operator takes it as given that the two databases are not of one
-- moment.
CREATE TABLE accepted_loss (
    payments INTEGER NOT NULL,
    provisions INTEGER NOT NULL
);

INSERT INTO accepted_loss (payments, provisions) VALUES (0, 0);

-- What is promised to leases that are not collected yet, kept up to date by the transactions that change it.
CREATE TABLE promised (
    kind INTEGER PRIMARY KEY CHECK (kind IN (1, 2)),
    leases INTEGER NOT NULL,
    bytes INTEGER NOT NULL                     -- of chunks
);

INSERT INTO promised (kind, leases, bytes) VALUES (1, 0, 0), (2, 0, 0);
