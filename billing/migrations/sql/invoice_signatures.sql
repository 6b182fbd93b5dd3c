-- Who voided a document is written with the void; who issued it is part of what cannot change.

CREATE OR REPLACE FUNCTION watertight_guard_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb;
    after  jsonb;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status <> 'draft' THEN
            RAISE EXCEPTION 'invoice % is issued: DELETE is refused', OLD.number USING ERRCODE = '23514';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.status = 'draft' THEN
        RETURN NEW;
    END IF;
    before := to_jsonb(OLD) - '{status,voided_at,voided_by,void_reason,waived}'::text[];
    after := to_jsonb(NEW) - '{status,voided_at,voided_by,void_reason,waived}'::text[];
    IF before <> after THEN
        RAISE EXCEPTION 'invoice % is issued: its content cannot change', OLD.number USING ERRCODE = '23514';
    END IF;
    IF OLD.status <> NEW.status AND NOT (OLD.status = 'issued' AND NEW.status = 'voided') THEN
        RAISE EXCEPTION 'invoice %: from % to % is refused', OLD.number, OLD.status, NEW.status
            USING ERRCODE = '23514';
    END IF;
    IF OLD.status = 'voided' AND to_jsonb(OLD) <> to_jsonb(NEW) THEN
        RAISE EXCEPTION 'invoice % is voided: it cannot change', OLD.number USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END
$$;

-- reverse:

CREATE OR REPLACE FUNCTION watertight_guard_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb;
    after  jsonb;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status <> 'draft' THEN
            RAISE EXCEPTION 'invoice % is issued: DELETE is refused', OLD.number USING ERRCODE = '23514';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.status = 'draft' THEN
        RETURN NEW;
    END IF;
    before := to_jsonb(OLD) - '{status,voided_at,void_reason,waived}'::text[];
    after := to_jsonb(NEW) - '{status,voided_at,void_reason,waived}'::text[];
    IF before <> after THEN
        RAISE EXCEPTION 'invoice % is issued: its content cannot change', OLD.number USING ERRCODE = '23514';
    END IF;
    IF OLD.status <> NEW.status AND NOT (OLD.status = 'issued' AND NEW.status = 'voided') THEN
        RAISE EXCEPTION 'invoice %: from % to % is refused', OLD.number, OLD.status, NEW.status
            USING ERRCODE = '23514';
    END IF;
    IF OLD.status = 'voided' AND to_jsonb(OLD) <> to_jsonb(NEW) THEN
        RAISE EXCEPTION 'invoice % is voided: it cannot change', OLD.number USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END
$$;
