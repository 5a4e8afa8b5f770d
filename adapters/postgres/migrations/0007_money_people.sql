-- The approver is told who acts for money: the money worker hands the telling over as any door does
-- depends: 0006_promises

-- migrate: apply

GRANT INSERT ON inbox TO holdfast_money;
GRANT USAGE ON SEQUENCE inbox_inbox_id_seq TO holdfast_money;

-- migrate: rollback
