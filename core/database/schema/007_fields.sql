-- What a list said of a picture beside its address: the column's name -> the cell's text. An item keeps what its own
-- list said, a picture what all lists say together; see `core.collection.metadata`.
ALTER TABLE items ADD COLUMN fields jsonb NOT NULL DEFAULT '{}', ADD COLUMN title text NOT NULL DEFAULT '';
ALTER TABLE pictures ADD COLUMN fields jsonb NOT NULL DEFAULT '{}';
CREATE INDEX pictures_fields ON pictures USING gin (fields jsonb_path_ops);

-- The file name in a picture's first address, and what pictures are sorted by: title or else that name, in lower case
-- and with its numbers at one width, so that "img 2" comes before "img 10".
CREATE FUNCTION name_key(name text) RETURNS text IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
    RETURN regexp_replace(regexp_replace(lower(left(name, 200)), '(\d+)', '000000000000\1', 'g'),
                          '\d*(\d{12})(?!\d)', '\1', 'g');
ALTER TABLE pictures ADD COLUMN name text NOT NULL DEFAULT '';
UPDATE pictures SET name = left(substring(url FROM '([^/?#]*)/*(?:[?#].*)?$'), 200)
FROM (SELECT DISTINCT ON (picture) picture, url FROM sources ORDER BY picture, added_at) first WHERE picture = id;
ALTER TABLE pictures ADD COLUMN name_key text COLLATE "C"
    GENERATED ALWAYS AS (name_key(CASE WHEN title <> '' THEN title ELSE name END)) STORED;
