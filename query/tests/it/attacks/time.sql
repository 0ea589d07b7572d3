-- Statements that would run for hours; each deadline is a few seconds.

-- attack: a long series
-- must: deadline_exceeded
SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 3

-- attack: a series with the smallest step
-- must: deadline_exceeded|invalid
SELECT count(*) FROM generate_series(TIMESTAMP '0001-01-01', TIMESTAMP '2262-01-01', INTERVAL '1 microsecond') WHERE value IS NULL

-- attack: a series without a step
-- must: invalid
SELECT count(*) FROM generate_series(1, 10, 0)

-- attack: a loop join that finds nothing
-- must: deadline_exceeded|too_large
SELECT count(*) FROM generate_series(1, 300000) a JOIN generate_series(1, 300000) b ON a.value + b.value < 0

-- attack: a loop join that finds everything
-- must: deadline_exceeded|too_large
SELECT count(*) FROM generate_series(1, 300000) a JOIN generate_series(1, 300000) b ON a.value + b.value > 0

-- attack: a loop join to the left
-- must: deadline_exceeded|too_large
SELECT count(*) FROM generate_series(1, 300000) a LEFT JOIN generate_series(1, 300000) b ON a.value + b.value < 0

-- attack: a full loop join
-- must: deadline_exceeded|too_large|invalid
SELECT count(*) FROM generate_series(1, 300000) a FULL JOIN generate_series(1, 300000) b ON a.value + b.value < 0

-- attack: an anti loop join
-- must: deadline_exceeded|too_large
SELECT count(*) FROM generate_series(1, 300000) a WHERE NOT EXISTS (SELECT 1 FROM generate_series(1, 300000) b WHERE a.value + b.value < 0)

-- attack: a cross join
-- must: deadline_exceeded|too_large
SELECT count(a.value + b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b

-- attack: a cross join of tables
-- must: deadline_exceeded|too_large
SELECT count(*) FROM spans a, spans b, spans c WHERE a.duration_ns + b.duration_ns + c.duration_ns = 1

-- attack: a cross join that is sorted
-- must: deadline_exceeded|too_large
SELECT a.span_id FROM spans a, spans b ORDER BY a.name || b.span_id DESC LIMIT 5

-- attack: one key for all
-- must: deadline_exceeded|too_large
SELECT count(*) FROM (SELECT value, 1 AS k FROM generate_series(1, 300000)) a JOIN (SELECT value, 1 AS k FROM generate_series(1, 300000)) b ON a.k = b.k AND a.value + b.value < 0

-- attack: one key for all, half a join
-- must: deadline_exceeded|too_large|answers
SELECT count(*) FROM (SELECT value, value % 1 AS k FROM generate_series(1, 300000)) a WHERE EXISTS (SELECT 1 FROM (SELECT value, value % 1 AS k FROM generate_series(1, 300000)) b WHERE a.k = b.k AND a.value + b.value < 0)

-- attack: many joins with one key
-- must: deadline_exceeded|too_large
SELECT count(*) FROM <<8| JOIN |spans a#>> ON a1.service_name = a2.service_name AND a2.name = a3.name AND a3.name = a4.name AND a4.name = a5.name AND a5.name = a6.name AND a6.name = a7.name AND a7.name = a8.name

-- attack: a large regular expression
-- must: invalid|deadline_exceeded
SELECT count(*) FROM spans WHERE name ~ '(a{500}){500}'

-- attack: a large class, repeated
-- must: invalid|deadline_exceeded
SELECT count(*) FROM logs WHERE regexp_like(body, '(\w\W){1000}')

-- attack: an expression that remembers much
-- must: invalid|too_large|deadline_exceeded
SELECT repeat('ab', 500000) ~ '(a|b)*a(a|b){1000}'

-- attack: an expression over a long text
-- must: invalid|too_large|answers|deadline_exceeded
SELECT count(*) FROM logs WHERE repeat(body, 1000) ~ '(x+x+)+y(a|b|c){50}'

-- attack: an expression per row
-- must: invalid|deadline_exceeded|answers|too_large
SELECT count(*) FROM generate_series(1, 100000) WHERE 'aaaa' ~ ('(a{' || CAST(value % 900 AS VARCHAR) || '}){30}')

-- attack: an expression of one's own, per row
-- must: invalid|deadline_exceeded|answers|too_large
SELECT count(*) FROM spans WHERE regexp_like(name, span_id || '(\w{20}){9}')

-- attack: SIMILAR TO
-- must: invalid|deadline_exceeded
SELECT count(*) FROM spans WHERE name SIMILAR TO '(a{500}){500}'

-- attack: wildcards
-- must: invalid
SELECT count(*) FROM spans WHERE name LIKE '<<5000||%a>>'

-- attack: wildcards that are made
-- must: invalid|deadline_exceeded
SELECT count(*) FROM spans WHERE name LIKE repeat('%a', 30000)

-- attack: wildcards by row
-- must: invalid|too_large|deadline_exceeded
SELECT count(*) FROM spans WHERE name ILIKE repeat('%' || span_id, 3000)

-- attack: distances
-- must: invalid|deadline_exceeded
SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))

-- attack: distances by row
-- must: invalid|deadline_exceeded|too_large
SELECT sum(levenshtein(repeat(span_id, 500), repeat(trace_id, 500))) FROM spans

-- attack: lists against lists
-- must: invalid|too_large|deadline_exceeded
SELECT array_has_any(a, b) FROM (SELECT array_agg(value) AS a, array_agg(-value) AS b FROM generate_series(1, 200000))

-- attack: hashing
-- must: deadline_exceeded|answers
SELECT count(*) FROM generate_series(1, 50000000) WHERE sha512(CAST(value AS VARCHAR)) = ''

-- attack: numbers
-- must: deadline_exceeded|answers|invalid
SELECT sum(power(value, 0.5) * ln(value) * sin(value) * exp(1.0 / value)) FROM generate_series(1, 100000000)

-- attack: a plan that runs, explained
-- must: deadline_exceeded|too_large
EXPLAIN ANALYZE SELECT count(*) FROM spans a, spans b WHERE a.duration_ns + b.duration_ns < 0 AND a.name || b.name = 'x'

-- attack: nested loops within a list
-- must: deadline_exceeded|too_large|invalid|answers
SELECT count(*) FROM spans a WHERE duration_ns < (SELECT avg(b.duration_ns + a.duration_ns) FROM spans b WHERE b.time <> a.time)
