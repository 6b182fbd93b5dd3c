-- Credit is never spent twice: what stands spent of a prepaid grant is at most what its contract grants, of a credit
-- note at most its total. Who spends of the same waits here, so that the sums see what the others have committed.
CREATE FUNCTION watertight_guard_credit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    spent record;
BEGIN
    PERFORM 1 FROM contracts_contract WHERE id IN (
        SELECT contract_id FROM changed WHERE returned_at IS NULL
    ) ORDER BY id FOR NO KEY UPDATE;
    PERFORM 1 FROM billing_invoice WHERE id IN (
        SELECT credit_note_id FROM changed WHERE returned_at IS NULL
    ) ORDER BY id FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT 1 FROM changed JOIN billing_invoice invoice ON invoice.id = changed.invoice_id
        WHERE changed.contract_id <> invoice.contract_id
    ) THEN
        RAISE EXCEPTION 'a grant pays invoices of its own contract only' USING ERRCODE = '23514';
    END IF;
    SELECT touched.grant_key AS name, uses.amount, granted.amount AS has INTO spent
    FROM (SELECT DISTINCT contract_id, grant_key FROM changed WHERE returned_at IS NULL AND grant_key <> '') touched
    CROSS JOIN LATERAL (
        SELECT sum(amount) AS amount FROM billing_credituse standing
        WHERE standing.contract_id = touched.contract_id AND standing.grant_key = touched.grant_key
          AND standing.returned_at IS NULL
    ) uses
    LEFT JOIN contracts_creditgrant granted ON granted.contract_id = touched.contract_id
        AND granted.key = touched.grant_key AND granted.kind = 'prepaid' AND granted.superseded_at IS NULL
    WHERE uses.amount > coalesce(granted.amount, 0)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'grant % has %, and % of it would be spent', spent.name, coalesce(spent.has, 0), spent.amount
            USING ERRCODE = '23514';
    END IF;
    SELECT note.number AS name, uses.amount, -note.total AS has INTO spent
    FROM (SELECT DISTINCT credit_note_id FROM changed WHERE returned_at IS NULL) touched
    JOIN billing_invoice note ON note.id = touched.credit_note_id
    CROSS JOIN LATERAL (
        SELECT sum(amount) AS amount FROM billing_credituse standing
        WHERE standing.credit_note_id = note.id AND standing.returned_at IS NULL
    ) uses
    WHERE uses.amount > -note.total
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'credit note % has %, and % of it would be spent', spent.name, spent.has, spent.amount
            USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER credit_is_spent_once AFTER INSERT ON billing_credituse
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION watertight_guard_credit();
CREATE TRIGGER credit_stays_spent_once AFTER UPDATE ON billing_credituse
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION watertight_guard_credit();
ALTER TABLE billing_credituse ENABLE ALWAYS TRIGGER credit_is_spent_once;
ALTER TABLE billing_credituse ENABLE ALWAYS TRIGGER credit_stays_spent_once;

-- An amendment leaves a grant at least what is spent of it. Looked at when the transaction ends: terms are superseded
-- first and replaced then, and whoever amends can say it better before.
CREATE FUNCTION watertight_guard_grant() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched contracts_creditgrant%ROWTYPE;
    spent   numeric;
    has     numeric;
BEGIN
    touched := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    PERFORM 1 FROM contracts_contract WHERE id = touched.contract_id FOR NO KEY UPDATE;
    SELECT sum(amount) INTO spent FROM billing_credituse
    WHERE contract_id = touched.contract_id AND grant_key = touched.key AND returned_at IS NULL;
    IF spent IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT CASE kind WHEN 'prepaid' THEN amount ELSE 0 END INTO has FROM contracts_creditgrant
    WHERE contract_id = touched.contract_id AND key = touched.key AND superseded_at IS NULL;
    IF spent > has OR (TG_OP = 'DELETE' AND has IS NULL) THEN
        RAISE EXCEPTION '% of grant % is spent: it cannot be less', spent, touched.key USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER grant_covers_its_uses AFTER INSERT OR UPDATE OR DELETE ON contracts_creditgrant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watertight_guard_grant();
ALTER TABLE contracts_creditgrant ENABLE ALWAYS TRIGGER grant_covers_its_uses;

-- reverse:

DROP TRIGGER grant_covers_its_uses ON contracts_creditgrant;
DROP FUNCTION watertight_guard_grant();
DROP TRIGGER credit_stays_spent_once ON billing_credituse;
DROP TRIGGER credit_is_spent_once ON billing_credituse;
DROP FUNCTION watertight_guard_credit();
