-- Settlement with operators (ledger.md, "Statements"). Part of redemption: it names operators and sums, and no purchase.

-- Terms, appended. Amounts are millionths of the currency, `share` is in ten-thousandths.
CREATE TABLE contracts (
    operator BIGINT NOT NULL REFERENCES operators (number),
    number BIGINT NOT NULL,
    day BIGINT NOT NULL,
    currency TEXT NOT NULL,
    price BIGINT NOT NULL,
    share BIGINT NOT NULL,
    resale_price BIGINT NOT NULL,
    salt BYTEA NOT NULL,
    PRIMARY KEY (operator, number)
) /* clustered */;

-- Statements as they were signed. The next one covers the operator's leaves from `until` on; `contract` is the number of the contract
-- that was in force there, 0 for none.
CREATE TABLE statements (
    operator BIGINT NOT NULL REFERENCES operators (number),
    number BIGINT NOT NULL,
    until BIGINT NOT NULL,
    contract BIGINT NOT NULL,
    statement BYTEA NOT NULL,
    PRIMARY KEY (operator, number)
) /* clustered */;

-- What was agreed besides. `statement` is the number of the one that has it; NULL while it waits for the next.
CREATE TABLE adjustments (
    operator BIGINT NOT NULL REFERENCES operators (number),
    number BIGINT NOT NULL,
    day BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    reason TEXT NOT NULL,
    statement BIGINT,
    PRIMARY KEY (operator, number)
) /* clustered */;

-- Part of issuance: the number of the operator that sells the vouchers of a batch on the vendor's behalf, and owes for them.
ALTER TABLE voucher_batches ADD COLUMN operator BIGINT;
