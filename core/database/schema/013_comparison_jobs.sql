-- Who works on a comparison the job queue knows. begun_at still tells one that began from one that was begun again.
ALTER TABLE comparisons DROP COLUMN leased_until;
