-- What is held keeps its content; only its state may change, and only forwards.

CREATE FUNCTION watertight_guard_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR TG_TABLE_NAME = 'quarantine_sighting' THEN
        RAISE EXCEPTION '% rows are facts: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = '23514';
    END IF;
    IF (to_jsonb(OLD) - '{status,resolved_at}'::text[]) <> (to_jsonb(NEW) - '{status,resolved_at}'::text[])
        OR (OLD.status <> 'open' AND OLD.status <> NEW.status)
    THEN
        RAISE EXCEPTION 'a held record: this change is refused' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER held_record_keeps_content BEFORE UPDATE OR DELETE ON quarantine_heldrecord
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_held();
CREATE TRIGGER sighting_is_fact BEFORE UPDATE OR DELETE ON quarantine_sighting
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_held();
ALTER TABLE quarantine_heldrecord ENABLE ALWAYS TRIGGER held_record_keeps_content;
ALTER TABLE quarantine_sighting ENABLE ALWAYS TRIGGER sighting_is_fact;

-- reverse:

DROP TRIGGER sighting_is_fact ON quarantine_sighting;
DROP TRIGGER held_record_keeps_content ON quarantine_heldrecord;
DROP FUNCTION watertight_guard_held();
