"""What a span, log record or metric point of the Python SDK is as a row:
{"table", "where", "gives": {SQL expression: value}}.
"""

import base64
import json

# The record attributes below that have a column of their own.
PROMOTED = {
    "spans": {"http.route", "http.response.status_code"},
    "logs": {"exception.type"},
    "metrics": {"http.route"},
}


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def as_json(value):
    """Structured values as the tables keep them: compact JSON text."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def text(value):
    """An attribute value as the tables keep it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (tuple, list, dict)) or hasattr(value, "items"):
        plain = dict(value) if hasattr(value, "items") else list(value)
        return as_json(json.loads(json.dumps(plain, default=plain_json)))
    return str(value)


def plain_json(value):
    return dict(value) if hasattr(value, "items") else list(value)


def hex_or_null(number, digits):
    return format(number, f"0{digits}x") if number else None


def attributes(column, of):
    return {f"{column}[{quoted(k)}]": text(v) for k, v in of.items()}


def own_attributes(table, of):
    """The record's attributes by their keys, by their columns, and no others."""
    gives = attributes("attributes", of)
    gives |= {f'"{k}"': text(of[k]) for k in of if k in PROMOTED[table]}
    in_map = [k for k in of if k not in PROMOTED[table]]
    return gives | {"coalesce(cardinality(map_keys(attributes)), 0)": len(in_map)}


def common(resource, scope):
    return {
        "service_name": "py-shop",
        "service_version": "0.9",
        "resource_schema_url": resource.schema_url,
        "scope_name": scope.name,
        "scope_version": scope.version or None,
        "scope_schema_url": scope.schema_url or None,
        **attributes("resource_attributes", resource.attributes),
        **attributes("scope_attributes", scope.attributes or {}),
    }


def span(s):
    gives = common(s.resource, s.instrumentation_scope) | own_attributes("spans", s.attributes)
    gives |= {
        "trace_id": format(s.context.trace_id, "032x"),
        "parent_span_id": hex_or_null(s.parent.span_id if s.parent else 0, 16),
        "name": s.name,
        "kind": s.kind.name,
        "time_unix_nano": s.start_time,
        "duration_ns": s.end_time - s.start_time,
        "status_code": s.status.status_code.name,
        "coalesce(status_message, '')": s.status.description or "",
        "is_error": s.status.status_code.name == "ERROR",
        "coalesce(cardinality(events), 0)": len(s.events),
        "coalesce(cardinality(links), 0)": len(s.links),
    }
    for n, event in enumerate(s.events, 1):
        at = f"events[{n}]"
        gives |= {f"{at}['name']": event.name, f"{at}['time_unix_nano']": event.timestamp}
        gives |= attributes(f"{at}['attributes']", event.attributes)
    for n, link in enumerate(s.links, 1):
        at = f"links[{n}]"
        gives |= {
            f"{at}['trace_id']": format(link.context.trace_id, "032x"),
            f"{at}['span_id']": format(link.context.span_id, "016x"),
            # The SDK's exporter leaves a link's trace state behind.
            f"{at}['trace_state']": None,
        }
        gives |= attributes(f"{at}['attributes']", link.attributes)
    span_id = format(s.context.span_id, "016x")
    return {"table": "spans", "where": f"span_id = '{span_id}'", "gives": gives}


def log(item):
    r = item.log_record
    structured = not isinstance(r.body, str)
    gives = common(item.resource, item.instrumentation_scope)
    gives |= own_attributes("logs", r.attributes or {})
    gives |= {
        "observed_time_unix_nano": r.observed_timestamp,
        "severity_number": r.severity_number.value,
        "severity_text": r.severity_text,
        "body": as_json(r.body) if structured else r.body,
        "body_type": "j" if structured else "s",
        "event_name": r.event_name or None,
        "trace_id": hex_or_null(r.trace_id, 32),
        "span_id": hex_or_null(r.span_id, 16),
    }
    where = f"time_unix_nano = {r.timestamp} AND scope_name = '{item.instrumentation_scope.name}'"
    where += f" AND resource_attributes['test.protocol'] = '{protocol(item.resource)}'"
    return {"table": "logs", "where": where, "gives": gives}


def protocol(resource):
    return resource.attributes["test.protocol"]


KINDS = {
    "Gauge": "GAUGE",
    "Sum": "SUM",
    "Histogram": "HISTOGRAM",
    "ExponentialHistogram": "EXPONENTIAL_HISTOGRAM",
}


def point(metric, p):
    kind = type(metric.data).__name__
    gives = own_attributes("metrics", p.attributes) | {
        "metric_kind": KINDS[kind],
        "coalesce(unit, '')": metric.unit,
        "coalesce(description, '')": metric.description,
        "time_unix_nano": p.time_unix_nano,
        "coalesce(cardinality(exemplars), 0)": len(p.exemplars),
    }
    for n, exemplar in enumerate(p.exemplars, 1):
        gives |= {
            f"exemplars[{n}]['time_unix_nano']": exemplar.time_unix_nano,
            f"exemplars[{n}]['value']": float(exemplar.value),
            f"exemplars[{n}]['trace_id']": hex_or_null(exemplar.trace_id, 32),
            f"exemplars[{n}]['span_id']": hex_or_null(exemplar.span_id, 16),
        }
    if kind != "Gauge":
        gives["start_time_unix_nano"] = p.start_time_unix_nano
        gives["temporality"] = metric.data.aggregation_temporality.name
    if kind == "Sum":
        gives["is_monotonic"] = metric.data.is_monotonic
    if kind in ("Sum", "Gauge"):
        gives["value"] = float(p.value)
        gives["value_int"] = p.value if isinstance(p.value, int) else None
    else:
        gives |= {"count": p.count, "sum": p.sum, "min": p.min, "max": p.max}
    if kind == "Histogram":
        gives["bucket_counts"] = list(p.bucket_counts)
        gives["explicit_bounds"] = list(p.explicit_bounds)
    if kind == "ExponentialHistogram":
        gives |= {
            "scale": p.scale,
            "zero_count": p.zero_count,
            "positive_offset": p.positive.offset,
            "positive_counts": list(p.positive.bucket_counts),
        }
    return gives


def metrics(data):
    found = []
    for of_resource in data.resource_metrics:
        resource = of_resource.resource
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                for p in metric.data.data_points:
                    where = f"metric_name = '{metric.name}'"
                    where += f" AND resource_attributes['test.protocol'] = '{protocol(resource)}'"
                    gives = common(resource, of_scope.scope) | point(metric, p)
                    found.append({"table": "metrics", "where": where, "gives": gives})
    return found
