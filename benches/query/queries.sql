-- Typical questions, put to Cloudsail, DuckDB and chDB. Macros, per engine, in run.py:
--   TS(text)  P99(x)  MINUTE(t)  ATTR(key)  a record's attribute that has a column
-- The data set: 2026-11-22, 24 hours; an incident in payment-service from 23:30.

-- name: red_per_service_minute
SELECT service_name, MINUTE(time) AS m, count(*) AS n, sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END) AS errors, avg(duration_ns) AS mean, P99(duration_ns) AS p99
FROM spans WHERE time >= TS('2026-11-22 22:00:00') AND time < TS('2026-11-22 23:00:00') AND kind = 'SERVER'
GROUP BY service_name, MINUTE(time) ORDER BY service_name, m

-- name: p99_by_route_last_hour
SELECT service_name, "http.route" AS route, count(*) AS n, P99(duration_ns) AS p99
FROM spans WHERE time >= TS('2026-11-22 23:00:00') AND "http.route" IS NOT NULL
GROUP BY service_name, "http.route" ORDER BY p99 DESC LIMIT 50

-- name: trace_by_id
SELECT * FROM spans WHERE trace_id = '{TRACE_ID}' ORDER BY time

-- name: trace_by_id_with_hour
SELECT * FROM spans WHERE trace_id = '{TRACE_ID}' AND time >= TS('{TRACE_LO}') AND time < TS('{TRACE_HI}') ORDER BY time

-- name: map_attribute_equals
SELECT time, service_name, name, trace_id, duration_ns FROM spans
WHERE time >= TS('2026-11-22 18:00:00') AND attributes['user.id'] = '{USER_ID}' ORDER BY time DESC LIMIT 100

-- name: log_errors_like
SELECT time, service_name, body FROM logs
WHERE severity_number >= 17 AND body LIKE '%deadlock%' ORDER BY time DESC LIMIT 100

-- name: log_like_all_levels_count
SELECT service_name, count(*) AS n FROM logs WHERE body LIKE '%order 12345%' GROUP BY service_name ORDER BY n DESC, service_name

-- name: top_slow_spans
SELECT time, service_name, name, trace_id, duration_ns FROM spans
WHERE time >= TS('2026-11-22 20:00:00') ORDER BY duration_ns DESC LIMIT 20

-- name: latest_100_of_service
SELECT time, name, trace_id, duration_ns, status_code, attributes FROM spans
WHERE service_name = 'checkout-service' ORDER BY time DESC LIMIT 100

-- name: distinct_services
SELECT DISTINCT service_name FROM spans ORDER BY service_name

-- name: service_graph
SELECT p.service_name AS caller, c.service_name AS callee, count(*) AS calls, sum(CASE WHEN c.status_code = 'ERROR' THEN 1 ELSE 0 END) AS errors, avg(c.duration_ns) AS mean
FROM spans c JOIN spans p ON c.parent_span_id = p.span_id AND c.trace_id = p.trace_id
WHERE c.time >= TS('2026-11-22 22:00:00') AND c.time < TS('2026-11-22 23:00:00')
  AND p.time >= TS('2026-11-22 22:00:00') AND p.time < TS('2026-11-22 23:00:00')
  AND c.service_name <> p.service_name
GROUP BY p.service_name, c.service_name ORDER BY calls DESC, caller, callee LIMIT 100

-- name: group_by_high_cardinality
SELECT attributes['user.id'] AS u, count(*) AS n, sum(duration_ns) AS total FROM spans
WHERE time >= TS('2026-11-22 18:00:00') GROUP BY attributes['user.id'] ORDER BY n DESC, u LIMIT 20

-- name: error_rate_before_after
SELECT service_name,
  sum(CASE WHEN time >= TS('2026-11-22 23:30:00') AND status_code = 'ERROR' THEN 1 ELSE 0 END) * 1.0 / sum(CASE WHEN time >= TS('2026-11-22 23:30:00') THEN 1 ELSE 0 END) AS after_rate,
  sum(CASE WHEN time < TS('2026-11-22 23:30:00') AND status_code = 'ERROR' THEN 1 ELSE 0 END) * 1.0 / sum(CASE WHEN time < TS('2026-11-22 23:30:00') THEN 1 ELSE 0 END) AS before_rate
FROM spans WHERE time >= TS('2026-11-22 22:30:00') GROUP BY service_name ORDER BY after_rate - before_rate DESC, service_name

-- name: count_time_range
SELECT count(*) AS n FROM spans WHERE time >= TS('2026-11-22 10:30:00') AND time < TS('2026-11-22 15:45:00')

-- name: logs_of_trace
SELECT time, service_name, severity_text, body FROM logs WHERE trace_id = '{TRACE_ID}' ORDER BY time

-- name: full_scan_red_day
SELECT service_name, count(*) AS n, sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END) AS errors, avg(duration_ns) AS mean FROM spans GROUP BY service_name ORDER BY service_name

-- name: extra_route_column_equals
SELECT time, service_name, name, trace_id, duration_ns FROM spans
WHERE "http.route" = '/api/v1/checkout-service/op3/{id}' ORDER BY time DESC LIMIT 100

-- name: extra_promoted_route_equals
SELECT time, service_name, name, trace_id, duration_ns FROM spans
WHERE ATTR(http.route) = '/api/v1/checkout-service/op3/{id}' ORDER BY time DESC LIMIT 100

-- name: extra_promoted_path_equals
SELECT time, service_name, name, trace_id, duration_ns FROM spans
WHERE ATTR(url.path) = '{URL_PATH}' ORDER BY time DESC LIMIT 100
