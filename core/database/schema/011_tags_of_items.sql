-- Tags that an item brings to its picture, as its fields and title do: those of a collection that was read from a file.
ALTER TABLE items ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
