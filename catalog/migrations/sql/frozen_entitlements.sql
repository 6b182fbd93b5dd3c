-- A published plan version's entitlements keep their content. SQLSTATE 23514; no session setting turns this off.

CREATE FUNCTION watertight_guard_entitlement() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched bigint[];
BEGIN
    IF TG_OP <> 'INSERT' THEN
        touched := touched || OLD.version_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        touched := touched || NEW.version_id;
    END IF;
    IF EXISTS (SELECT 1 FROM catalog_planversion
               WHERE id = ANY (touched) AND status IN ('published', 'retired')) THEN
        RAISE EXCEPTION 'an entitlement of a published plan version: % is refused', TG_OP USING ERRCODE = '23514';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;

CREATE TRIGGER entitlement_keeps_content BEFORE INSERT OR UPDATE OR DELETE ON catalog_entitlement
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_entitlement();
ALTER TABLE catalog_entitlement ENABLE ALWAYS TRIGGER entitlement_keeps_content;

-- reverse:

DROP TRIGGER entitlement_keeps_content ON catalog_entitlement;
DROP FUNCTION watertight_guard_entitlement();
