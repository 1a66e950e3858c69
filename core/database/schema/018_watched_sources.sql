-- Places that hold pictures, and are read once or again and again: folders of the server, and documents on the web.
-- (The table sources has the URLs of single pictures.) A reading is due from next_reading_at on; NULL: none is.
CREATE TABLE watched_sources (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    location        text NOT NULL UNIQUE,
    name            text NOT NULL,
    every           text NOT NULL CHECK (every IN ('never', 'hour', 'day', 'week')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    paused_at       timestamptz,
    next_reading_at timestamptz
);

-- What a source has held, by the key of its items. seen_at is when the last reading began that found it, checked_at when
-- its site was last asked for changes; size, modified_ns (nanoseconds) and sha256 are those of a file. problem is why it
-- was left out.
CREATE TABLE source_entries (
    source      bigint NOT NULL REFERENCES watched_sources ON DELETE CASCADE,
    key         bytea NOT NULL,
    location    text NOT NULL,
    size        bigint,
    modified_ns bigint,
    sha256      bytea,
    problem     text,
    seen_at     timestamptz NOT NULL,
    checked_at  timestamptz NOT NULL DEFAULT now(),
    vanished_at timestamptz,
    PRIMARY KEY (source, key)
);

-- The history of a source. A reading without ended_at is going on, or was interrupted and goes on soon.
CREATE TABLE source_readings (
    source   bigint NOT NULL REFERENCES watched_sources ON DELETE CASCADE,
    begun_at timestamptz NOT NULL,
    ended_at timestamptz,
    import   bigint,
    found    integer NOT NULL DEFAULT 0,
    added    integer NOT NULL DEFAULT 0,
    changed  integer NOT NULL DEFAULT 0,
    vanished integer NOT NULL DEFAULT 0,
    problem  text,
    PRIMARY KEY (source, begun_at)
);

-- The SHA-256 of the stored file of an item whose key is another: that of the file's path in a folder.
ALTER TABLE items ADD COLUMN file bytea;
