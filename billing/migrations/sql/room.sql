-- Rows that change with every batch keep room on their page, so that a new version needs no new index entries.

ALTER TABLE billing_bucket SET (fillfactor = 70);
ALTER TABLE billing_usageclock SET (fillfactor = 50);

-- reverse:

ALTER TABLE billing_bucket RESET (fillfactor);
ALTER TABLE billing_usageclock RESET (fillfactor);
