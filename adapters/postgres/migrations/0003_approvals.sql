-- Approvals: which leads were put to an approver, and signed acts about the deployment itself
-- depends: 0001_foundations

-- migrate: apply

-- What people signed about limits, rates and stand-ins: append-only, each proves itself, whoever wrote it.
CREATE TABLE orders (jti text PRIMARY KEY, kind text NOT NULL, issuer text NOT NULL, sub text NOT NULL, person_id text NOT NULL DEFAULT '', body text NOT NULL,
    payload text NOT NULL CHECK (payload::jsonb IS NOT NULL), signature text NOT NULL, subject text NOT NULL,  -- what it changed, as it stood then: the JSON whose SHA-256 was signed
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE, accepted_at timestamptz NOT NULL DEFAULT holdfast_now());
CREATE INDEX ON orders (kind, seq);
CREATE TRIGGER stamped BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION stamp_act();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION append_only();
GRANT SELECT ON orders TO holdfast_sops, holdfast_money, holdfast_door;
GRANT INSERT ON orders TO holdfast_door;
-- A row without an order that proves it counts for nothing at the money gate.
GRANT INSERT ON policy, rates TO holdfast_door;
CREATE FUNCTION stamp_policy() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.since := public.holdfast_now(); RETURN NEW; END $$;  -- never backdated
CREATE TRIGGER stamped BEFORE INSERT ON policy FOR EACH ROW EXECUTE FUNCTION stamp_policy();

-- A lead that was once put to an approver is never granted without him: written by the tables themselves, for ever.
CREATE TABLE put_to_approver (lead_id text NOT NULL, case_id text NOT NULL, step_id text NOT NULL, since timestamptz NOT NULL DEFAULT holdfast_now(),
    PRIMARY KEY (lead_id, case_id, step_id));
CREATE FUNCTION put_by_step() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO put_to_approver (lead_id, case_id, step_id)
        SELECT DISTINCT lead_id, case_id, NEW.step_id FROM case_leads WHERE case_id = NEW.case_id AND problem = '' AND billing IS NOT NULL
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER put_to_approver AFTER INSERT OR UPDATE ON case_steps FOR EACH ROW WHEN ('return.approve' = ANY (NEW.kinds)) EXECUTE FUNCTION put_by_step();
CREATE FUNCTION put_by_act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO put_to_approver (lead_id, case_id, step_id)
        SELECT DISTINCT line ->> 'lead_id', NEW.case_id, NEW.step_id FROM jsonb_array_elements(NEW.subject::jsonb -> 'lines') line
        WHERE line ->> 'lead_id' IS NOT NULL ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER put_to_approver AFTER INSERT ON acts FOR EACH ROW WHEN (NEW.kind IN ('return.approve', 'return.reject', 'return.ask_back'))
    EXECUTE FUNCTION put_by_act();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON put_to_approver FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON put_to_approver FOR EACH STATEMENT EXECUTE FUNCTION append_only();
GRANT SELECT ON put_to_approver TO holdfast_sops, holdfast_money, holdfast_door;

-- A lead that was granted without a signature, and is granted more under one, is granted under it as a whole.
GRANT UPDATE (approved_jti) ON grants TO holdfast_money;

-- migrate: rollback
