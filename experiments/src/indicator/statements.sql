-- red.rate of pay
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER'))
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, count(*) AS hits, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM own GROUP BY 1 ORDER BY 1;

-- red.error_ratio of pay it's
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER') AND name = 'it''s')
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, sum(CASE WHEN is_error THEN 1 ELSE 0 END) AS hits, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM own GROUP BY 1 ORDER BY 1;

-- red.p95 of pay
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER'))
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, CAST(floor(ln(greatest(duration_ns, 1000)) * 100) AS BIGINT) AS cell, count(*) AS n, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM own GROUP BY 1, 2 ORDER BY 1, 2;

-- self.p50 of pay charge
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind NOT IN ('CLIENT', 'PRODUCER')
AND trace_id IN (SELECT trace_id FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER') AND name = 'charge')),
below AS (SELECT DISTINCT trace_id, parent_span_id, span_id, time_unix_nano, duration_ns
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' AND parent_span_id IS NOT NULL),
clipped AS (SELECT o.trace_id, o.span_id, greatest(b.time_unix_nano, o.time_unix_nano) AS begins,
least(b.time_unix_nano + b.duration_ns, o.time_unix_nano + o.duration_ns) AS ends
FROM own o JOIN below b ON b.trace_id = o.trace_id AND b.parent_span_id = o.span_id),
reached AS (SELECT trace_id, span_id, begins, ends, max(ends) OVER (PARTITION BY trace_id, span_id
ORDER BY begins, ends ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
FROM clipped WHERE ends > begins),
covered AS (SELECT trace_id, span_id, sum(greatest(ends - greatest(begins, coalesce(reach, begins)), 0)) AS ns
FROM reached GROUP BY 1, 2),
spent AS (SELECT o.trace_id, min(o.time_unix_nano) AS begun,
sum(greatest(o.duration_ns - coalesce(c.ns, 0), 0)) AS own_ns, max(o.trace_state) AS trace_state
FROM own o LEFT JOIN covered c ON c.trace_id = o.trace_id AND c.span_id = o.span_id GROUP BY 1)
SELECT CAST((begun - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, CAST(floor(ln(greatest(own_ns, 1000)) * 100) AS BIGINT) AS cell, count(*) AS n, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM spent GROUP BY 1, 2 ORDER BY 1, 2;

-- edge.gap_p50 of shop->pay
WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop'),
answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL),
pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.trace_state, count(*) AS answers,
min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed
FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id
GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.trace_state)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, CAST(floor(ln(greatest(duration_ns - inner_ns, 1000)) * 100) AS BIGINT) AS cell, count(*) AS n, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM pairs WHERE answers = 1 GROUP BY 1, 2 ORDER BY 1, 2;

-- edge.error_ratio of shop->pay charge
WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop'),
answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL AND name = 'charge'),
pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.trace_state, count(*) AS answers,
min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed
FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id
GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.trace_state)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, sum(CASE WHEN failed = 1 THEN 1 ELSE 0 END) AS hits, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM pairs GROUP BY 1 ORDER BY 1;

-- edge.calls of shop->pay
WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop'),
answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL),
pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.trace_state, count(*) AS answers,
min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed
FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id
GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.trace_state)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, sum(coalesce(p.answers, 0)) AS hits, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM callers c LEFT JOIN (SELECT trace_id AS t, span_id AS s, answers FROM pairs) p
ON p.t = c.trace_id AND p.s = c.span_id GROUP BY 1 ORDER BY 1;

-- edge.call_ratio of shop->pay
WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop'),
answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL),
pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.trace_state, count(*) AS answers,
min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed
FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id
GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.trace_state),
traces_of AS (SELECT trace_id, min(time_unix_nano) AS begun, max(trace_state) AS trace_state FROM callers GROUP BY 1),
called AS (SELECT DISTINCT trace_id AS t FROM pairs)
SELECT CAST((begun - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, sum(CASE WHEN t IS NOT NULL THEN 1 ELSE 0 END) AS hits, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM traces_of LEFT JOIN called ON t = trace_id GROUP BY 1 ORDER BY 1;

-- edge.mask_ratio of shop->pay
WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop'),
answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL),
pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.trace_state, count(*) AS answers,
min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed
FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id
GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.trace_state),
failing AS (SELECT trace_id, min(time_unix_nano) AS begun, max(trace_state) AS trace_state FROM pairs WHERE failed = 1 GROUP BY 1),
roots AS (SELECT trace_id AS t, max(CASE WHEN is_error THEN 1 ELSE 0 END) AS broken
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' AND parent_span_id IS NULL GROUP BY 1)
SELECT CAST((begun - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, sum(CASE WHEN broken = 0 THEN 1 ELSE 0 END) AS hits, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM failing JOIN roots ON t = trace_id GROUP BY 1 ORDER BY 1;

-- log.error_ratio of pay
WITH own AS (SELECT DISTINCT time_unix_nano, trace_id, span_id, severity, body
FROM logs WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay')
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, sum(CASE WHEN severity IN ('ERROR', 'FATAL') THEN 1 ELSE 0 END) AS hits
FROM own GROUP BY 1 ORDER BY 1;

-- log.trace_id_ratio of pay
WITH own AS (SELECT DISTINCT time_unix_nano, trace_id, span_id, severity, body
FROM logs WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay')
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, sum(CASE WHEN trace_id IS NOT NULL THEN 1 ELSE 0 END) AS hits
FROM own GROUP BY 1 ORDER BY 1;

-- resource.cpu of pay
WITH own AS (SELECT DISTINCT metric_name, series_id, time_unix_nano, value
FROM metrics WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND metric_name IN ('container.cpu.usage', 'k8s.pod.cpu.usage'))
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, avg(value) AS value, count(DISTINCT metric_name) AS series
FROM own GROUP BY 1 ORDER BY 1;

-- trace.root_success of pay
WITH roots AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NULL)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, sum(CASE WHEN NOT is_error THEN 1 ELSE 0 END) AS hits, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM roots GROUP BY 1 ORDER BY 1;

-- trace.complete_ratio of pay
WITH roots AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NULL),
whole AS (SELECT DISTINCT trace_id, span_id, parent_span_id FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'),
torn AS (SELECT DISTINCT c.trace_id AS t FROM whole c LEFT JOIN whole p
ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
WHERE c.parent_span_id IS NOT NULL AND p.span_id IS NULL)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, sum(CASE WHEN t IS NULL THEN 1 ELSE 0 END) AS hits, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM roots LEFT JOIN torn ON t = trace_id GROUP BY 1 ORDER BY 1;

-- slo.burn_rate of pay
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, trace_state
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER'))
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, sum(CASE WHEN is_error THEN 1 ELSE 0 END) AS hits, sum(CASE WHEN regexp_like(trace_state, 'ot=[^,]*th:0*[1-9a-f]') THEN 1 ELSE 0 END) AS sampled
FROM own GROUP BY 1 ORDER BY 1;

-- what flowed
SELECT service_name, CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n
FROM logs WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' GROUP BY 1, 2 ORDER BY 1, 2;

-- how far
SELECT max(time_unix_nano) AS watermark FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time <= '2022-08-22T06:33:20.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z';

-- the load
SELECT endpoint, count(*) AS n FROM (SELECT DISTINCT trace_id, span_id, name AS endpoint
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' AND parent_span_id IS NULL) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 200;

-- what was scanned
SELECT (SELECT count(*) FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z') + (SELECT count(*) FROM logs WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z') + (SELECT count(*) FROM metrics WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z') AS n;
