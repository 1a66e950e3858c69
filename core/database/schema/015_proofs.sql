-- That two pictures are copies is proved by their local features (core.verification), and the proof is kept, as JSON;
-- it names the one with the lower id first. Pairs of former versions, by perceptual hash alone, are looked for again:
-- swatches of different colours have the same hash.
ALTER TABLE copies ADD COLUMN proof jsonb;
DELETE FROM copies;
INSERT INTO unpaired SELECT id FROM pictures ON CONFLICT DO NOTHING;
