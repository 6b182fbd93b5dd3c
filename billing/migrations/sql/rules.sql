-- Rules of sources: a change of one counts from the next batch on; none is ever deleted; what two persons have decided
-- to discard, nobody changes. And what came where rules changed it, by month like the events.

CREATE TABLE billing_originalevent (
    customer_id bigint      NOT NULL,
    occurred_at timestamptz NOT NULL,
    key         uuid        NOT NULL,
    position    integer     NOT NULL CHECK (position >= 0),
    type        text        NOT NULL,
    subject     text        NOT NULL,
    data        text        NOT NULL,
    rules       bigint[]    NOT NULL,
    PRIMARY KEY (customer_id, occurred_at, key, position)
) PARTITION BY RANGE (occurred_at);

-- Makes the partitions that hold the month of an instant (UTC), where one is missing. Runs with the owner's rights, so
-- that the application needs none on the schema: create, then attach, one at a time.
CREATE OR REPLACE FUNCTION watertight_event_partition(month timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first  timestamp := date_trunc('month', month AT TIME ZONE 'UTC');
    whole  text;
    name   text;
    is_new boolean := false;
BEGIN
    FOREACH whole IN ARRAY ARRAY['billing_event', 'billing_originalevent'] LOOP
        name := whole || '_' || to_char(first, 'YYYY_MM');
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtext('billing_event'), 0);
        -- A query, with a snapshot of its own: to_regclass may remember that there was no such table.
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class WHERE relname = name AND relnamespace = 'public'::regnamespace
        );
        EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', name, whole);
        EXECUTE format(
            'ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            whole, name, first AT TIME ZONE 'UTC', (first + interval '1 month') AT TIME ZONE 'UTC'
        );
        is_new := true;
    END LOOP;
    RETURN is_new;
END
$$;

-- The months there are already.
SELECT watertight_event_partition(to_date(right(relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC')
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'billing_event'::regclass;

CREATE TRIGGER original_event_is_fact BEFORE UPDATE OR DELETE ON billing_originalevent
    FOR EACH ROW EXECUTE FUNCTION watertight_refuse();
ALTER TABLE billing_originalevent ENABLE ALWAYS TRIGGER original_event_is_fact;

CREATE FUNCTION watertight_guard_rule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'rule % is kept: DELETE is refused; switch it off', OLD.id USING ERRCODE = '23514';
    END IF;
    IF 'discard' IN (OLD.kind, NEW.kind)
        AND to_jsonb(OLD) - '{position,is_active,note}'::text[] <> to_jsonb(NEW) - '{position,is_active,note}'::text[]
    THEN
        RAISE EXCEPTION 'rule % discards what two persons have agreed on: it cannot change; switch it off', OLD.id
            USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER rule_is_kept BEFORE UPDATE OR DELETE ON billing_sourcerule
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_rule();
ALTER TABLE billing_sourcerule ENABLE ALWAYS TRIGGER rule_is_kept;

CREATE CONSTRAINT TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON billing_sourcerule
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watertight_directory_changed();
CREATE TRIGGER directory_emptied AFTER TRUNCATE ON billing_sourcerule
    FOR EACH STATEMENT EXECUTE FUNCTION watertight_directory_changed();

-- reverse:

DROP TRIGGER directory_emptied ON billing_sourcerule;
DROP TRIGGER directory_changed ON billing_sourcerule;
DROP TRIGGER rule_is_kept ON billing_sourcerule;
DROP FUNCTION watertight_guard_rule();
DROP TRIGGER original_event_is_fact ON billing_originalevent;
CREATE OR REPLACE FUNCTION watertight_event_partition(month timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first timestamp := date_trunc('month', month AT TIME ZONE 'UTC');
    name  text := 'billing_event_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass('public.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('billing_event'), 0);
    IF EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = 'public'::regnamespace) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.billing_event INCLUDING ALL)', name);
    EXECUTE format(
        'ALTER TABLE public.billing_event ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        name, first AT TIME ZONE 'UTC', (first + interval '1 month') AT TIME ZONE 'UTC'
    );
    RETURN true;
END
$$;
DROP TABLE billing_originalevent;
