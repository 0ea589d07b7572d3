-- Values at the edges of what arithmetic and formats can say. None of these may
-- take down more than itself, and no error may show a path.

-- attack: division by zero
-- must: invalid
SELECT duration_ns / 0 FROM spans

-- attack: remainder by zero
-- must: invalid
SELECT 1 % 0

-- attack: the smallest number by minus one
-- must: invalid|answers
SELECT CAST('-9223372036854775808' AS BIGINT) / -1

-- attack: the smallest number's remainder
-- must: invalid|answers
SELECT CAST('-9223372036854775808' AS BIGINT) % -1

-- attack: the absolute of the smallest number
-- must: invalid|answers
SELECT abs(CAST('-9223372036854775808' AS BIGINT))

-- attack: overflow
-- must: invalid|answers
SELECT sum(9223372036854775807) FROM spans

-- attack: a product
-- must: invalid|answers
SELECT 9223372036854775807 * 9223372036854775807

-- attack: a large factorial
-- must: invalid|answers
SELECT factorial(1000000)

-- attack: a large power
-- must: invalid|answers
SELECT power(10, 400), power(CAST(10 AS BIGINT), 400)

-- attack: decimals
-- must: invalid|answers
SELECT CAST('9e37' AS DECIMAL(38, 0)) * CAST('9e37' AS DECIMAL(38, 0))

-- attack: decimals without room
-- must: invalid|answers
SELECT CAST(1 AS DECIMAL(38, 38)) / 3, round(CAST(1 AS DECIMAL(76, 38)), 2000000000)

-- attack: sums of decimals
-- must: invalid|answers
SELECT sum(CAST('99999999999999999999999999999999999999' AS DECIMAL(38, 0))) FROM spans

-- attack: not a number
-- must: answers|invalid
SELECT CAST('NaN' AS DOUBLE PRECISION) < 1, CAST('Infinity' AS DOUBLE PRECISION)::bigint

-- attack: a time beyond time
-- must: invalid|answers
SELECT to_timestamp(9223372036854775807), to_timestamp_nanos(9223372036854775807) + INTERVAL '1000000 years'

-- attack: a date beyond dates
-- must: invalid|answers
SELECT DATE '9999-12-31' + INTERVAL '1000000 months', make_date(2147483647, 12, 31)

-- attack: months of months
-- must: invalid|answers
SELECT time + INTERVAL '2147483647 months' FROM spans LIMIT 1

-- attack: bins of nothing
-- must: invalid|answers
SELECT date_bin(INTERVAL '0 seconds', time) FROM spans

-- attack: bins before time
-- must: invalid|answers
SELECT date_bin(INTERVAL '1 month', time, TIMESTAMP '0001-01-01') FROM spans LIMIT 1

-- attack: zones
-- must: invalid|answers
SELECT time AT TIME ZONE 'Mars/Olympus_Mons' FROM spans

-- attack: zones with a path
-- must: invalid|answers
SELECT time AT TIME ZONE '../../../../etc/passwd' FROM spans

-- attack: a gap in a zone
-- must: invalid|answers
SELECT TIMESTAMP '2026-03-29 02:30:00' AT TIME ZONE 'Europe/Zurich'

-- attack: formats that are none
-- must: invalid|answers
SELECT to_char(time, '%Q%%%:::::z%9999f%') FROM spans

-- attack: formats read
-- must: invalid|answers
SELECT to_timestamp('x', '%Y<<500||%f>>', '%', '%:', ''), to_timestamp_seconds('2026', '%s%s%s%s')

-- attack: intervals
-- must: invalid|answers
SELECT INTERVAL '99999999999999999999 days', INTERVAL '1 fortnight'

-- attack: substrings
-- must: invalid|answers
SELECT substr(name, -9223372036854775807, 9223372036854775807), left(name, -9223372036854775808), right(name, -9223372036854775808) FROM spans

-- attack: a character that is none
-- must: invalid|answers
SELECT chr(0), chr(1114112), chr(-1)

-- attack: bytes that are no text
-- must: invalid|answers
SELECT decode('gg', 'hex'), encode(decode('/w==', 'base64'), 'hex'), CAST(decode('ff', 'hex') AS VARCHAR)

-- attack: slices of lists
-- must: invalid|answers
SELECT array_slice(ARRAY[1, 2], -9223372036854775808, 9223372036854775807), array_element(ARRAY[1], 9223372036854775807), array_slice(ARRAY[1, 2], 1, 2, 0)

-- attack: no lists
-- must: invalid|answers
SELECT array_max(ARRAY[]), flatten(ARRAY[]), array_distinct(ARRAY[NULL]), array_concat(ARRAY[], ARRAY[ARRAY[1]])

-- attack: maps
-- must: invalid|answers
SELECT map(ARRAY['a', 'a'], ARRAY[1, 2]), map(ARRAY[NULL], ARRAY[1]), map_extract(attributes, NULL) FROM spans LIMIT 1

-- attack: limits
-- must: invalid|answers
SELECT * FROM spans LIMIT 9223372036854775807 OFFSET 9223372036854775807

-- attack: a limit below nothing
-- must: invalid|answers
SELECT * FROM spans LIMIT -1

-- attack: nth of nothing
-- must: invalid|answers
SELECT nth_value(name, -9223372036854775808) OVER (ORDER BY time), ntile(0) OVER (ORDER BY time), lag(name, -9223372036854775808) OVER (ORDER BY time) FROM spans

-- attack: a backward frame
-- must: invalid|answers
SELECT sum(duration_ns) OVER (ORDER BY time ROWS BETWEEN 5 FOLLOWING AND 5 PRECEDING) FROM spans

-- attack: a frame without bounds
-- must: invalid|answers
SELECT count(s) FROM (SELECT sum(duration_ns) OVER (ORDER BY time ROWS BETWEEN 18446744073709551615 PRECEDING AND 18446744073709551615 FOLLOWING) AS s FROM spans)

-- attack: a percentile beyond all
-- must: invalid|answers
SELECT approx_percentile_cont(2.5) WITHIN GROUP (ORDER BY duration_ns), approx_percentile_cont(0.5, 2147483647) WITHIN GROUP (ORDER BY duration_ns) FROM spans

-- attack: unnest of unlike lists
-- must: invalid|answers
SELECT unnest(ARRAY[1, 2, 3]), unnest(ARRAY['a']), unnest(NULL)

-- attack: an aggregate in its own condition
-- must: invalid
SELECT count(*) FROM spans WHERE count(*) > 1

-- attack: text as a number
-- must: invalid
SELECT CAST(name AS BIGINT) FROM spans

-- attack: a text that looks like a path
-- must: invalid
SELECT CAST('/etc/cloudsail/key.parquet' AS BIGINT)

-- attack: levels
-- must: answers|invalid
SELECT grouping(name) FROM spans GROUP BY ROLLUP (name, kind)

-- attack: bits
-- must: invalid|answers
SELECT 1 << 64, 1 << -1, 1 >> 9223372036854775807

-- attack: likeness with an escape at its end
-- must: invalid|answers
SELECT name LIKE '%\' FROM spans LIMIT 1

-- attack: a regular expression that is none
-- must: invalid
SELECT name ~ '(((' FROM spans

-- attack: flags that are none
-- must: invalid
SELECT regexp_like(name, 'a', 'qqq') FROM spans
