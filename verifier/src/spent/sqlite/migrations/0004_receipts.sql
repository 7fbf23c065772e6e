-- Batches are kept with their answers as receipts of what the vendor owes, longer than the epochs of their certificates. 0: answered
-- by a vendor without a ledger, or not yet.
ALTER TABLE batches ADD COLUMN answered_day INTEGER NOT NULL DEFAULT 0;
