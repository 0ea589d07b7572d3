-- Statements that want more memory than there is.

-- attack: repeat
-- must: invalid
SELECT repeat('x', 1000000000)

-- attack: repeat by rows
-- must: invalid|too_large|deadline_exceeded
SELECT sum(length(repeat(name, 100000))) FROM spans

-- attack: pads
-- must: invalid
SELECT lpad('x', 2000000000, 'ab')

-- attack: nested replace
-- must: invalid|deadline_exceeded
SELECT length(replace(replace(repeat('a', 100000), 'a', repeat('b', 1000)), 'b', repeat('c', 1000)))

-- attack: replace by rows
-- must: invalid|too_large|deadline_exceeded
SELECT sum(length(replace(repeat('a', 10000), 'a', span_id || repeat('b', 1000)))) FROM spans

-- attack: doubling
-- must: invalid|too_large|deadline_exceeded
WITH a AS (SELECT repeat(name, 1000) AS t FROM spans), b AS (SELECT t||t||t||t||t||t||t||t AS t FROM a), c AS (SELECT t||t||t||t||t||t||t||t AS t FROM b), d AS (SELECT t||t||t||t||t||t||t||t AS t FROM c), e AS (SELECT t||t||t||t||t||t||t||t AS t FROM d) SELECT sum(length(t)) FROM e

-- attack: constants without number
-- must: invalid|deadline_exceeded
SELECT <<1500|,|repeat('#', 60000000) AS c#>>

-- attack: doubling of a constant
-- must: invalid|too_large|deadline_exceeded
SELECT length(<<100|\|\||(repeat('x', 1000000)\|\|repeat('y', 1000000))>>)

-- attack: a long chain of a constant
-- must: invalid|too_large|deadline_exceeded
SELECT length(<<150|\|\||repeat('x', 1000000)>>)

-- attack: concat
-- must: invalid|too_large|deadline_exceeded
SELECT length(concat(<<2000|,|repeat('x', 100000)>>))

-- attack: concat_ws
-- must: invalid|too_large|deadline_exceeded
SELECT length(concat_ws(repeat('x', 100000), <<2000|,|'a'>>))

-- attack: an array of texts
-- must: invalid|too_large|deadline_exceeded
SELECT cardinality(make_array(<<2000|,|repeat(span_id, 10000)>>)) FROM spans

-- attack: a literal array of texts
-- must: invalid|too_large|deadline_exceeded
SELECT cardinality(ARRAY[<<1000|,|repeat('x', 100000)>>])

-- attack: text to array and back
-- must: invalid|too_large|deadline_exceeded
SELECT length(array_to_string(string_to_array(repeat('x,', 500000), ','), repeat('y', 100000)))

-- attack: text to arrays by rows
-- must: invalid|too_large|answers|deadline_exceeded
SELECT sum(cardinality(string_to_array(repeat('x,', 5000), ','))) FROM spans

-- attack: a long format
-- must: answers|invalid|too_large|deadline_exceeded
SELECT sum(length(to_char(time, '<<2000||%Y-%m-%d >>'))) FROM spans

-- attack: regexp_replace that grows
-- must: invalid|too_large|deadline_exceeded
SELECT length(regexp_replace(repeat('a', 1000000), 'a', repeat('b', 1000), 'g'))

-- attack: regexp_replace with groups
-- must: invalid|too_large|deadline_exceeded
SELECT length(regexp_replace(repeat('a', 1000000), '(a*)', '<<500||\1>>', 'g'))

-- attack: array_agg of everything
-- must: too_large|deadline_exceeded
SELECT array_agg(value) FROM generate_series(1, 100000000)

-- attack: array_agg of texts
-- must: too_large|deadline_exceeded
SELECT array_agg(repeat(CAST(value AS VARCHAR), 100)) FROM generate_series(1, 10000000)

-- attack: array_agg by group
-- must: too_large|deadline_exceeded
SELECT value % 1000, array_agg(value) FROM generate_series(1, 50000000) GROUP BY 1

-- attack: string_agg
-- must: too_large|invalid|deadline_exceeded
SELECT length(string_agg(repeat('x', 1000), ',')) FROM generate_series(1, 1000000)

-- attack: array_agg over a window
-- must: invalid
SELECT array_agg(value) OVER (ORDER BY value) FROM generate_series(1, 100000)

-- attack: a median of everything
-- must: too_large|deadline_exceeded|answers
SELECT median(value) FROM generate_series(1, 50000000)

-- attack: a percentile of everything
-- must: too_large|deadline_exceeded|answers|invalid
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FROM generate_series(1, 50000000)

-- attack: distinct of everything
-- must: too_large|deadline_exceeded|answers
SELECT count(DISTINCT value) FROM generate_series(1, 50000000)

-- attack: groups without number
-- must: too_large|deadline_exceeded|answers
SELECT count(*) FROM (SELECT value, count(*) FROM generate_series(1, 20000000) GROUP BY value)

-- attack: DISTINCT ON everything
-- must: too_large|deadline_exceeded|answers
SELECT count(*) FROM (SELECT DISTINCT ON (value) value, repeat('x', 100) FROM generate_series(1, 5000000) ORDER BY value)

-- attack: a giant sort
-- must: answers|too_large|deadline_exceeded
SELECT max(t) FROM (SELECT repeat(CAST(value AS VARCHAR), 20) AS t FROM generate_series(1, 3000000) ORDER BY t LIMIT 2000000)

-- attack: a sort of wide rows
-- must: answers|invalid|too_large|deadline_exceeded
SELECT count(*) FROM (SELECT repeat(CAST(value AS VARCHAR), 1000) AS t FROM generate_series(1, 200000) ORDER BY t LIMIT 100000)

-- attack: a frame over everything
-- must: too_large|deadline_exceeded|answers
SELECT max(s) FROM (SELECT sum(value) OVER (ORDER BY value ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS s FROM generate_series(1, 20000000))

-- attack: far ahead
-- must: too_large|deadline_exceeded|answers|invalid
SELECT count(*) FROM (SELECT lead(value, 50000000) OVER (ORDER BY value) AS s FROM generate_series(1, 100000000)) WHERE s < 0

-- attack: many windows
-- must: too_large|deadline_exceeded|answers
SELECT count(*) FROM (SELECT <<20|,|sum(value) OVER (PARTITION BY value % (# + 1) ORDER BY value)>> FROM generate_series(1, 200000))

-- attack: a join that keeps everything
-- must: too_large|deadline_exceeded
SELECT count(*) FROM generate_series(1, 50000000) a JOIN generate_series(1, 50000000) b ON a.value = b.value

-- attack: a join of wide rows
-- must: too_large|invalid|deadline_exceeded
SELECT sum(length(a.t || b.t)) FROM (SELECT repeat('x', 1000000) AS t, 1 AS k FROM generate_series(1, 3)) a JOIN (SELECT repeat('y', 1000) AS t, 1 AS k FROM generate_series(1, 100000)) b ON a.k = b.k

-- attack: a cross join of wide rows
-- must: too_large|invalid|deadline_exceeded
SELECT count(DISTINCT a.t) FROM (SELECT repeat('x', 10000000) AS t) a, generate_series(1, 1000000) b WHERE length(a.t) > b.value

-- attack: unnest beside a wide column
-- must: too_large|invalid|deadline_exceeded
SELECT sum(length(t)) FROM (SELECT unnest(l) AS v, t FROM (SELECT array_agg(value) AS l, max(repeat('x', 100000)) AS t FROM generate_series(1, 100000)))

-- attack: unnest beside its own list
-- must: too_large|invalid|deadline_exceeded
SELECT count(c) FROM (SELECT unnest(l) AS v, l AS c FROM (SELECT array_agg(value) AS l FROM generate_series(1, 100000)))

-- attack: unnest of unnest
-- must: too_large|deadline_exceeded|answers|invalid
SELECT count(*) FROM (SELECT unnest(l) AS v, k FROM (SELECT array_agg(value) AS l FROM generate_series(1, 10000)), (SELECT unnest(l) AS k FROM (SELECT array_agg(value) AS l FROM generate_series(1, 10000))))

-- attack: cartesian columns
-- must: too_large|deadline_exceeded|answers|invalid
SELECT count(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c, information_schema.columns d WHERE a.column_name || b.column_name || c.column_name || d.column_name = 'x'

-- attack: a wide answer
-- must: answers|too_large|invalid|deadline_exceeded
SELECT *, <<90|,|repeat(name, 20) AS n#>> FROM spans
