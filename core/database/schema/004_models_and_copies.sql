-- What CLIP_MODEL said when the model was last loaded, so that it can be loaded again to serve searches while
-- another takes over; '' where nobody wrote it down.
ALTER TABLE models ADD COLUMN setting text NOT NULL DEFAULT '';
UPDATE models SET setting = name WHERE name NOT LIKE 'local-dir:%';

-- A thumbnail that cannot be read must not hold up a change of model for ever.
ALTER TABLE thumbnails ADD COLUMN damaged boolean NOT NULL DEFAULT false;
CREATE INDEX thumbnails_damaged ON thumbnails (picture) WHERE damaged;

-- The perceptual hash in five bands of 13, 13, 13, 13 and 12 bits, each with its own range of numbers. Hashes that
-- differ in at most four bits have a band in common, so an index on the bands finds them all (multi-index hashing:
-- Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012). Without
-- fastupdate, for every look-up would read through the list of what is not in the index yet.
CREATE FUNCTION phash_bands(phash bigint) RETURNS integer[] IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
    RETURN ARRAY[
        (phash & 8191)::integer,
        ((phash >> 13 & 8191) + 8192)::integer,
        ((phash >> 26 & 8191) + 16384)::integer,
        ((phash >> 39 & 8191) + 24576)::integer,
        ((phash >> 52 & 4095) + 32768)::integer
    ];
CREATE INDEX pictures_phash ON pictures USING gin (phash_bands(phash)) WITH (fastupdate = off);

-- Two pictures that are copies of each other; distance is the number of bits in which their hashes differ.
CREATE TABLE copies (
    picture  uuid NOT NULL REFERENCES pictures ON DELETE CASCADE,
    other    uuid NOT NULL REFERENCES pictures ON DELETE CASCADE,
    distance smallint NOT NULL,
    PRIMARY KEY (picture, other),
    CHECK (picture < other)
);
CREATE INDEX copies_other ON copies (other, picture);

-- Pictures whose copies were not looked for yet. A row comes with its picture, in the same transaction, and goes
-- with the copies that were found, in the same transaction.
CREATE TABLE unpaired (picture uuid PRIMARY KEY REFERENCES pictures ON DELETE CASCADE);
INSERT INTO unpaired SELECT id FROM pictures;
