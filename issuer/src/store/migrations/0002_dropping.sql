-- Answers to batches are dropped by day, when every epoch that a batch of that day can name is past.
CREATE INDEX batches_by_day ON batches (day);

-- The last time that an issuer believed, and how often a person said what time it is.
CREATE TABLE clock (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    believed BIGINT NOT NULL,
    confirmations BIGINT NOT NULL
);
