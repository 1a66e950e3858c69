-- Pairs of which a curator said that they are no duplicates, or that both stay, as a stack.
CREATE TABLE settled_pairs (
    picture    uuid NOT NULL REFERENCES pictures ON DELETE CASCADE,
    other      uuid NOT NULL REFERENCES pictures ON DELETE CASCADE,
    stacked    boolean NOT NULL DEFAULT false,
    settled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (picture, other),
    CHECK (picture < other)
);
CREATE INDEX settled_pairs_other ON settled_pairs (other);
CREATE INDEX settled_pairs_settled_at ON settled_pairs (settled_at);
INSERT INTO settled_pairs (picture, other, settled_at) SELECT picture, other, said_at FROM not_duplicates;
DROP TABLE not_duplicates;
