-- The host of an address, so that a search can keep to one domain; NULL for a path on this server.
ALTER TABLE sources ADD COLUMN host text
    GENERATED ALWAYS AS (lower(substring(url FROM '^[a-z]+://(?:[^/?#]*@)?(\[[^]]*\]|[^/?#:]*)'))) STORED;
CREATE INDEX sources_host ON sources (host);
CREATE INDEX pictures_tags ON pictures USING gin (tags);
CREATE INDEX pictures_indexed ON pictures (indexed_at);

-- Pictures that somebody searched with, so that a link can bring the search back; id is the first 128 bits of the
-- SHA-256 of the bytes. Kept until expires_at.
CREATE TABLE query_pictures (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    data       bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
ALTER TABLE query_pictures ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX query_pictures_expiry ON query_pictures (expires_at);
