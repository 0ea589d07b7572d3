// Sends spans, logs and metrics through the JavaScript SDK with gzip and
// prints, as JSON, the rows that must now be found: SQL expression -> value.
//
// usage: sdk.js grpc|http/protobuf|http/json ENDPOINT
"use strict";

const { SpanKind, SpanStatusCode, TraceFlags, ValueType } = require("@opentelemetry/api");
const { createTraceState, context, trace } = require("@opentelemetry/api");
const { SeverityNumber } = require("@opentelemetry/api-logs");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { LoggerProvider, BatchLogRecordProcessor } = require("@opentelemetry/sdk-logs");
const { AggregationType, MeterProvider, MetricReader } = require("@opentelemetry/sdk-metrics");
const { BasicTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const rows = require("./rows.js");

const [protocol, endpoint] = process.argv.slice(2);

function exporter(signal, name) {
  const suffix = { grpc: "grpc", "http/protobuf": "proto", "http/json": "http" }[protocol];
  const found = require(`@opentelemetry/exporter-${signal}-otlp-${suffix}`)[name];
  const path = { trace: "traces", logs: "logs", metrics: "metrics" }[signal];
  const url = protocol === "grpc" ? endpoint : `${endpoint}/v1/${path}`;
  return new found({ url, compression: "gzip" });
}

// An exporter that notes what passes and insists on success.
function told(inner) {
  const items = [];
  return {
    items,
    export(batch, done) {
      inner.export(batch, (result) => {
        if (result.code !== 0) throw result.error ?? new Error("the export failed");
        items.push(...batch);
        done(result);
      });
    },
    forceFlush: () => inner.forceFlush?.() ?? Promise.resolve(),
    shutdown: () => inner.shutdown(),
  };
}

async function sendSpans(resource) {
  const out = told(exporter("trace", "OTLPTraceExporter"));
  const provider = new BasicTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(out)],
  });
  const schemaUrl = "https://example.org/schema/1";
  const tracer = provider.getTracer("js.tracer", "1.2.3", { schemaUrl });
  const linked = {
    traceId: "11111111111111112222222222222222",
    spanId: "3333333333333333",
    traceFlags: TraceFlags.SAMPLED,
    traceState: createTraceState("vendor=1"),
  };
  const server = tracer.startSpan("GET /items/{id}", {
    kind: SpanKind.SERVER,
    attributes: { "http.route": "/items/{id}", "http.response.status_code": 200 },
    links: [{ context: linked, attributes: { why: "batch" } }],
  });
  server.setAttributes({ text: "naïve ☕", flag: true, half: 0.5, list: ["a", "b"], whole: 2 ** 53 - 1 });
  server.addEvent("cache.miss", { key: "k1", size: 3 });
  const inServer = trace.setSpan(context.active(), server);
  const client = tracer.startSpan("call", { kind: SpanKind.CLIENT }, inServer);
  client.recordException(new TypeError("bad\nvalue"));
  client.setStatus({ code: SpanStatusCode.ERROR, message: "refused" });
  client.end();
  server.setStatus({ code: SpanStatusCode.OK });
  server.end();
  await provider.shutdown();
  return out.items.map(rows.span);
}

async function sendLogs(resource) {
  const out = told(exporter("logs", "OTLPLogExporter"));
  const provider = new LoggerProvider({
    resource,
    processors: [new BatchLogRecordProcessor({ exporter: out })],
  });
  const logger = provider.getLogger("js.logger", "9");
  const spanContext = {
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    traceFlags: TraceFlags.SAMPLED,
  };
  logger.emit({
    severityNumber: SeverityNumber.INFO,
    severityText: "info",
    body: "stock is 3",
    attributes: { sku: "tea", "exception.type": "TypeError" },
    context: trace.setSpanContext(context.active(), spanContext),
  });
  logger.emit({
    timestamp: [1_700_000_000, 123_456_789],
    observedTimestamp: [1_700_000_000, 123_456_790],
    severityNumber: SeverityNumber.WARN2,
    severityText: "warnish",
    eventName: "cart.emptied",
    body: { items: ["tea", 2], total: 1.5 },
    attributes: { deep: { a: [1, true] }, raw: new Uint8Array([0, 255]) },
  });
  await provider.shutdown();
  return out.items.map(rows.log);
}

// Collects when asked, never by itself.
class OnDemand extends MetricReader {
  async onForceFlush() {}
  async onShutdown() {}
}

async function sendMetrics(resource) {
  const reader = new OnDemand();
  const provider = new MeterProvider({
    resource,
    readers: [reader],
    views: [
      {
        instrumentName: "js.exponential",
        aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM },
      },
    ],
  });
  const meter = provider.getMeter("js.meter", "4", { schemaUrl: "https://example.org/schema/2" });
  const at = { "http.route": "/items/{id}", tier: "gold" };
  const valueType = ValueType.INT;
  meter.createCounter("js.counter", { unit: "{item}", description: "A counter", valueType }).add(7, at);
  meter.createUpDownCounter("js.up_down").add(-4.5, at);
  meter.createHistogram("js.histogram", { unit: "ms" }).record(12.5, at);
  meter.createGauge("js.gauge").record(2.25, at);
  const exponents = meter.createHistogram("js.exponential", { unit: "s" });
  for (const value of [0, 0.001, 1.5, 300]) exponents.record(value);
  meter
    .createObservableCounter("js.observable.counter", { valueType })
    .addCallback((result) => result.observe(10, at));
  meter
    .createObservableUpDownCounter("js.observable.up_down")
    .addCallback((result) => result.observe(-1.5, at));
  meter
    .createObservableGauge("js.observable.gauge", { valueType })
    .addCallback((result) => result.observe(2 ** 40 + 1, at));
  const { resourceMetrics, errors } = await reader.collect();
  if (errors.length > 0) throw errors[0];
  const out = exporter("metrics", "OTLPMetricExporter");
  await new Promise((resolve, reject) => {
    out.export(resourceMetrics, (result) => {
      if (result.code === 0) resolve();
      else reject(result.error ?? new Error("the export failed"));
    });
  });
  await out.shutdown();
  await provider.shutdown();
  return rows.metrics(resourceMetrics);
}

async function main() {
  const resource = resourceFromAttributes({
    "service.name": "js-shop",
    "service.version": "0.9",
    "test.protocol": protocol,
    "process.threads": 4,
  });
  const found = [
    ...(await sendSpans(resource)),
    ...(await sendLogs(resource)),
    ...(await sendMetrics(resource)),
  ];
  process.stdout.write(JSON.stringify(found));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
