-- Who submitted what is in review now, as the history has it: otherwise the same person could approve it.

UPDATE catalog_planversion SET submitted_by = coalesce('user:' || submitted.history_user_id, 'operator')
FROM (
    SELECT DISTINCT ON (id) id, history_user_id FROM catalog_historicalplanversion
    WHERE status = 'review' ORDER BY id, history_date, history_id
) submitted
WHERE catalog_planversion.id = submitted.id AND catalog_planversion.status = 'review';

-- reverse:

SELECT 1;
