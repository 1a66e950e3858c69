-- What was searched with, so that its matches can be judged later. key tells the same query again, whoever asks it:
-- see `core.tuning.verdicts.query_key`. Those without a verdict go after a while.
CREATE TABLE queries (
    key      text PRIMARY KEY,
    kind     text NOT NULL CHECK (kind IN ('picture', 'words')),
    label    text NOT NULL,
    parts    text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX queries_asked ON queries (kind, asked_at);

-- A person's answers to "is this match right?". The latest of a query, picture and model counts; is_right is NULL
-- when that took the answer back.
CREATE TABLE verdicts (
    query      text NOT NULL REFERENCES queries ON DELETE CASCADE,
    picture    uuid NOT NULL REFERENCES pictures ON DELETE CASCADE,
    model      integer NOT NULL REFERENCES models,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    similarity double precision NOT NULL,
    is_right   boolean,
    PRIMARY KEY (query, picture, model, at)
);
CREATE INDEX verdicts_picture ON verdicts (picture);
CREATE INDEX verdicts_model ON verdicts (model, at);

-- The thresholds that were saved for a model and a kind of query. The latest counts; NULL means back to none.
CREATE TABLE thresholds (
    model     integer NOT NULL REFERENCES models,
    kind      text NOT NULL CHECK (kind IN ('picture', 'words')),
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    threshold double precision CHECK (threshold BETWEEN 0 AND 1),
    verdicts  integer NOT NULL DEFAULT 0,
    sentence  text NOT NULL DEFAULT '',
    PRIMARY KEY (model, kind, at)
);
