-- The ledger (ledger.md). What is in line for it, where everything lies in it, and its auditors.

-- One row for each thing that happened: `what` is 1 for the redemptions of the batch `entry`, 2 for a leaf in `body` with the
-- commitments that stand in front of it, 3 for a renewal, with its epoch and exponent in `body`, 4 for the version `entry` of the manifest. Taken by the
-- sequencer, which deletes it in the transaction that gives it its place.
CREATE TABLE ledger_queue (
    what BIGINT NOT NULL,
    entry BIGINT NOT NULL,
    day BIGINT NOT NULL,
    operator BIGINT,
    commitments BYTEA,
    body BYTEA,
    PRIMARY KEY (what, entry)
) /* clustered */;

-- What was signed and granted and is not in the ledger yet. `kind` is 1 for sold and 2 for reissued. `entry` is a hash, which
-- says nothing of the purchase. The sequencer adds the rows up and deletes them; the ledger has only the sums. Part of issuance.
CREATE TABLE ledger_issued (
    kind BIGINT NOT NULL,
    entry BIGINT NOT NULL,
    day BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    exponent BIGINT NOT NULL,
    certificates BIGINT NOT NULL,
    PRIMARY KEY (kind, entry, day, epoch, exponent)
) /* clustered */;
CREATE TABLE ledger_sales (
    entry BIGINT NOT NULL,
    day BIGINT NOT NULL,
    source TEXT NOT NULL,
    test BIGINT NOT NULL,
    operator BIGINT NOT NULL, -- who sold it on the vendor's behalf; 0 for nobody
    purchases BIGINT NOT NULL,
    credits BIGINT NOT NULL,
    PRIMARY KEY (entry, day, source, test, operator)
) /* clustered */;

-- One row. The first `size` leaves have their places, the first `stored` of them are in the storage; `edge` and `stored_edge` are
-- the unfinished tiles of the two trees. `secret` hides what could be guessed of private leaves. `holder` is the process that
-- sequences, and `beat` is raised whenever it shows that it is alive.
CREATE TABLE ledger_state (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    secret BYTEA NOT NULL,
    size BIGINT NOT NULL,
    edge BYTEA NOT NULL,
    stored BIGINT NOT NULL,
    stored_edge BYTEA NOT NULL,
    holder BYTEA NOT NULL,
    beat BIGINT NOT NULL
);

-- How many transactions each writer has committed, by the slots in which it runs them at the same time. A writer remembers its numbers
-- and finds a database that has gone back by them.
CREATE TABLE marks (
    writer BYTEA NOT NULL,
    slot BIGINT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (writer, slot)
) /* clustered */;

-- What lies where, without gaps: `leaves` leaves from `first` on. `what` is as in the queue, and 5 for covers; `body` is the leaf, or,
-- for a batch of which not all evidence was there any more, the positions of that which was.
CREATE TABLE ledger_ranges (
    first BIGINT PRIMARY KEY,
    leaves BIGINT NOT NULL CHECK (leaves > 0),
    what BIGINT NOT NULL,
    batch BIGINT UNIQUE, -- no batch has two places
    operator BIGINT,
    body BYTEA
);
CREATE INDEX ledger_ranges_by_operator ON ledger_ranges (operator, first);

-- Where the leaf of each version of the manifest is.
CREATE TABLE ledger_manifests (
    version BIGINT PRIMARY KEY,
    leaf BIGINT NOT NULL
) /* clustered */;

-- The signed checkpoint of each size that the tree has had.
CREATE TABLE ledger_checkpoints (
    size BIGINT PRIMARY KEY,
    note BYTEA NOT NULL
);

-- Editions of the lists of voided certificates (voided.md). Everything that is in a list follows from its row.
CREATE TABLE voided_editions (
    epoch BIGINT NOT NULL,
    number BIGINT NOT NULL,
    day BIGINT NOT NULL,
    covered BIGINT NOT NULL,
    commitment BYTEA NOT NULL,
    published BIGINT NOT NULL CHECK (published IN (0, 1)),
    PRIMARY KEY (epoch, number)
) /* clustered */;

-- Epochs that nothing follows any more, with the size of the tree in which their last leaf is.
CREATE TABLE ledger_ended (
    epoch BIGINT PRIMARY KEY,
    size BIGINT NOT NULL
);

-- Where a renewal lies: the index of the first leaf of its range, and one more; 0 while it is not in the ledger.
ALTER TABLE renewals ADD COLUMN logged BIGINT NOT NULL DEFAULT 0;
CREATE INDEX renewals_by_day ON renewals (day, logged);

CREATE TABLE auditors (
    token_hash BYTEA PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    made_at BIGINT NOT NULL,
    valid_until BIGINT NOT NULL,
    revoked_at BIGINT
);
