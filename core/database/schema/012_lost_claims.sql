-- How often an item was in hand when a worker died: see Claims.claim.
ALTER TABLE items ADD COLUMN lost smallint NOT NULL DEFAULT 0;

-- Saved thresholds have a table of their own.
ALTER TABLE models DROP COLUMN threshold;
