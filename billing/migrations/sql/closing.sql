-- A close also keeps what the period leaves to the next one, as it was last rated.
CREATE OR REPLACE FUNCTION watertight_guard_close() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a closed period: DELETE is refused' USING ERRCODE = '23514';
    END IF;
    IF OLD.reopened_at IS NOT NULL
        OR (to_jsonb(OLD) - '{clock,revision,stale,closing,invoice_id,reopened_at}'::text[])
            <> (to_jsonb(NEW) - '{clock,revision,stale,closing,invoice_id,reopened_at}'::text[])
    THEN
        RAISE EXCEPTION 'a closed period: this change is refused' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END
$$;

-- reverse:
CREATE OR REPLACE FUNCTION watertight_guard_close() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a closed period: DELETE is refused' USING ERRCODE = '23514';
    END IF;
    IF OLD.reopened_at IS NOT NULL
        OR (to_jsonb(OLD) - '{clock,revision,stale,invoice_id,reopened_at}'::text[])
            <> (to_jsonb(NEW) - '{clock,revision,stale,invoice_id,reopened_at}'::text[])
    THEN
        RAISE EXCEPTION 'a closed period: this change is refused' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END
$$;
