//! A small shop: six services, ten minutes, and a release that exhausts its
//! database connections. The same every time but for the clock.
//!
//! | file | its part |
//! | --- | --- |
//! | this one | what happens in the shop |
//! | [`window`] | the telemetry of some seconds, as OTLP/JSON requests |
//! | [`detail`] | the attributes that SDKs add to it |
//!
//! The load bench sends the same, by a busier shop (`benches/ingest`).

mod detail;
mod window;

use std::ops::Range;

use serde_json::{Value, json};

use detail::text;
pub use window::{Counts, Window};
use window::{Instance, Served};

const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLI;
const MINUTE: i64 = 60 * SECOND;

/// What one exporter would send at once.
const WINDOW: i64 = 15 * SECOND;

const SERVICES: [&str; 6] = ["frontend", "catalog", "cart", "checkout", "payment", "shipping"];

/// OTLP's numbers.
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const INFO: u8 = 9;
const ERROR: u8 = 17;

pub struct Shop {
    random: Random,
    now: i64,
    end: i64,
    fault: Range<i64>,
    visits: i64,
    orders: i64,
    shop: u64,
    window: Window,
}

/// How a call went: when it ended, and whether it failed.
struct Done {
    end: i64,
    failed: bool,
}

/// Where a call comes from.
#[derive(Clone, Copy)]
struct From<'a> {
    service: &'static str,
    trace: &'a str,
    parent: &'a str,
}

impl Shop {
    /// The ten minutes before `now`; the fault is in the last four of them. There are
    /// `visits` a second. Shops of other numbers are as alike as two shops are.
    pub fn open(now: i64, visits: i64, shop: u64) -> Shop {
        // Whole seconds read better in the questions.
        let now = now / SECOND * SECOND;
        let begin = now - 10 * MINUTE;
        Shop {
            random: Random(0x5ee0_c10d_5a11_0001 ^ shop << 20),
            shop,
            now: begin,
            end: now,
            fault: begin + 6 * MINUTE..now,
            visits,
            orders: 0,
            window: Window::of(shop),
        }
    }

    /// When payment 1.4.0 was live, nanoseconds since 1970.
    pub fn fault(&self) -> Range<i64> {
        self.fault.clone()
    }

    pub fn next_window(&mut self) -> Option<Window> {
        // The last requests must have ended by now.
        if self.now + WINDOW > self.end - 2 * SECOND {
            return None;
        }
        for at in 0..WINDOW / SECOND * self.visits {
            let start = self.now + at * SECOND / self.visits;
            let start = start + self.random.between(0, 200) * MILLI;
            match self.random.between(0, 10) {
                0..4 => self.browse(start),
                4..7 => self.fill_cart(start),
                _ => self.check_out(start),
            }
        }
        self.measure();
        self.now += WINDOW;
        Some(std::mem::replace(&mut self.window, Window::of(self.shop)))
    }

    fn browse(&mut self, start: i64) {
        self.visit("GET /products", start, |shop, from, at| {
            shop.call(from, "catalog", "GET /products", at, |shop, from, at| {
                shop.database(from, "SELECT products", at, 2..9)
            })
        });
    }

    fn fill_cart(&mut self, start: i64) {
        self.visit("POST /cart", start, |shop, from, at| {
            shop.call(from, "cart", "POST /items", at, |shop, from, at| {
                shop.database(from, "UPDATE carts", at, 1..5)
            })
        });
    }

    fn check_out(&mut self, start: i64) {
        self.visit("POST /checkout", start, |shop, from, at| {
            shop.call(from, "checkout", "POST /orders", at, |shop, from, at| {
                let cart = shop.call(from, "cart", "GET /items", at, |shop, from, at| {
                    shop.database(from, "SELECT carts", at, 1..4)
                });
                let paid = shop.call(from, "payment", "POST /charges", cart.end, Shop::charge);
                if paid.failed {
                    let body = "order not placed: payment answered 503";
                    shop.log(from, paid.end, ERROR, body);
                    return paid;
                }
                shop.orders += 1;
                shop.log(from, paid.end, INFO, &format!("order {} placed", 40_000 + shop.orders));
                let wait = shop.random.between(4, 14) * MILLI;
                shop.call(from, "shipping", "POST /parcels", paid.end, |_, _, at| Done {
                    end: at + wait,
                    failed: false,
                })
            })
        });
    }

    /// Payment 1.4.0 forgets to give connections back.
    fn charge(&mut self, from: From<'_>, at: i64) -> Done {
        if !self.fault.contains(&at) || self.random.between(0, 10) < 3 {
            return self.database(from, "INSERT charges", at, 12..35);
        }
        let got = at + self.random.between(300, 1_000) * MILLI;
        if self.random.between(0, 10) < 4 {
            let body =
                "charge failed: no database connection within 1 s, all 10 of the pool are in use";
            self.log(from, got, ERROR, body);
            return Done { end: got, failed: true };
        }
        self.database(from, "INSERT charges", got, 12..35)
    }

    fn database(&mut self, from: From<'_>, name: &str, at: i64, millis: Range<i64>) -> Done {
        let end = at + self.random.between(millis.start, millis.end) * MILLI;
        let attributes = detail::database(name);
        let id = self.random.hex(8);
        self.span(from, &id, name, CLIENT, at..end, attributes, false);
        Done { end, failed: false }
    }

    /// A visitor's request, the root of a trace.
    fn visit(
        &mut self,
        name: &'static str,
        start: i64,
        work: impl FnOnce(&mut Shop, From<'_>, i64) -> Done,
    ) {
        let (trace, id) = (self.random.hex(16), self.random.hex(8));
        let from = From { service: "frontend", trace: &trace, parent: &id };
        let done = work(self, from, start + MILLI);
        let root = From { parent: "", ..from };
        self.serve(root, &id, name, start..done.end + MILLI, done.failed);
    }

    /// A call from one service to another: a span on either side.
    fn call(
        &mut self,
        from: From<'_>,
        to: &'static str,
        name: &'static str,
        start: i64,
        work: impl FnOnce(&mut Shop, From<'_>, i64) -> Done,
    ) -> Done {
        let (here, there) = (self.random.hex(8), self.random.hex(8));
        let network = self.random.between(200, 900) * 1_000;
        let arrived = start + network;
        let inside = From { service: to, trace: from.trace, parent: &there };
        let done = work(self, inside, arrived + MILLI / 2);
        let answered = done.end + MILLI / 2;
        self.serve(From { parent: &here, ..inside }, &there, name, arrived..answered, done.failed);
        let attributes = detail::client(name, done.failed, to);
        let end = answered + network;
        self.span(from, &here, name, CLIENT, start..end, attributes, done.failed);
        Done { end, failed: done.failed }
    }

    fn serve(&mut self, from: From<'_>, id: &str, name: &str, time: Range<i64>, failed: bool) {
        let instance = self.instance(from.service, time.start);
        let seconds = (time.end - time.start) as f64 / SECOND as f64;
        self.window.serve(instance, Served { name: name.to_owned(), failed }, seconds);
        let attributes = detail::server(name, failed, self.random.between(1, 65));
        self.span(from, id, name, SERVER, time, attributes, failed);
    }

    #[expect(clippy::too_many_arguments, reason = "a span's own fields")]
    fn span(
        &mut self,
        from: From<'_>,
        id: &str,
        name: &str,
        kind: u8,
        time: Range<i64>,
        attributes: Value,
        failed: bool,
    ) {
        let instance = self.instance(from.service, time.start);
        self.window.span(
            instance,
            json!({
                "traceId": from.trace,
                "spanId": id,
                "parentSpanId": from.parent,
                "name": name,
                "kind": kind,
                "startTimeUnixNano": time.start.to_string(),
                "endTimeUnixNano": time.end.to_string(),
                "attributes": attributes,
                "status": { "code": if failed { 2 } else { 0 } },
            }),
        );
    }

    fn log(&mut self, from: From<'_>, at: i64, severity: u8, body: &str) {
        let instance = self.instance(from.service, at);
        let attributes = detail::record(from.service, self.random.between(1, 65));
        self.window.log(
            instance,
            json!({
                "timeUnixNano": at.to_string(),
                "observedTimeUnixNano": at.to_string(),
                "severityNumber": severity,
                "severityText": if severity >= ERROR { "ERROR" } else { "INFO" },
                "body": { "stringValue": body },
                "traceId": from.trace,
                "spanId": from.parent,
                "attributes": attributes,
            }),
        );
    }

    /// Once per window: what was served and how fast, connections in use, orders so far,
    /// and what the processes take.
    fn measure(&mut self) {
        let at = self.now + WINDOW;
        self.window.measure_served(self.now..at);
        let used = if self.fault.contains(&at) { 10 } else { self.random.between(2, 6) };
        let time = self.end - 10 * MINUTE..at;
        let pool = [
            text("db.client.connection.pool.name", "charges"),
            text("db.client.connection.state", "used"),
        ];
        let used = sum("db.client.connection.count", "{connection}", false, &time, used, &pool);
        let orders = sum("shop.orders", "{order}", true, &time, self.orders, &[]);
        for (service, metric) in [("payment", used), ("checkout", orders)] {
            self.window.metric(self.instance(service, self.now), metric);
        }
        for service in SERVICES {
            let memory = self.random.between(180 << 20, 260 << 20);
            let cpu = self.random.between(20, 400) as f64 / 1_000.0;
            let instance = self.instance(service, self.now);
            let memory = sum("process.memory.usage", "By", false, &time, memory, &[]);
            let point = json!({ "timeUnixNano": at.to_string(), "asDouble": cpu });
            let cpu = json!({
                "name": "process.cpu.utilization", "unit": "1", "gauge": { "dataPoints": [point] },
            });
            self.window.metric(instance, memory);
            self.window.metric(instance, cpu);
        }
    }

    fn instance(&self, service: &'static str, at: i64) -> Instance {
        let version = match service {
            "payment" if self.fault.contains(&at) => "1.4.0",
            "payment" => "1.3.2",
            _ => "2.0.1",
        };
        (service, version)
    }
}

/// A sum with one point.
fn sum(
    name: &str,
    unit: &str,
    is_monotonic: bool,
    time: &Range<i64>,
    value: i64,
    attributes: &[Value],
) -> Value {
    json!({
        "name": name,
        "unit": unit,
        "sum": { "aggregationTemporality": 2, "isMonotonic": is_monotonic, "dataPoints": [{
            "startTimeUnixNano": time.start.to_string(),
            "timeUnixNano": time.end.to_string(),
            "asInt": value.to_string(),
            "attributes": attributes,
        }]},
    })
}

/// xorshift64*: repeatable, and good enough to look like a shop.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From `low` up to, not including, `high`.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() >> 33) as i64 % (high - low).max(1)
    }

    /// A random id of that many bytes.
    fn hex(&mut self, bytes: usize) -> String {
        let mut id = String::new();
        while id.len() < bytes * 2 {
            id.push_str(&format!("{:016x}", self.next()));
        }
        id.truncate(bytes * 2);
        id
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn items<'a>(request: &'a Value, path: &[&str]) -> Vec<&'a Value> {
        path.iter().fold(vec![request], |found, key| {
            found.iter().filter_map(|value| value[*key].as_array()).flatten().collect()
        })
    }

    /// Scenario: the shop's ten minutes are generated.
    /// Guarantees: every span lies in its parent, nothing is from the future, and
    /// payment fails during the fault and only then.
    #[test]
    fn the_shop_is_believable() {
        let now = 1_700_000_000_000_000_000;
        let mut shop = Shop::open(now, 2, 0);
        let fault = shop.fault();
        let mut counts = Counts::default();
        let (mut failed, mut charges) = ([0, 0], [0, 0]);
        while let Some(window) = shop.next_window() {
            counts.add(&window);
            let (_, request) = &window.requests()[0];
            let number =
                |span: &Value, key: &str| span[key].as_str().unwrap().parse::<i64>().unwrap();
            let time =
                |span: &Value| number(span, "startTimeUnixNano")..number(span, "endTimeUnixNano");
            let spans = items(request, &["resourceSpans", "scopeSpans", "spans"]);
            let by_id: BTreeMap<_, _> =
                spans.iter().map(|span| (span["spanId"].as_str().unwrap(), *span)).collect();
            assert_eq!(by_id.len(), spans.len());
            for span in &spans {
                let own = time(span);
                assert!(own.start < own.end && own.end <= now, "{span}");
                if let Some(parent) = by_id.get(span["parentSpanId"].as_str().unwrap()) {
                    let outer = time(parent);
                    assert!(outer.start <= own.start && own.end <= outer.end, "{span} in {parent}");
                    assert_eq!(parent["traceId"], span["traceId"]);
                }
                if span["name"] == "POST /charges" && span["kind"] == SERVER {
                    let during = usize::from(fault.contains(&own.start));
                    charges[during] += 1;
                    failed[during] += usize::from(span["status"]["code"] == 2);
                }
            }
        }
        assert!(counts.spans > 5_000 && counts.logs > 200 && counts.points > 500, "{counts:?}");
        assert!(charges[0] > 50 && charges[1] > 50 && failed[0] == 0, "{charges:?} {failed:?}");
        assert!(failed[1] * 5 > charges[1], "{charges:?} {failed:?}");
    }
}
