-- Statements that are a burden before anything runs: length, depth, width.

-- attack: too long
-- must: invalid
SELECT '<<70000||x>>'

-- attack: parentheses
-- must: invalid
SELECT <<30000||(>>1<<30000||)>>

-- attack: negations
-- must: invalid
SELECT <<10000||NOT >>true

-- attack: signs
-- must: invalid
SELECT <<20000||- >>1

-- attack: casts
-- must: invalid
SELECT 1<<9000||::int>>

-- attack: a long sum
-- must: invalid
SELECT <<10000|+|1>>

-- attack: a long disjunction
-- must: invalid
SELECT * FROM spans WHERE <<4000| OR |name='#'>>

-- attack: deep CASE
-- must: invalid
SELECT <<2000||CASE WHEN true THEN >>1<<2000|| END>>

-- attack: deep CASE below the limit
-- must: answers|invalid|deadline_exceeded
SELECT <<90||CASE WHEN 1=1 THEN >>1<<90|| END>>

-- attack: deep functions
-- must: answers|invalid|deadline_exceeded
SELECT <<150||abs(>>1<<150||)>>

-- attack: deep subqueries
-- must: answers|invalid|deadline_exceeded
<<60||SELECT * FROM (>>SELECT 1<<60||) t>>

-- attack: correlated subqueries
-- must: answers|invalid|deadline_exceeded
SELECT count(*) FROM spans a WHERE <<12| AND |EXISTS (SELECT 1 FROM spans b# WHERE b#.span_id = a.span_id)>>

-- attack: deep arrays
-- must: invalid
SELECT <<20000||[>>

-- attack: many columns
-- must: invalid
SELECT <<20000|,|1>>

-- attack: many stars
-- must: invalid
SELECT <<10000|,|*>> FROM spans

-- attack: a wide union
-- must: invalid
<<3000| UNION ALL |SELECT 1>>

-- attack: a union below the limit
-- must: answers|too_large|deadline_exceeded
SELECT count(*) FROM (<<90| UNION ALL |SELECT * FROM spans>>)

-- attack: a long list
-- must: answers|invalid|deadline_exceeded
SELECT count(*) FROM spans WHERE duration_ns IN (<<9000|,|#>>)

-- attack: a list of a hundred thousand
-- must: invalid
SELECT count(*) FROM spans WHERE duration_ns IN (<<100000|,|1>>)

-- attack: a table of values
-- must: answers|invalid|deadline_exceeded
SELECT count(*) FROM (VALUES <<9000|,|(#)>>) AS v

-- attack: many tables
-- must: invalid
SELECT 1 FROM <<5000|,|spans a#>>

-- attack: as many tables as may be
-- must: answers|invalid|too_large|deadline_exceeded
SELECT count(*) FROM <<60|,|spans a#>>

-- attack: nested WITH, each named twice
-- must: answers|invalid|too_large|deadline_exceeded
WITH a AS (SELECT 1 AS x), <<24|,|b# AS (SELECT l.x FROM a l, a r)>> SELECT * FROM b1

-- attack: WITH that doubles
-- must: answers|invalid|too_large|deadline_exceeded
WITH a0 AS (SELECT value FROM generate_series(1, 10)), a1 AS (SELECT l.value FROM a0 l, a0 r), a2 AS (SELECT l.value FROM a1 l, a1 r), a3 AS (SELECT l.value FROM a2 l, a2 r), a4 AS (SELECT l.value FROM a3 l, a3 r) SELECT count(*) FROM a4 WHERE value < 0

-- attack: recursion
-- must: denied
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r

-- attack: a cube of many sides
-- must: invalid
SELECT count(*) FROM spans GROUP BY CUBE (<<24|,|duration_ns + #>>)

-- attack: cubes of cubes
-- must: invalid
SELECT count(*) FROM spans GROUP BY CUBE (name, kind, service_name, is_error), CUBE (duration_ns, date, time, trace_id)

-- attack: a cube
-- must: answers|too_large|deadline_exceeded
SELECT count(*) FROM spans GROUP BY CUBE (name, kind, service_name, is_error, date)

-- attack: an endless literal
-- must: invalid
SELECT '

-- attack: a dollar quote without end
-- must: invalid
SELECT $$ x

-- attack: nothing
-- must: invalid
;;  -- nothing

-- attack: a million parameters
-- must: invalid
SELECT $1000000

-- attack: EXPLAIN of EXPLAIN
-- must: denied|invalid
<<50||EXPLAIN >>SELECT 1

-- attack: nested types
-- must: answers|invalid|deadline_exceeded
SELECT CAST(NULL AS INT<<150||[]>>)

-- attack: a fixed list
-- must: invalid
SELECT CAST(NULL AS INT[2000000000]) FROM spans

-- attack: a fixed list by name
-- must: invalid
SELECT arrow_cast(NULL, 'FixedSizeBinary(2000000000)') FROM spans
