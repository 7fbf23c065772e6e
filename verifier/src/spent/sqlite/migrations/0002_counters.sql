-- The next number of each kind. Numbers are never given out again, whatever was released or dropped: a payment may name
-- evidence that is gone, and an answer may come to a batch that is gone.
CREATE TABLE counters (
    name TEXT    PRIMARY KEY,
    next INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO counters (name, next)
SELECT 'payments', MAX(
    (SELECT COALESCE(MAX(number), 0) FROM payments),
    (SELECT COALESCE(MAX(payment), 0) FROM evidence)) + 1;

INSERT INTO counters (name, next)
SELECT 'evidence', MAX(
    (SELECT COALESCE(MAX(number), 0) FROM evidence),
    (SELECT COALESCE(MAX(last_item), 0) FROM payments)) + 1;

INSERT INTO counters (name, next)
SELECT 'batches', MAX(
    (SELECT COALESCE(MAX(number), 0) FROM batches),
    (SELECT COALESCE(MAX(batch), 0) FROM evidence)) + 1;
