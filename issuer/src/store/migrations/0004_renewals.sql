-- Renewals. A renewed certificate has its row in `spent`, as every voided one, with -1 for the batch; what became of it lies
-- here, under the same key, and is kept as long as `packs`: a wallet that is restored asks for it. A request has one certificate, and
-- nothing is kept that would tie it to another.

CREATE TABLE renewals (
    epoch BIGINT NOT NULL,
    certificate_key BYTEA NOT NULL,
    day BIGINT NOT NULL,
    token BYTEA NOT NULL,
    key_id BYTEA NOT NULL,
    blinded_message BYTEA NOT NULL,
    blind_signature BYTEA NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (epoch, certificate_key)
) /* clustered */;

-- The sums of each day: voided in `epoch`, issued in `new_epoch`.
CREATE TABLE renewed (
    day BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    exponent BIGINT NOT NULL,
    new_epoch BIGINT NOT NULL,
    certificates BIGINT NOT NULL,
    PRIMARY KEY (day, epoch, exponent, new_epoch)
) /* clustered */;

-- Every renewal that was decided, by what the old certificate's key signed: taken, with nulls, or refused for the reason `refused`. A
-- refusal is signed, and holds for ever: no row is dropped, and by the key none is both.
CREATE TABLE renewal_requests (
    epoch BIGINT NOT NULL,
    certificate_key BYTEA NOT NULL,
    binding BYTEA NOT NULL,
    day BIGINT,
    manifest_version BIGINT,
    refused TEXT,
    PRIMARY KEY (epoch, certificate_key, binding)
) /* clustered */;
