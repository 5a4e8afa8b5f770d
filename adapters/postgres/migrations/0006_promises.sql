-- What was promised not to be charged and is credited because it was invoiced all the same
-- depends: 0005_prices

-- migrate: apply

-- One credit a lead for ever: of a promise too, and only of one that stands. The grant stays what it is, a promise.
CREATE TABLE promise_credits (lead_id text PRIMARY KEY REFERENCES grants, promised_in text NOT NULL, case_id text NOT NULL, effect_key text NOT NULL,
    invoice_id text NOT NULL, invoice_number text NOT NULL, gross numeric(12,2) NOT NULL, currency text NOT NULL, since timestamptz NOT NULL DEFAULT holdfast_now());
CREATE FUNCTION only_of_a_promise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM grants g WHERE g.lead_id = NEW.lead_id AND g.case_id = NEW.promised_in AND g.treatment = 'no-charge'
                   AND g.currency = NEW.currency AND g.gross >= NEW.gross) THEN
        RAISE EXCEPTION 'no promise covers this credit' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER only_of_a_promise BEFORE INSERT OR UPDATE ON promise_credits FOR EACH ROW EXECUTE FUNCTION only_of_a_promise();
CREATE TRIGGER never_taken_back BEFORE DELETE ON promise_credits FOR EACH ROW EXECUTE FUNCTION append_only();
GRANT SELECT ON promise_credits TO holdfast_sops, holdfast_money, holdfast_door;
GRANT INSERT, UPDATE (gross) ON promise_credits TO holdfast_money;

-- migrate: rollback
