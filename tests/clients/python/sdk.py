"""Sends spans, logs and metrics through the Python SDK with gzip and prints,
as JSON, the rows that must now be found: SQL expression -> value.

usage: sdk.py grpc|http/protobuf ENDPOINT
"""

import json
import logging
import sys

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.metrics import Observation
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace import TraceState

import rows

PROTOCOL, ENDPOINT = sys.argv[1:]


def exporters():
    if PROTOCOL == "grpc":
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        kinds = (OTLPSpanExporter, OTLPLogExporter, OTLPMetricExporter)
        return [k(endpoint=ENDPOINT, insecure=True, compression=Compression.Gzip) for k in kinds]
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    kinds = [
        (OTLPSpanExporter, "traces"),
        (OTLPLogExporter, "logs"),
        (OTLPMetricExporter, "metrics"),
    ]
    return [k(endpoint=f"{ENDPOINT}/v1/{p}", compression=Compression.Gzip) for k, p in kinds]


class Told:
    """An exporter that notes what passes and insists on success."""

    def __init__(self, exporter):
        self.exporter, self.items = exporter, []

    def export(self, items, **more):
        result = self.exporter.export(items, **more)
        assert result.name == "SUCCESS", result
        self.items.extend(items)
        return result

    def __getattr__(self, name):
        return getattr(self.exporter, name)


def send_spans(exporter, resource):
    told = Told(exporter)
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(told))
    tracer = provider.get_tracer("py.tracer", "1.2.3", "https://example.org/schema/1", {"t": 1})
    linked = SpanContext(
        0x11111111111111112222222222222222,
        0x3333333333333333,
        is_remote=True,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("vendor", "1")]),
    )
    with tracer.start_as_current_span(
        "GET /items/{id}",
        kind=SpanKind.SERVER,
        attributes={"http.route": "/items/{id}", "http.response.status_code": 200},
        links=[Link(linked, {"why": "batch"})],
    ) as server:
        server.set_attributes(
            {"text": "naïve ☕", "flag": True, "whole": 2**63 - 1, "half": 0.5, "list": ["a", "b"]}
        )
        server.add_event("cache.miss", {"key": "k1", "size": 3})
        with tracer.start_as_current_span("call", kind=SpanKind.CLIENT) as client:
            client.set_status(Status(StatusCode.ERROR, "refused"))
        try:
            with tracer.start_as_current_span("work"):
                raise ValueError("bad\nvalue")
        except ValueError:
            pass
        server.set_status(StatusCode.OK)
    provider.shutdown()
    assert len(told.items) == 3
    return [rows.span(item) for item in told.items]


def send_logs(exporter, resource):
    told = Told(exporter)
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(told))
    logger = logging.getLogger("py.logger")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(LoggingHandler(logger_provider=provider))
    logger.info("stock is %d", 3, extra={"sku": "tea"})
    try:
        raise KeyError("nothing there")
    except KeyError:
        logger.exception("lookup failed")
    provider.get_logger("py.events", "9", attributes={"s": "v"}).emit(
        LogRecord(
            timestamp=1_700_000_000_123_456_789,
            observed_timestamp=1_700_000_000_123_456_790,
            severity_number=SeverityNumber.WARN2,
            severity_text="warnish",
            event_name="cart.emptied",
            body={"items": ["tea", 2], "total": 1.5},
            attributes={"deep": {"a": [1, True]}, "raw": b"\x00\xff"},
        )
    )
    provider.shutdown()
    assert len(told.items) == 3
    return [rows.log(item) for item in told.items]


def send_metrics(exporter, resource):
    reader = InMemoryMetricReader()
    exponential = View(
        instrument_name="py.exponential", aggregation=ExponentialBucketHistogramAggregation()
    )
    provider = MeterProvider([reader], resource, views=[exponential])
    meter = provider.get_meter("py.meter", "4", "https://example.org/schema/2", {"m": "v"})
    at = {"http.route": "/items/{id}", "tier": "gold"}
    # Inside a sampled span, so that the points carry exemplars.
    with TracerProvider().get_tracer("t").start_as_current_span("measured"):
        meter.create_counter("py.counter", "{item}", "A counter").add(7, at)
        meter.create_histogram("py.histogram", "ms").record(12.5, at)
    meter.create_up_down_counter("py.up_down").add(-4, at)
    meter.create_gauge("py.gauge").set(2.25, at)
    exponents = meter.create_histogram("py.exponential", "s", "An exponential one")
    for value in (0.0, 0.001, 1.5, 300.0):
        exponents.record(value)
    for create, name, value in [
        (meter.create_observable_counter, "py.observable.counter", 10),
        (meter.create_observable_up_down_counter, "py.observable.up_down", -1.5),
        (meter.create_observable_gauge, "py.observable.gauge", 2**62),
    ]:
        create(name, [lambda _, value=value: [Observation(value, at)]])
    data = reader.get_metrics_data()
    assert exporter.export(data) is MetricExportResult.SUCCESS
    exporter.shutdown()
    provider.shutdown()
    return rows.metrics(data)


def main():
    resource = Resource.create(
        {
            "service.name": "py-shop",
            "service.version": "0.9",
            "test.protocol": PROTOCOL,
            "process.threads": 4,
        },
        "https://example.org/schema/resource",
    )
    spans, logs, metrics = exporters()
    found = send_spans(spans, resource)
    found += send_logs(logs, resource)
    found += send_metrics(metrics, resource)
    print(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main()
