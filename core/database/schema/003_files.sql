-- Files that were dropped into the page: nobody else may have them, so their bytes are kept.
-- key is the SHA-256 of the bytes, the key of their item and source, and the sha256 of their picture.
CREATE TABLE files (
    key  bytea PRIMARY KEY,
    name text NOT NULL,
    data bytea NOT NULL
);
ALTER TABLE files ALTER COLUMN data SET STORAGE EXTERNAL;
