"""A shop of two HTTP services on loopback, under load, that sends its spans by
the OpenTelemetry SDK: checkout answers users and asks payment. `POST /fault`
makes calls to payment slow and half of the checkouts fail, `POST /heal` ends
that, `GET /state` says what holds. Prints checkout's address once it serves,
and ends when its standard input does.

usage: shop.py OTLP_HTTP_ENDPOINT REQUESTS_PER_SECOND
"""

import http.client
import itertools
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

ENDPOINT, RATE = sys.argv[1], float(sys.argv[2])
DELAY = 0.5
faulty = threading.Event()
chance = random.Random(7)
turn = itertools.count()


def tracer(service):
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=f"{ENDPOINT}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    return provider.get_tracer("shop")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Payment(Handler):
    spans = tracer("payment")

    def do_POST(self):
        where = extract(self.headers)
        with self.spans.start_as_current_span("POST /pay", where, SpanKind.SERVER):
            time.sleep(chance.uniform(0.002, 0.006))
            self.answer(200)


class Checkout(Handler):
    spans = tracer("checkout")

    def do_GET(self):
        self.answer(200, b"faulty" if faulty.is_set() else b"healthy")

    def do_POST(self):
        if self.path == "/fault":
            faulty.set()
            return self.answer(204)
        if self.path == "/heal":
            faulty.clear()
            return self.answer(204)
        with self.spans.start_as_current_span("POST /checkout", kind=SpanKind.SERVER) as span:
            time.sleep(chance.uniform(0.002, 0.006))
            bad = faulty.is_set()
            with self.spans.start_as_current_span("POST", kind=SpanKind.CLIENT):
                headers = {}
                inject(headers)
                if bad:
                    time.sleep(DELAY)
                post(payment, "/pay", headers)
            failed = bad and next(turn) % 2 == 0
            if failed:
                span.set_status(StatusCode.ERROR, "payment took too long")
            self.answer(500 if failed else 200)


def post(server, path, headers=None):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.request("POST", path, headers=headers or {})
    connection.getresponse().read()
    connection.close()


def load():
    """Requests at an even rate, each in a thread of its own, as users come."""
    while True:
        threading.Thread(target=post, args=(checkout, "/checkout"), daemon=True).start()
        time.sleep(1 / RATE)


payment = ThreadingHTTPServer(("127.0.0.1", 0), Payment)
checkout = ThreadingHTTPServer(("127.0.0.1", 0), Checkout)
for work in (payment.serve_forever, checkout.serve_forever, load):
    threading.Thread(target=work, daemon=True).start()
print("http://{}:{}".format(*checkout.server_address), flush=True)
sys.stdin.read()
