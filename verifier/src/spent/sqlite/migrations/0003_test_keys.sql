-- Certificates of test keys (keys.md, "Test keys"): redeemed as the others are, and worth nothing.
ALTER TABLE evidence ADD COLUMN test INTEGER NOT NULL DEFAULT 0;

-- Apart from what is owed. Their `credits` are 0.
CREATE TABLE earnings_by_use (
    vendor  INTEGER NOT NULL,
    day     INTEGER NOT NULL,
    test    INTEGER NOT NULL,
    state   INTEGER NOT NULL,
    items   INTEGER NOT NULL,
    credits INTEGER NOT NULL,
    PRIMARY KEY (vendor, day, test, state)
) WITHOUT ROWID;
INSERT INTO earnings_by_use SELECT vendor, day, 0, state, items, credits FROM earnings;
DROP TABLE earnings;
ALTER TABLE earnings_by_use RENAME TO earnings;
