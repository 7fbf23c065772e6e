-- Answers to batches are dropped by day, when every epoch that a batch of that day can name is past.
CREATE INDEX batches_by_day ON batches (day);
