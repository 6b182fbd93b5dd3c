-- Who submitted what waits for approval now, as the history has it: otherwise the same person could approve it.

UPDATE contracts_contract SET submitted_by = coalesce('user:' || submitted.history_user_id, 'operator')
FROM (
    SELECT DISTINCT ON (id) id, history_user_id FROM contracts_historicalcontract
    WHERE status = 'review' ORDER BY id, history_id DESC
) submitted
WHERE contracts_contract.id = submitted.id AND contracts_contract.status = 'review';

-- reverse:

SELECT 1;
