-- What the database refuses, whoever asks. SQLSTATE 23514, so that Django sees an IntegrityError. The triggers are
-- ENABLE ALWAYS: no session setting turns them off.

CREATE FUNCTION watertight_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are facts: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = '23514';
END
$$;

CREATE TRIGGER event_is_fact BEFORE UPDATE OR DELETE ON billing_event
    FOR EACH ROW EXECUTE FUNCTION watertight_refuse();
CREATE TRIGGER register_is_fact BEFORE UPDATE OR DELETE ON billing_register
    FOR EACH ROW EXECUTE FUNCTION watertight_refuse();
CREATE TRIGGER receipt_is_fact BEFORE UPDATE OR DELETE ON billing_receipt
    FOR EACH ROW EXECUTE FUNCTION watertight_refuse();
CREATE TRIGGER receipt_count_is_fact BEFORE UPDATE OR DELETE ON billing_receiptcount
    FOR EACH ROW EXECUTE FUNCTION watertight_refuse();
CREATE TRIGGER correction_is_fact BEFORE UPDATE OR DELETE ON billing_correction
    FOR EACH ROW EXECUTE FUNCTION watertight_refuse();

ALTER TABLE billing_event ENABLE ALWAYS TRIGGER event_is_fact;
ALTER TABLE billing_register ENABLE ALWAYS TRIGGER register_is_fact;
ALTER TABLE billing_receipt ENABLE ALWAYS TRIGGER receipt_is_fact;
ALTER TABLE billing_receiptcount ENABLE ALWAYS TRIGGER receipt_count_is_fact;
ALTER TABLE billing_correction ENABLE ALWAYS TRIGGER correction_is_fact;

-- An issued document keeps its content: only its state, and what a void writes, may change.
CREATE FUNCTION watertight_guard_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER invoice_keeps_content BEFORE UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_invoice();
ALTER TABLE billing_invoice ENABLE ALWAYS TRIGGER invoice_keeps_content;

-- Lines are never changed; they come and go with a draft only.
CREATE FUNCTION watertight_guard_invoice_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM changed JOIN billing_invoice ON billing_invoice.id = changed.invoice_id
        WHERE billing_invoice.status <> 'draft'
    ) THEN
        RAISE EXCEPTION 'a line of an issued invoice: % is refused', TG_OP USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER invoice_line_is_fact BEFORE UPDATE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION watertight_refuse();
CREATE TRIGGER invoice_line_comes_with_draft AFTER INSERT ON billing_invoiceline
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION watertight_guard_invoice_line();
CREATE TRIGGER invoice_line_goes_with_draft AFTER DELETE ON billing_invoiceline
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION watertight_guard_invoice_line();
ALTER TABLE billing_invoiceline ENABLE ALWAYS TRIGGER invoice_line_is_fact;
ALTER TABLE billing_invoiceline ENABLE ALWAYS TRIGGER invoice_line_comes_with_draft;
ALTER TABLE billing_invoiceline ENABLE ALWAYS TRIGGER invoice_line_goes_with_draft;

-- Numbers without a gap: each names the one before it, which must exist.
ALTER TABLE billing_invoice ADD CONSTRAINT invoice_number_follows
    FOREIGN KEY (series_id, prev_seq) REFERENCES billing_invoice (series_id, seq);

-- A closed period stays closed, unless a void opens it again (then the row is done).
CREATE FUNCTION watertight_guard_close() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER period_close_is_fact BEFORE UPDATE OR DELETE ON billing_periodclose
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_close();
ALTER TABLE billing_periodclose ENABLE ALWAYS TRIGGER period_close_is_fact;

-- What a meter counts is frozen once it has counted something.
CREATE FUNCTION watertight_guard_meter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND ROW(OLD.key, OLD.event_type, OLD.aggregation, OLD.value, OLD.group_by, OLD.filters)
        IS NOT DISTINCT FROM ROW(NEW.key, NEW.event_type, NEW.aggregation, NEW.value, NEW.group_by, NEW.filters)
    THEN
        RETURN NEW;
    END IF;
    -- Wait for the batches that were labelled by the old definition (watertight_directory_version).
    PERFORM pg_advisory_xact_lock(hashtext('billing_meters'), 0);
    IF EXISTS (SELECT 1 FROM billing_bucket WHERE meter_id = OLD.id LIMIT 1) THEN
        RAISE EXCEPTION 'meter % has events: what it counts cannot change', OLD.key USING ERRCODE = '23514';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER meter_is_frozen BEFORE UPDATE OR DELETE ON catalog_meter
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_meter();
ALTER TABLE catalog_meter ENABLE ALWAYS TRIGGER meter_is_frozen;

-- reverse:

DROP TRIGGER meter_is_frozen ON catalog_meter;
DROP FUNCTION watertight_guard_meter();
DROP TRIGGER period_close_is_fact ON billing_periodclose;
DROP FUNCTION watertight_guard_close();
ALTER TABLE billing_invoice DROP CONSTRAINT invoice_number_follows;
DROP TRIGGER invoice_line_goes_with_draft ON billing_invoiceline;
DROP TRIGGER invoice_line_comes_with_draft ON billing_invoiceline;
DROP TRIGGER invoice_line_is_fact ON billing_invoiceline;
DROP FUNCTION watertight_guard_invoice_line();
DROP TRIGGER invoice_keeps_content ON billing_invoice;
DROP FUNCTION watertight_guard_invoice();
DROP TRIGGER correction_is_fact ON billing_correction;
DROP TRIGGER receipt_count_is_fact ON billing_receiptcount;
DROP TRIGGER receipt_is_fact ON billing_receipt;
DROP TRIGGER register_is_fact ON billing_register;
DROP TRIGGER event_is_fact ON billing_event;
DROP FUNCTION watertight_refuse();
