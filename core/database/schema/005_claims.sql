-- A claim takes the first items of a list that are due: in that order it reads no more than it takes, and those that
-- are claimed already. Without next_try_at in an index, a claim or a renewed lease is an update in place, for which
-- pages keep some room.
DROP INDEX items_waiting;
CREATE INDEX items_waiting ON items (import, position) WHERE status = 'waiting';
ALTER TABLE items SET (fillfactor = 70);
