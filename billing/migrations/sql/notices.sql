-- A notice stays as it was given. SQLSTATE 23514; no session setting turns this off.

CREATE TRIGGER notice_is_fact BEFORE UPDATE OR DELETE ON billing_notice
    FOR EACH ROW EXECUTE FUNCTION watertight_refuse();
ALTER TABLE billing_notice ENABLE ALWAYS TRIGGER notice_is_fact;

-- reverse:

DROP TRIGGER notice_is_fact ON billing_notice;
