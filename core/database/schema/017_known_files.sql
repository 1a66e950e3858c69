-- Pictures that sites send in place of others, as a curator said. Without a foreign key: such a picture is known even
-- after it was deleted permanently.
CREATE TABLE placeholders (
    picture   uuid PRIMARY KEY,
    marked_at timestamptz NOT NULL DEFAULT now()
);

-- What a site said of the version of a file when it was fetched (RFC 9110, 8.8). It holds while the URL leads to
-- this picture; url is where the file was after all redirects.
CREATE TABLE validators (
    key           bytea PRIMARY KEY REFERENCES sources ON DELETE CASCADE,
    picture       uuid NOT NULL,
    url           text NOT NULL,
    etag          text NOT NULL,
    last_modified text NOT NULL
);

-- Whether an import restores pictures that it finds in the bin.
ALTER TABLE imports ADD COLUMN restores boolean NOT NULL DEFAULT false;
