-- Of each model, one comparison of all pictures by their embeddings: what is wanted, how far it is, and what the last
-- one found. wanted is the threshold asked for, NULL when nothing is; a comparison is due while it is set and nobody
-- holds the lease. begun_at tells the holder from one whose lease ran out.
CREATE TABLE comparisons (
    model        integer PRIMARY KEY REFERENCES models ON DELETE CASCADE,
    wanted       double precision,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    begun_at     timestamptz,
    share        real NOT NULL DEFAULT 0,
    problem      text NOT NULL DEFAULT '',
    threshold    double precision,
    made_at      timestamptz,
    seconds      double precision,
    pictures     integer
);

-- The pairs that the last comparison found. Without foreign keys to pictures, for a pair whose picture is gone for
-- good is harmless: whoever reads pairs joins the pictures.
CREATE TABLE lookalikes (
    model      integer NOT NULL REFERENCES models ON DELETE CASCADE,
    picture    uuid NOT NULL,
    other      uuid NOT NULL,
    similarity double precision NOT NULL,
    PRIMARY KEY (model, picture, other),
    CHECK (picture < other)
);

-- Pairs of which a curator said that they are no duplicates.
CREATE TABLE not_duplicates (
    picture uuid NOT NULL REFERENCES pictures ON DELETE CASCADE,
    other   uuid NOT NULL REFERENCES pictures ON DELETE CASCADE,
    said_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (picture, other),
    CHECK (picture < other)
);
CREATE INDEX not_duplicates_other ON not_duplicates (other);
CREATE INDEX not_duplicates_said ON not_duplicates (said_at);
