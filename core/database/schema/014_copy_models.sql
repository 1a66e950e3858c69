-- What a model's embeddings tell of a picture: what it shows ('content'), or which picture it is, however it was edited
-- ('copy').
ALTER TABLE models ADD COLUMN purpose text NOT NULL DEFAULT 'content' CHECK (purpose IN ('content', 'copy'));
