-- Pairs of which a curator said that they are no duplicates, or that both stay, as a stack.
ALTER TABLE not_duplicates RENAME TO settled_pairs;
ALTER TABLE settled_pairs RENAME COLUMN said_at TO settled_at;
ALTER TABLE settled_pairs ADD COLUMN stacked boolean NOT NULL DEFAULT false;
ALTER INDEX not_duplicates_pkey RENAME TO settled_pairs_pkey;
ALTER INDEX not_duplicates_other RENAME TO settled_pairs_other;
ALTER INDEX not_duplicates_said RENAME TO settled_pairs_settled_at;
