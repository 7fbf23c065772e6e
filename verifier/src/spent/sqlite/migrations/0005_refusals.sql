-- Payments that were refused for good, with the signed answer that every retry gets.
CREATE TABLE refusals (
    payment_id   BLOB    PRIMARY KEY,
    day          INTEGER NOT NULL,
    status       INTEGER NOT NULL,
    content_type TEXT    NOT NULL,
    answer       BLOB    NOT NULL
) WITHOUT ROWID;
CREATE INDEX refusals_day ON refusals (day);

-- The bindings of their certificates. A binding is in `spent` or here, never in both: a wallet that puts one binding into two
-- payments, and has one refused and the other taken, must not be able to show both.
CREATE TABLE refused (
    binding         BLOB    PRIMARY KEY,
    certificate_key BLOB    NOT NULL,
    day             INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX refused_certificate ON refused (certificate_key);
CREATE INDEX refused_day ON refused (day);
