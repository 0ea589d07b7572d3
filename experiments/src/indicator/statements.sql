-- red.rate of pay
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER'))
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, count(*) AS hits
FROM own GROUP BY 1, 2 ORDER BY 1, 2;

-- red.error_ratio of pay it's
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER') AND name = 'it''s')
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN is_error THEN 1 ELSE 0 END) AS hits
FROM own GROUP BY 1, 2 ORDER BY 1, 2;

-- red.p95 of pay
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER'))
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, CAST(floor(ln(greatest(duration_ns, 1000)) * 100) AS BIGINT) AS cell, th, count(*) AS n
FROM own GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- self.p50 of pay charge
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
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
sum(greatest(o.duration_ns - coalesce(c.ns, 0), 0)) AS own_ns, max(o.th) AS th
FROM own o LEFT JOIN covered c ON c.trace_id = o.trace_id AND c.span_id = o.span_id GROUP BY 1)
SELECT CAST((begun - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, CAST(floor(ln(greatest(own_ns, 1000)) * 100) AS BIGINT) AS cell, th, count(*) AS n
FROM spent GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- edge.gap_p50 of shop->pay
WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop'),
answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL),
pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th, count(*) AS answers,
min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed
FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id
GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, CAST(floor(ln(greatest(duration_ns - inner_ns, 1000)) * 100) AS BIGINT) AS cell, th, count(*) AS n
FROM pairs WHERE answers = 1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- edge.error_ratio of shop->pay charge
WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop'),
answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL AND name = 'charge'),
pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th, count(*) AS answers,
min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed
FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id
GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN failed = 1 THEN 1 ELSE 0 END) AS hits
FROM pairs GROUP BY 1, 2 ORDER BY 1, 2;

-- edge.calls of shop->pay
WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop'),
answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL),
pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th, count(*) AS answers,
min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed
FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id
GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, c.th AS th, count(*) AS n, sum(coalesce(p.answers, 0)) AS hits
FROM callers c LEFT JOIN (SELECT trace_id AS t, span_id AS s, answers FROM pairs) p
ON p.t = c.trace_id AND p.s = c.span_id GROUP BY 1, 2 ORDER BY 1, 2;

-- edge.call_ratio of shop->pay
WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop'),
answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL),
pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th, count(*) AS answers,
min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed
FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id
GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th),
traces_of AS (SELECT trace_id, min(time_unix_nano) AS begun, max(th) AS th FROM callers GROUP BY 1),
called AS (SELECT DISTINCT trace_id AS t FROM pairs)
SELECT CAST((begun - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN t IS NOT NULL THEN 1 ELSE 0 END) AS hits
FROM traces_of LEFT JOIN called ON t = trace_id GROUP BY 1, 2 ORDER BY 1, 2;

-- edge.mask_ratio of shop->pay
WITH callers AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop'),
answers AS (SELECT DISTINCT trace_id, parent_span_id, span_id, duration_ns, is_error
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL),
pairs AS (SELECT c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th, count(*) AS answers,
min(a.duration_ns) AS inner_ns, max(CASE WHEN c.is_error OR a.is_error THEN 1 ELSE 0 END) AS failed
FROM callers c JOIN answers a ON a.trace_id = c.trace_id AND a.parent_span_id = c.span_id
GROUP BY c.trace_id, c.span_id, c.time_unix_nano, c.duration_ns, c.th),
failing AS (SELECT trace_id, min(time_unix_nano) AS begun, max(th) AS th FROM pairs WHERE failed = 1 GROUP BY 1),
roots AS (SELECT trace_id AS t, max(CASE WHEN is_error THEN 1 ELSE 0 END) AS broken
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' AND parent_span_id IS NULL GROUP BY 1)
SELECT CAST((begun - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN broken = 0 THEN 1 ELSE 0 END) AS hits
FROM failing JOIN roots ON t = trace_id GROUP BY 1, 2 ORDER BY 1, 2;

-- edge.retry_ratio of shop->pay
WITH answers AS (SELECT trace_id AS t, parent_span_id AS s, max(time_unix_nano + duration_ns) AS answered,
max(CASE WHEN is_error THEN 1 ELSE 0 END) AS broken
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL GROUP BY 1, 2),
calls AS (SELECT DISTINCT trace_id, span_id, parent_span_id, name, time_unix_nano, duration_ns, answered, CASE WHEN coalesce(attributes['http.request.resend_count'], attributes['http.resend_count'], '0') <> '0' THEN 1 ELSE 0 END AS resent, CASE WHEN attributes['http.response.status_code'] IN ('408', '504')
OR attributes['rpc.grpc.status_code'] = '4'
OR regexp_like(concat_ws(' ', attributes['error.type'], status_message), '(?i)time[d _-]*out|deadline') THEN 1 ELSE 0 END AS late,
CASE WHEN is_error OR broken = 1 THEN 1 ELSE 0 END AS failed, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans LEFT JOIN answers ON t = trace_id AND s = span_id
WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop' AND (t IS NOT NULL OR (kind IN ('CLIENT', 'PRODUCER') AND (coalesce(attributes['peer.service'], attributes['server.address']) = 'pay' OR starts_with(coalesce(attributes['peer.service'], attributes['server.address']), 'pay.'))))),
tried AS (SELECT time_unix_nano, duration_ns, answered, resent, late, failed, th, max(failed) OVER (PARTITION BY trace_id, parent_span_id, name
ORDER BY time_unix_nano, span_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS failed_before FROM calls)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN resent = 1 OR failed_before = 1 THEN 1 ELSE 0 END) AS hits
FROM tried GROUP BY 1, 2 ORDER BY 1, 2;

-- edge.timeout_ratio of shop->pay charge
WITH answers AS (SELECT trace_id AS t, parent_span_id AS s, max(time_unix_nano + duration_ns) AS answered,
max(CASE WHEN is_error THEN 1 ELSE 0 END) AS broken
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NOT NULL AND name = 'charge' GROUP BY 1, 2),
calls AS (SELECT DISTINCT trace_id, span_id, parent_span_id, name, time_unix_nano, duration_ns, answered, CASE WHEN coalesce(attributes['http.request.resend_count'], attributes['http.resend_count'], '0') <> '0' THEN 1 ELSE 0 END AS resent, CASE WHEN attributes['http.response.status_code'] IN ('408', '504')
OR attributes['rpc.grpc.status_code'] = '4'
OR regexp_like(concat_ws(' ', attributes['error.type'], status_message), '(?i)time[d _-]*out|deadline') THEN 1 ELSE 0 END AS late,
CASE WHEN is_error OR broken = 1 THEN 1 ELSE 0 END AS failed, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans LEFT JOIN answers ON t = trace_id AND s = span_id
WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'shop' AND (t IS NOT NULL)),
tried AS (SELECT time_unix_nano, duration_ns, answered, resent, late, failed, th, max(failed) OVER (PARTITION BY trace_id, parent_span_id, name
ORDER BY time_unix_nano, span_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS failed_before FROM calls)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN late = 1 OR (failed = 1 AND answered > time_unix_nano + duration_ns) THEN 1 ELSE 0 END) AS hits
FROM tried GROUP BY 1, 2 ORDER BY 1, 2;

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
AND (service_name = 'pay' OR resource_attributes['k8s.deployment.name'] = 'pay' OR resource_attributes['k8s.statefulset.name'] = 'pay') AND metric_name IN ('container.cpu.usage', 'k8s.pod.cpu.usage'))
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, avg(value) AS value, count(DISTINCT metric_name) AS series
FROM own GROUP BY 1 ORDER BY 1;

-- resource.throttling of pay
WITH points AS (SELECT DISTINCT metric_name, series_id, time_unix_nano, value, temporality
FROM metrics WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND (service_name = 'pay' OR resource_attributes['k8s.deployment.name'] = 'pay' OR resource_attributes['k8s.statefulset.name'] = 'pay') AND metric_name IN ('container.cpu.throttling_data.throttled_periods', 'container_cpu_cfs_throttled_periods_total', 'container.cpu.throttling_data.periods', 'container_cpu_cfs_periods_total')),
stood AS (SELECT metric_name, time_unix_nano, value, temporality,
lag(value) OVER (PARTITION BY series_id ORDER BY time_unix_nano) AS stood FROM points),
grown AS (SELECT metric_name, time_unix_nano, CASE WHEN temporality = 'DELTA' THEN value
WHEN stood IS NULL THEN 0 WHEN value >= stood THEN value - stood ELSE value END AS grew FROM stood)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, CAST(round(sum(CASE WHEN metric_name IN ('container.cpu.throttling_data.periods', 'container_cpu_cfs_periods_total') THEN grew ELSE 0 END)) AS BIGINT) AS n, CAST(round(sum(CASE WHEN metric_name IN ('container.cpu.throttling_data.throttled_periods', 'container_cpu_cfs_throttled_periods_total') THEN grew ELSE 0 END)) AS BIGINT) AS hits, count(DISTINCT CASE WHEN metric_name IN ('container.cpu.throttling_data.throttled_periods', 'container_cpu_cfs_throttled_periods_total') THEN metric_name END) AS series
FROM grown WHERE time_unix_nano >= 1661140434000000000 AND time_unix_nano < 1661140449000000000 GROUP BY 1 ORDER BY 1;

-- resource.restarts of pay
WITH points AS (SELECT DISTINCT metric_name, series_id, time_unix_nano, value, temporality
FROM metrics WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND (service_name = 'pay' OR resource_attributes['k8s.deployment.name'] = 'pay' OR resource_attributes['k8s.statefulset.name'] = 'pay') AND metric_name IN ('k8s.container.restarts', 'k8s.container.restart_count')),
stood AS (SELECT metric_name, time_unix_nano, value, temporality,
lag(value) OVER (PARTITION BY series_id ORDER BY time_unix_nano) AS stood FROM points),
grown AS (SELECT metric_name, time_unix_nano, CASE WHEN temporality = 'DELTA' THEN value
WHEN stood IS NULL THEN 0 WHEN value >= stood THEN value - stood ELSE value END AS grew FROM stood)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, CAST(round(sum(CASE WHEN metric_name IN ('k8s.container.restarts', 'k8s.container.restart_count') THEN grew ELSE 0 END)) AS BIGINT) AS hits, count(DISTINCT CASE WHEN metric_name IN ('k8s.container.restarts', 'k8s.container.restart_count') THEN metric_name END) AS series
FROM grown WHERE time_unix_nano >= 1661140434000000000 AND time_unix_nano < 1661140449000000000 GROUP BY 1 ORDER BY 1;

-- resource.oom_kills of pay
WITH points AS (SELECT DISTINCT metric_name, series_id, time_unix_nano, value, temporality
FROM metrics WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND (service_name = 'pay' OR resource_attributes['k8s.deployment.name'] = 'pay' OR resource_attributes['k8s.statefulset.name'] = 'pay') AND metric_name IN ('container.memory.oom_kills', 'container_oom_events_total')),
stood AS (SELECT metric_name, time_unix_nano, value, temporality,
lag(value) OVER (PARTITION BY series_id ORDER BY time_unix_nano) AS stood FROM points),
grown AS (SELECT metric_name, time_unix_nano, CASE WHEN temporality = 'DELTA' THEN value
WHEN stood IS NULL THEN 0 WHEN value >= stood THEN value - stood ELSE value END AS grew FROM stood)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, CAST(round(sum(CASE WHEN metric_name IN ('container.memory.oom_kills', 'container_oom_events_total') THEN grew ELSE 0 END)) AS BIGINT) AS hits, count(DISTINCT CASE WHEN metric_name IN ('container.memory.oom_kills', 'container_oom_events_total') THEN metric_name END) AS series
FROM grown WHERE time_unix_nano >= 1661140434000000000 AND time_unix_nano < 1661140449000000000 GROUP BY 1 ORDER BY 1;

-- resource.replicas of pay
WITH own AS (SELECT DISTINCT metric_name, series_id, time_unix_nano, value
FROM metrics WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND (service_name = 'pay' OR resource_attributes['k8s.deployment.name'] = 'pay' OR resource_attributes['k8s.statefulset.name'] = 'pay') AND metric_name IN ('k8s.deployment.available', 'k8s.deployment.pod.available', 'k8s.statefulset.ready_pods', 'k8s.statefulset.pod.ready'))
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n, avg(value) AS value, count(DISTINCT series_id) AS series
FROM own GROUP BY 1 ORDER BY 1;

-- trace.root_success of pay
WITH roots AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NULL)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN NOT is_error THEN 1 ELSE 0 END) AS hits
FROM roots GROUP BY 1, 2 ORDER BY 1, 2;

-- trace.complete_ratio of pay
WITH roots AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NULL),
whole AS (SELECT DISTINCT trace_id, span_id, parent_span_id FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'),
torn AS (SELECT DISTINCT c.trace_id AS t FROM whole c LEFT JOIN whole p
ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
WHERE c.parent_span_id IS NOT NULL AND p.span_id IS NULL)
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN t IS NULL THEN 1 ELSE 0 END) AS hits
FROM roots LEFT JOIN torn ON t = trace_id GROUP BY 1, 2 ORDER BY 1, 2;

-- trace.structure_divergence of pay
WITH roots AS (SELECT trace_id, min(time_unix_nano) AS begun, max(th) AS th
FROM (SELECT trace_id, time_unix_nano, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND parent_span_id IS NULL) GROUP BY 1),
operations AS (SELECT DISTINCT trace_id, span_id, parent_span_id, concat_ws(' ', service_name, name) AS operation
FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' AND trace_id IN (SELECT trace_id FROM roots)),
steps AS (SELECT DISTINCT c.trace_id, concat_ws(' > ', p.operation, c.operation) AS step
FROM operations c JOIN operations p ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id),
shapes AS (SELECT r.trace_id, r.begun, r.th, md5(coalesce(string_agg(s.step, ', ' ORDER BY s.step), '')) AS shape
FROM roots r LEFT JOIN steps s ON s.trace_id = r.trace_id GROUP BY 1, 2, 3),
told AS (SELECT begun, th, sum(CASE WHEN begun >= 1661140434000000000 AND begun < 1661140449000000000 THEN 1 ELSE 0 END) OVER (PARTITION BY shape) AS known, sum(CASE WHEN begun >= 1661140434000000000 AND begun < 1661140449000000000 THEN 1 ELSE 0 END) OVER () AS usual FROM shapes)
SELECT CAST((begun - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN known = 0 OR known < 0.01 * usual THEN 1 ELSE 0 END) AS hits
FROM told WHERE begun >= 1661140434000000000 AND begun < 1661140449000000000 GROUP BY 1, 2 ORDER BY 1, 2;

-- slo.budget_burned of pay
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER'))
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN is_error THEN 1 ELSE 0 END) AS hits
FROM own GROUP BY 1, 2 ORDER BY 1, 2;

-- slo.burn_rate of pay
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER'))
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN is_error THEN 1 ELSE 0 END) AS hits
FROM own GROUP BY 1, 2 ORDER BY 1, 2;

-- red.error_ratio of pay it's at GET /
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND trace_id IN (SELECT trace_id FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' AND parent_span_id IS NULL AND name = 'GET /')
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER') AND name = 'it''s')
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN is_error THEN 1 ELSE 0 END) AS hits
FROM own GROUP BY 1, 2 ORDER BY 1, 2;

-- red.error_ratio of pay it's at other endpoints
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND trace_id IN (SELECT trace_id FROM spans WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' AND parent_span_id IS NULL AND name NOT IN ('GET /', 'it''s'))
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER') AND name = 'it''s')
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN is_error THEN 1 ELSE 0 END) AS hits
FROM own GROUP BY 1, 2 ORDER BY 1, 2;

-- trace.structure_divergence of pay beside a baseline
WITH roots AS (SELECT trace_id, min(time_unix_nano) AS begun, max(th) AS th
FROM (SELECT trace_id, time_unix_nano, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE ((time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z') OR (time >= '2022-08-22T03:52:54.000000Z' AND time < '2022-08-22T03:53:39.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'))
AND service_name = 'pay' AND parent_span_id IS NULL) GROUP BY 1),
operations AS (SELECT DISTINCT trace_id, span_id, parent_span_id, concat_ws(' ', service_name, name) AS operation
FROM spans WHERE ((time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z') OR (time >= '2022-08-22T03:42:54.000000Z' AND time < '2022-08-22T04:03:39.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z')) AND trace_id IN (SELECT trace_id FROM roots)),
steps AS (SELECT DISTINCT c.trace_id, concat_ws(' > ', p.operation, c.operation) AS step
FROM operations c JOIN operations p ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id),
shapes AS (SELECT r.trace_id, r.begun, r.th, md5(coalesce(string_agg(s.step, ', ' ORDER BY s.step), '')) AS shape
FROM roots r LEFT JOIN steps s ON s.trace_id = r.trace_id GROUP BY 1, 2, 3),
told AS (SELECT begun, th, sum(CASE WHEN begun >= 1661140374000000000 AND begun < 1661140419000000000 THEN 1 ELSE 0 END) OVER (PARTITION BY shape) AS known, sum(CASE WHEN begun >= 1661140374000000000 AND begun < 1661140419000000000 THEN 1 ELSE 0 END) OVER () AS usual FROM shapes)
SELECT CAST((begun - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN known = 0 OR known < 0.01 * usual THEN 1 ELSE 0 END) AS hits
FROM told WHERE begun >= 1661140434000000000 AND begun < 1661140449000000000 GROUP BY 1, 2 ORDER BY 1, 2;

-- pods by the workload
SELECT what, CAST(series_id AS VARCHAR) AS series, time_unix_nano, value FROM (SELECT DISTINCT series_id, time_unix_nano, value,
CASE WHEN (service_name = 'pay' OR resource_attributes['k8s.deployment.name'] = 'pay' OR resource_attributes['k8s.statefulset.name'] = 'pay') AND metric_name IN ('k8s.deployment.pod.available', 'k8s.deployment.available', 'k8s.statefulset.pod.ready', 'k8s.statefulset.ready_pods') THEN 'ready'
WHEN (service_name = 'pay' OR resource_attributes['k8s.deployment.name'] = 'pay' OR resource_attributes['k8s.statefulset.name'] = 'pay') AND metric_name IN ('k8s.deployment.pod.desired', 'k8s.deployment.desired', 'k8s.statefulset.pod.desired', 'k8s.statefulset.desired_pods') THEN 'desired' END AS what
FROM metrics WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND metric_name IN ('k8s.deployment.pod.available', 'k8s.deployment.available', 'k8s.statefulset.pod.ready', 'k8s.statefulset.ready_pods', 'k8s.deployment.pod.desired', 'k8s.deployment.desired', 'k8s.statefulset.pod.desired', 'k8s.statefulset.desired_pods', 'k8s.hpa.pod.desired', 'k8s.hpa.desired_replicas', 'k8s.hpa.pod.max', 'k8s.hpa.max_replicas')) WHERE what IS NOT NULL ORDER BY 3, 1;

-- pods by pay-hpa
SELECT what, CAST(series_id AS VARCHAR) AS series, time_unix_nano, value FROM (SELECT DISTINCT series_id, time_unix_nano, value,
CASE WHEN (service_name = 'pay' OR resource_attributes['k8s.deployment.name'] = 'pay' OR resource_attributes['k8s.statefulset.name'] = 'pay') AND metric_name IN ('k8s.deployment.pod.available', 'k8s.deployment.available', 'k8s.statefulset.pod.ready', 'k8s.statefulset.ready_pods') THEN 'ready'
WHEN resource_attributes['k8s.hpa.name'] = 'pay-hpa' AND metric_name IN ('k8s.hpa.pod.desired', 'k8s.hpa.desired_replicas') THEN 'desired'
WHEN resource_attributes['k8s.hpa.name'] = 'pay-hpa' AND metric_name IN ('k8s.hpa.pod.max', 'k8s.hpa.max_replicas') THEN 'limit' END AS what
FROM metrics WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND metric_name IN ('k8s.deployment.pod.available', 'k8s.deployment.available', 'k8s.statefulset.pod.ready', 'k8s.statefulset.ready_pods', 'k8s.deployment.pod.desired', 'k8s.deployment.desired', 'k8s.statefulset.pod.desired', 'k8s.statefulset.desired_pods', 'k8s.hpa.pod.desired', 'k8s.hpa.desired_replicas', 'k8s.hpa.pod.max', 'k8s.hpa.max_replicas')) WHERE what IS NOT NULL ORDER BY 3, 1;

-- red.error_ratio of pay by metrics
WITH points AS (SELECT DISTINCT series_id, time_unix_nano AS at, coalesce(start_time_unix_nano, 0) AS began, temporality,
coalesce(CAST(count AS DOUBLE), value) AS c, CASE WHEN attributes['status.code'] IN ('STATUS_CODE_ERROR', 'ERROR', 'Error')
OR coalesce(attributes['http.response.status_code'], attributes['http.status_code']) LIKE '5__'
OR attributes['rpc.grpc.status_code'] IN ('2', '4', '12', '13', '14', '15')
OR attributes['rpc.response.status_code'] IN ('UNKNOWN', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS')
OR (attributes['error.type'] IS NOT NULL AND attributes['status.code'] IS NULL AND attributes['rpc.grpc.status_code'] IS NULL
AND attributes['rpc.response.status_code'] IS NULL AND coalesce(attributes['http.response.status_code'], attributes['http.status_code']) IS NULL)
THEN 1 ELSE 0 END AS failed
FROM metrics WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND coalesce(attributes['span.kind'], 'SPAN_KIND_SERVER') IN ('SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER', 'SERVER', 'CONSUMER') AND metric_name IN ('http.server.request.duration')),
stood AS (SELECT at, began, temporality, failed, c, lag(c) OVER (PARTITION BY series_id ORDER BY at) AS stood,
lag(at) OVER (PARTITION BY series_id ORDER BY at) AS stood_at, min(at) OVER () AS first FROM points),
grown AS (SELECT at, failed, CASE WHEN temporality = 'DELTA' THEN c
WHEN stood IS NULL THEN CASE WHEN at > first THEN c ELSE 0 END
WHEN c < stood OR began > stood_at THEN c ELSE c - stood END AS n FROM stood)
SELECT CAST((at - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, CAST(round(sum(n)) AS BIGINT) AS n, CAST(round(sum(CASE WHEN failed = 1 THEN n ELSE 0 END)) AS BIGINT) AS hits
FROM grown WHERE at >= 1661140434000000000 AND at < 1661140449000000000 AND n > 0 GROUP BY 1 ORDER BY 1;

-- red.p95 of pay charge by metrics
WITH points AS (SELECT DISTINCT series_id, time_unix_nano AS at, coalesce(start_time_unix_nano, 0) AS began, temporality,
coalesce(bucket_counts, positive_counts) AS counts, explicit_bounds AS bounds, scale, positive_offset AS beyond,
CASE unit WHEN 's' THEN 1e9 WHEN 'ms' THEN 1e6 WHEN 'us' THEN 1e3 WHEN 'ns' THEN 1.0 END AS unit_ns
FROM metrics WHERE time >= '2022-08-22T03:43:54.000000Z' AND time < '2022-08-22T04:04:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND coalesce(attributes['span.kind'], 'SPAN_KIND_SERVER') IN ('SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER', 'SERVER', 'CONSUMER')
AND 'charge' IN (attributes['span.name'], concat_ws(' ', coalesce(attributes['http.request.method'], attributes['http.method']), attributes['http.route']),
concat_ws('/', attributes['rpc.service'], attributes['rpc.method']), attributes['rpc.method']) AND metric_name IN ('traces.span.metrics.duration')),
parts AS (SELECT series_id, at, began, temporality, bounds, scale, beyond, unit_ns, value AS part, counts[value + 1] AS c
FROM points JOIN generate_series(0, 1023) ON value < CAST(cardinality(counts) AS BIGINT)),
coarse AS (SELECT series_id AS s, min(scale) AS coarsest FROM points GROUP BY 1),
placed AS (SELECT series_id, at, began, temporality, c, scale, bounds, unit_ns, part, coarsest,
floor((beyond + part) / pow(2.0, scale - coarsest)) AS step FROM parts JOIN coarse ON s = series_id),
keyed AS (SELECT series_id, at, began, temporality, c, CAST(coalesce(step, part) AS BIGINT) AS key,
CASE WHEN scale IS NULL THEN coalesce(bounds[part], 0) ELSE pow(2.0, step * pow(2.0, -coarsest)) END * unit_ns AS low,
CASE WHEN scale IS NULL THEN coalesce(bounds[part + 1], 1e15 / unit_ns) ELSE pow(2.0, (step + 1) * pow(2.0, -coarsest)) END * unit_ns AS high
FROM placed),
summed AS (SELECT series_id, at, began, temporality, key, low, high, sum(c) AS c FROM keyed GROUP BY 1, 2, 3, 4, 5, 6, 7),
stood AS (SELECT at, began, temporality, low, high, c, lag(c) OVER (PARTITION BY series_id, key ORDER BY at) AS stood,
lag(at) OVER (PARTITION BY series_id, key ORDER BY at) AS stood_at, min(at) OVER () AS first FROM summed),
grown AS (SELECT at, low, high, CASE WHEN temporality = 'DELTA' THEN c
WHEN stood IS NULL THEN CASE WHEN at > first THEN c ELSE 0 END
WHEN c < stood OR began > stood_at THEN c ELSE c - stood END AS n FROM stood)
SELECT CAST((at - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, CAST(floor(ln(greatest(low, 1000)) * 100) AS BIGINT) AS low_cell, CAST(floor(ln(greatest(high, 1000)) * 100) AS BIGINT) AS cell, CAST(sum(n) AS BIGINT) AS n
FROM grown WHERE at >= 1661140434000000000 AND at < 1661140449000000000 AND n > 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- in pieces
WITH own AS (SELECT DISTINCT trace_id, span_id, time_unix_nano, duration_ns, is_error, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:53:39.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z'
AND service_name = 'pay' AND kind IN ('SERVER', 'CONSUMER') AND name = 'it''s')
SELECT CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, th, count(*) AS n, sum(CASE WHEN is_error THEN 1 ELSE 0 END) AS hits
FROM own GROUP BY 1, 2 ORDER BY 1, 2;

-- what flowed
SELECT service_name, CAST((time_unix_nano - 1661140434000000000) / 5000000000 AS BIGINT) AS bucket, count(*) AS n
FROM logs WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' GROUP BY 1, 2 ORDER BY 1, 2;

-- how far
SELECT max(time_unix_nano) AS watermark FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time <= '2022-08-22T06:33:20.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z';

-- the load
SELECT endpoint, th, count(*) AS n FROM (SELECT DISTINCT trace_id, span_id, name AS endpoint, CASE WHEN regexp_like(trace_state, '(^|,) *ot=') THEN
CASE WHEN regexp_like(trace_state, '^(.*,)? *ot=([^,]*;)?th:[0-9a-f]+ *([;,].*)?$')
THEN regexp_replace(trace_state, '^(.*,)? *ot=([^,]*;)?th:([0-9a-f]+) *([;,].*)?$', '\3') ELSE 'unknown' END END AS th
FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z' AND parent_span_id IS NULL) GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 200;

-- what was scanned
SELECT (SELECT count(*) FROM spans WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z') + (SELECT count(*) FROM logs WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z') + (SELECT count(*) FROM metrics WHERE time >= '2022-08-22T03:53:54.000000Z' AND time < '2022-08-22T03:54:09.000000Z' AND ingest_time <= '2022-08-22T06:33:20.000000Z') AS n;
