-- A picture is known by its bytes: id is the first 128 bits of their SHA-256, so the same file under two
-- addresses is one row, and a distributed Postgres can shard every table below by its key.
CREATE TABLE pictures (
    id          uuid PRIMARY KEY,
    sha256      bytea NOT NULL,
    phash       bigint NOT NULL,
    width       integer NOT NULL,
    height      integer NOT NULL,
    bytes       bigint NOT NULL,
    mime        text NOT NULL,
    title       text NOT NULL DEFAULT '',
    tags        text[] NOT NULL DEFAULT '{}',
    indexed_at  timestamptz NOT NULL DEFAULT now(),
    removed_at  timestamptz
);
CREATE INDEX pictures_removed ON pictures (id) WHERE removed_at IS NOT NULL;

-- Apart from pictures, so that a scan of the facts never reads the images.
CREATE TABLE thumbnails (
    picture uuid PRIMARY KEY REFERENCES pictures ON DELETE CASCADE,
    mime    text NOT NULL,
    image   bytea NOT NULL
);
ALTER TABLE thumbnails ALTER COLUMN image SET STORAGE EXTERNAL;

-- Where pictures came from. key is the SHA-256 of the address's canonical form.
CREATE TABLE sources (
    key      bytea PRIMARY KEY,
    url      text NOT NULL,
    picture  uuid NOT NULL REFERENCES pictures ON DELETE CASCADE,
    added_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sources_picture ON sources (picture, added_at);

-- Each model has a table of its own, embeddings_<id>, made when the model is first used.
CREATE TABLE models (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text NOT NULL UNIQUE,
    dim       integer NOT NULL,
    threshold real,
    added_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE imports (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    paused_at    timestamptz,
    deleted_at   timestamptz
);

-- The truth about an import. While an item waits, next_try_at is when it may be claimed: a claim moves it
-- into the future as a lease, so the items of a worker that died come back by themselves.
CREATE TABLE items (
    import      bigint NOT NULL REFERENCES imports ON DELETE CASCADE,
    key         bytea NOT NULL,
    position    integer NOT NULL,
    url         text NOT NULL,
    host        text NOT NULL,
    status      text NOT NULL DEFAULT 'waiting'
                CHECK (status IN ('waiting', 'indexed', 'already_there', 'failed')),
    attempts    integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    reason      text,
    picture     uuid,
    finished_at timestamptz,
    PRIMARY KEY (import, key)
);
CREATE INDEX items_waiting ON items (import, next_try_at, position) WHERE status = 'waiting';
CREATE INDEX items_host ON items (host) WHERE status = 'waiting';
CREATE INDEX items_picture ON items (picture) WHERE picture IS NOT NULL;
