-- Nothing that is held leaves without the approval of a second person, whoever writes the SQL.

CREATE OR REPLACE FUNCTION watertight_guard_held() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changeable CONSTANT text[] := '{status,resolved_at,current_reason,current_detail,discarded_by_id,alike}';
BEGIN
    IF TG_OP = 'DELETE' OR TG_TABLE_NAME = 'quarantine_sighting' THEN
        RAISE EXCEPTION '% rows are facts: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = '23514';
    END IF;
    IF (to_jsonb(OLD) - changeable) <> (to_jsonb(NEW) - changeable)
        OR (OLD.status <> 'open' AND (OLD.status, OLD.current_reason, OLD.current_detail, OLD.discarded_by_id)
            IS DISTINCT FROM (NEW.status, NEW.current_reason, NEW.current_detail, NEW.discarded_by_id))
    THEN
        RAISE EXCEPTION 'a held record: this change is refused' USING ERRCODE = '23514';
    END IF;
    IF NEW.status <> OLD.status THEN
        PERFORM watertight_held_may_leave(NEW);
    END IF;
    RETURN NEW;
END
$$;

-- A record is released or discarded by a proposal that was approved, or discarded by the rule such a proposal left.
CREATE FUNCTION watertight_held_may_leave(held quarantine_heldrecord) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF held.status = 'discarded' AND held.discarded_by_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM quarantine_proposal
        WHERE id = held.discarded_by_id AND decision = 'approved' AND kind = 'discard' AND keep_as_rule
    ) THEN
        RETURN;
    END IF;
    IF held.status IN ('released', 'discarded') AND NOT EXISTS (
        SELECT 1 FROM quarantine_proposedrecord settled JOIN quarantine_proposal proposal
            ON proposal.id = settled.proposal_id
        WHERE settled.record_id = held.id AND settled.outcome = held.status AND proposal.decision = 'approved'
    ) THEN
        RAISE EXCEPTION 'a held record is % only with the approval of a second person: refused', held.status
            USING ERRCODE = '23514';
    END IF;
END
$$;

CREATE FUNCTION watertight_begin_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.current_reason = '' THEN
        NEW.current_reason := NEW.reason;
        NEW.current_detail := NEW.detail;
    END IF;
    PERFORM watertight_held_may_leave(NEW);
    RETURN NEW;
END
$$;

CREATE FUNCTION watertight_guard_proposal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    decision CONSTANT text[] := '{decision,decided_by,decided_by_name,decided_at,note}';
    progress CONSTANT text[] := '{rule,done_at}';
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.decision <> '' OR NEW.rule <> '' OR NEW.done_at IS NOT NULL THEN
            RAISE EXCEPTION 'a proposal begins undecided: this is refused' USING ERRCODE = '23514';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE'
        OR (to_jsonb(OLD) - decision - progress) <> (to_jsonb(NEW) - decision - progress)
        OR (OLD.decision <> '' AND (to_jsonb(OLD) - progress) <> (to_jsonb(NEW) - progress))
        OR (OLD.rule <> '' AND NEW.rule <> OLD.rule)
        OR (OLD.done_at IS NOT NULL AND NEW.done_at IS DISTINCT FROM OLD.done_at)
    THEN
        RAISE EXCEPTION 'a proposal and its decision are facts: % is refused', TG_OP USING ERRCODE = '23514';
    END IF;
    IF NEW.done_at IS NOT NULL AND OLD.done_at IS NULL AND (NEW.decision = '' OR EXISTS (
        SELECT 1 FROM quarantine_proposedrecord WHERE proposal_id = NEW.id AND outcome = ''
    )) THEN
        RAISE EXCEPTION 'records of this proposal still wait: done is refused' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END
$$;

-- Records are put under a proposal before it is decided; the lock keeps the decision out until they are all there.
CREATE FUNCTION watertight_guard_proposed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    outcome CONSTANT text[] := '{outcome,reason,detail,key,receipt,settled_at}';
    decided quarantine_proposal;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% rows are facts: DELETE is refused', TG_TABLE_NAME USING ERRCODE = '23514';
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT * INTO decided FROM quarantine_proposal WHERE id = NEW.proposal_id FOR SHARE;
        IF decided.decision <> '' OR NEW.outcome <> '' THEN
            RAISE EXCEPTION 'a record comes under a proposal before it is decided: this is refused'
                USING ERRCODE = '23514';
        END IF;
        RETURN NEW;
    END IF;
    SELECT * INTO decided FROM quarantine_proposal WHERE id = NEW.proposal_id;
    IF OLD.outcome <> '' OR (to_jsonb(OLD) - outcome) <> (to_jsonb(NEW) - outcome) OR NOT (CASE NEW.outcome
        WHEN 'released' THEN decided.decision = 'approved' AND decided.kind <> 'discard'
        WHEN 'failed' THEN decided.decision = 'approved' AND decided.kind <> 'discard'
        WHEN 'discarded' THEN decided.decision = 'approved' AND decided.kind = 'discard'
        WHEN 'superseded' THEN decided.decision = 'approved'
        WHEN 'dropped' THEN decided.decision IN ('rejected', 'withdrawn')
        ELSE false
    END) THEN
        RAISE EXCEPTION 'what becomes of a proposed record is decided by two persons, once: this is refused'
            USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END
$$;

-- Records held before there was a review.
ALTER TABLE quarantine_heldrecord DISABLE TRIGGER held_record_keeps_content;
UPDATE quarantine_heldrecord SET current_reason = reason, current_detail = detail,
    -- Their senders were bound to some other source; which, was not kept.
    bound_source = CASE WHEN detail LIKE 'this key may not report%' THEN '?' ELSE '' END
    WHERE current_reason = '';
ALTER TABLE quarantine_heldrecord ENABLE ALWAYS TRIGGER held_record_keeps_content;

CREATE TRIGGER held_record_begins BEFORE INSERT ON quarantine_heldrecord
    FOR EACH ROW EXECUTE FUNCTION watertight_begin_held();
CREATE TRIGGER proposal_is_fact BEFORE INSERT OR UPDATE OR DELETE ON quarantine_proposal
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_proposal();
CREATE TRIGGER proposed_record_is_fact BEFORE INSERT OR UPDATE OR DELETE ON quarantine_proposedrecord
    FOR EACH ROW EXECUTE FUNCTION watertight_guard_proposed();
ALTER TABLE quarantine_heldrecord ENABLE ALWAYS TRIGGER held_record_begins;
ALTER TABLE quarantine_proposal ENABLE ALWAYS TRIGGER proposal_is_fact;
ALTER TABLE quarantine_proposedrecord ENABLE ALWAYS TRIGGER proposed_record_is_fact;

-- reverse:

DROP TRIGGER proposed_record_is_fact ON quarantine_proposedrecord;
DROP TRIGGER proposal_is_fact ON quarantine_proposal;
DROP TRIGGER held_record_begins ON quarantine_heldrecord;
DROP FUNCTION watertight_guard_proposed();
DROP FUNCTION watertight_guard_proposal();
DROP FUNCTION watertight_begin_held();

CREATE OR REPLACE FUNCTION watertight_guard_held() RETURNS trigger LANGUAGE plpgsql AS $$
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
DROP FUNCTION watertight_held_may_leave(quarantine_heldrecord);
