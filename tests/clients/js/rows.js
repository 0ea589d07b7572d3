// What a span, log record or metric point of the JavaScript SDK is as a row:
// { table, where, gives: { SQL expression: value } }. 64-bit integers are texts.
"use strict";

const { SpanKind, SpanStatusCode, ValueType } = require("@opentelemetry/api");
const { AggregationTemporality, DataPointType } = require("@opentelemetry/sdk-metrics");

// The record attributes of the script that have a column of their own.
const PROMOTED = {
  spans: ["http.route", "http.response.status_code"],
  logs: ["exception.type"],
  metrics: ["http.route"],
};

const nanos = ([seconds, nano]) => BigInt(seconds) * 1_000_000_000n + BigInt(nano);
const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

// An attribute value as the tables keep it.
function text(value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function attributes(column, of) {
  const entries = Object.entries(of ?? {});
  return Object.fromEntries(entries.map(([k, v]) => [`${column}[${quoted(k)}]`, text(v)]));
}

// The record's attributes by their keys, by their columns, and no others.
function ownAttributes(table, of) {
  const gives = attributes("attributes", of);
  const keys = Object.keys(of);
  const promoted = keys.filter((key) => PROMOTED[table].includes(key));
  for (const key of promoted) gives[`"${key}"`] = text(of[key]);
  gives["coalesce(cardinality(map_keys(attributes)), 0)"] = keys.length - promoted.length;
  return gives;
}

const protocol = (resource) => resource.attributes["test.protocol"];

function common(resource, scope) {
  return {
    service_name: "js-shop",
    service_version: "0.9",
    scope_name: scope.name,
    scope_version: scope.version ?? null,
    scope_schema_url: scope.schemaUrl ?? null,
    ...attributes("resource_attributes", resource.attributes),
  };
}

exports.span = (s) => {
  const { traceId, spanId } = s.spanContext();
  const gives = {
    ...common(s.resource, s.instrumentationScope),
    ...ownAttributes("spans", s.attributes),
    trace_id: traceId,
    parent_span_id: s.parentSpanContext?.spanId ?? null,
    name: s.name,
    kind: SpanKind[s.kind],
    time_unix_nano: String(nanos(s.startTime)),
    duration_ns: String(nanos(s.endTime) - nanos(s.startTime)),
    status_code: SpanStatusCode[s.status.code],
    "coalesce(status_message, '')": s.status.message ?? "",
    "coalesce(cardinality(events), 0)": s.events.length,
    "coalesce(cardinality(links), 0)": s.links.length,
  };
  s.events.forEach((event, n) => {
    const at = `events[${n + 1}]`;
    gives[`${at}['name']`] = event.name;
    gives[`${at}['time_unix_nano']`] = String(nanos(event.time));
    Object.assign(gives, attributes(`${at}['attributes']`, event.attributes));
  });
  s.links.forEach((link, n) => {
    const at = `links[${n + 1}]`;
    gives[`${at}['trace_id']`] = link.context.traceId;
    gives[`${at}['span_id']`] = link.context.spanId;
    gives[`${at}['trace_state']`] = link.context.traceState.serialize();
    Object.assign(gives, attributes(`${at}['attributes']`, link.attributes));
  });
  return { table: "spans", where: `span_id = '${spanId}'`, gives };
};

exports.log = (r) => {
  const structured = typeof r.body === "object";
  const gives = {
    ...common(r.resource, r.instrumentationScope),
    ...ownAttributes("logs", r.attributes),
    observed_time_unix_nano: String(nanos(r.hrTimeObserved)),
    severity_number: r.severityNumber,
    severity_text: r.severityText,
    body: text(r.body),
    body_type: structured ? "j" : "s",
    event_name: r.eventName ?? null,
    trace_id: r.spanContext?.traceId ?? null,
    span_id: r.spanContext?.spanId ?? null,
  };
  const where =
    `time_unix_nano = ${nanos(r.hrTime)}` +
    ` AND resource_attributes['test.protocol'] = '${protocol(r.resource)}'`;
  return { table: "logs", where, gives };
};

function kind(metric) {
  switch (metric.dataPointType) {
    case DataPointType.GAUGE:
      return "GAUGE";
    case DataPointType.SUM:
      return "SUM";
    case DataPointType.HISTOGRAM:
      return "HISTOGRAM";
    default:
      return "EXPONENTIAL_HISTOGRAM";
  }
}

function point(metric, p) {
  const gives = {
    ...ownAttributes("metrics", p.attributes),
    metric_kind: kind(metric),
    "coalesce(unit, '')": metric.descriptor.unit,
    "coalesce(description, '')": metric.descriptor.description,
    time_unix_nano: String(nanos(p.endTime)),
  };
  if (kind(metric) !== "GAUGE") {
    gives.start_time_unix_nano = String(nanos(p.startTime));
    gives.temporality = AggregationTemporality[metric.aggregationTemporality];
  }
  if (kind(metric) === "SUM") gives.is_monotonic = metric.isMonotonic;
  const value = p.value;
  if (typeof value === "number") {
    const whole = metric.descriptor.valueType === ValueType.INT;
    gives.value = value;
    gives.value_int = whole ? String(value) : null;
    return gives;
  }
  Object.assign(gives, { count: value.count, sum: value.sum, min: value.min, max: value.max });
  if (value.buckets !== undefined) {
    gives.bucket_counts = value.buckets.counts;
    gives.explicit_bounds = value.buckets.boundaries;
  } else {
    gives.scale = value.scale;
    gives.zero_count = value.zeroCount;
    gives.positive_offset = value.positive.offset;
    gives.positive_counts = value.positive.bucketCounts;
  }
  return gives;
}

exports.metrics = (data) => {
  const found = [];
  for (const { scope, metrics } of data.scopeMetrics) {
    for (const metric of metrics) {
      for (const p of metric.dataPoints) {
        const where =
          `metric_name = '${metric.descriptor.name}'` +
          ` AND resource_attributes['test.protocol'] = '${protocol(data.resource)}'`;
        const gives = { ...common(data.resource, scope), ...point(metric, p) };
        found.push({ table: "metrics", where, gives });
      }
    }
  }
  return found;
};
