//! Rate, errors and duration of a service by metrics, for spans that were sampled
//! by nobody knows what chance. Histograms of both kinds and counters, cumulative
//! ones as what they grew by: one that begins anew is counted from nothing. Of a
//! duration only the two ends of its bucket are known.

use super::answer::Rows;
use super::ask::Table;
use super::text::{Stretch, literal};
use crate::document::provider::{Family, Indicator, Measure, Nature, Subject};
use crate::verdict::evidence::Gap;

/// What servers tell themselves (semantic conventions, and those before them):
/// each request is told by one of these, so they are summed.
const TOLD: &[&str] = &[
    "http.server.request.duration",
    "http.server.duration",
    "rpc.server.call.duration",
    "rpc.server.duration",
];
/// What a collector made of spans, before it sampled them: these count all of the
/// above again.
const OF_SPANS: [(&[&str], &[&str]); 2] = [
    (&["traces.span.metrics.duration"], &["traces.span.metrics.calls"]),
    (&["duration"], &["calls"]),
];

/// The measure that asks for the same by metrics.
pub fn instead_of(measure: &Measure) -> Option<Measure> {
    matches!(measure.family, Family::Red | Family::Slo)
        .then(|| Measure { family: Family::Meter, ..measure.clone() })
}

/// Which of them a service tells: metric_name.
pub fn told(measure: &Measure, stretch: &Stretch<'_>) -> String {
    let mut all = TOLD.to_vec();
    all.extend(OF_SPANS.iter().flat_map(|(durations, calls)| [*durations, *calls].concat()));
    format!(
        "SELECT metric_name, count(*) AS n FROM metrics WHERE {}\nAND {} AND metric_name IN ({}) GROUP BY 1 ORDER BY 1",
        stretch.window(),
        subject(measure),
        listed(&all),
    )
}

/// Those that are judged by: a service's own word, else a collector's.
pub fn chosen(measure: &Measure, table: &Table) -> Result<Vec<&'static str>, Gap> {
    let rows = Rows::of(table)?;
    let told: Vec<&str> = rows.iter().filter_map(|row| row.get("metric_name")?.as_str()).collect();
    let of = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().copied().filter(|name| told.contains(name)).collect()
    };
    let durations = measure.indicator.nature() == Nature::Duration;
    let by_spans = OF_SPANS.iter().map(|(d, calls)| of(if durations { d } else { calls }));
    let mut each = std::iter::once(of(TOLD)).chain(by_spans);
    Ok(each.find(|names| !names.is_empty()).unwrap_or_default())
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
}

/// The points of a subject: an endpoint is what its server spans would be called.
fn subject(measure: &Measure) -> String {
    let Subject::Service { service, endpoint } = &measure.subject else {
        return "false".to_owned();
    };
    let served = "coalesce(attributes['span.kind'], 'SPAN_KIND_SERVER') IN ('SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER', 'SERVER', 'CONSUMER')";
    let endpoint = endpoint.as_ref().map_or(String::new(), |name| {
        let method = "coalesce(attributes['http.request.method'], attributes['http.method'])";
        format!(
            "\nAND {} IN (attributes['span.name'], concat_ws(' ', {method}, attributes['http.route']),\n\
             concat_ws('/', attributes['rpc.service'], attributes['rpc.method']), attributes['rpc.method'])",
            literal(name)
        )
    });
    format!("service_name = {} AND {served}{endpoint}", literal(service))
}

/// A request that failed on the server's side, as its span would say.
const FAILED: &str = "CASE WHEN attributes['status.code'] IN ('STATUS_CODE_ERROR', 'ERROR', 'Error')\n\
     OR coalesce(attributes['http.response.status_code'], attributes['http.status_code']) LIKE '5__'\n\
     OR attributes['rpc.grpc.status_code'] IN ('2', '4', '12', '13', '14', '15')\n\
     OR attributes['rpc.response.status_code'] IN ('UNKNOWN', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS')\n\
     OR (attributes['error.type'] IS NOT NULL AND attributes['status.code'] IS NULL AND attributes['rpc.grpc.status_code'] IS NULL\n\
     AND attributes['rpc.response.status_code'] IS NULL AND coalesce(attributes['http.response.status_code'], attributes['http.status_code']) IS NULL)\n\
     THEN 1 ELSE 0 END AS failed";

/// What a point adds. A series that is told for the first time while others were
/// told before, such as that of the first error, has grown from nothing.
const GREW: &str = "CASE WHEN temporality = 'DELTA' THEN c\n\
     WHEN stood IS NULL THEN CASE WHEN at > first THEN c ELSE 0 END\n\
     WHEN c < stood OR began > stood_at THEN c ELSE c - stood END AS n";

/// What this measures by these metrics, bucket by bucket.
pub fn statement(measure: &Measure, names: &[&str], stretch: &Stretch<'_>) -> String {
    let rows = format!(
        "FROM metrics WHERE {}\nAND {} AND metric_name IN ({})",
        stretch.near(),
        subject(measure),
        listed(names)
    );
    let bucket = stretch.bucket("at");
    let inside = format!("at >= {} AND at < {} AND n > 0", stretch.span.from, stretch.span.to());
    if measure.indicator.nature() != Nature::Duration {
        let hits = match measure.indicator {
            Indicator::Rate => "n",
            _ => "CASE WHEN failed = 1 THEN n ELSE 0 END",
        };
        return format!(
            "WITH points AS (SELECT DISTINCT series_id, time_unix_nano AS at, coalesce(start_time_unix_nano, 0) AS began, temporality,\n\
             coalesce(CAST(count AS DOUBLE), value) AS c, {FAILED}\n{rows}),\n\
             stood AS (SELECT at, began, temporality, failed, c, lag(c) OVER (PARTITION BY series_id ORDER BY at) AS stood,\n\
             lag(at) OVER (PARTITION BY series_id ORDER BY at) AS stood_at, min(at) OVER () AS first FROM points),\n\
             grown AS (SELECT at, failed, {GREW} FROM stood)\n\
             SELECT {bucket}, CAST(round(sum(n)) AS BIGINT) AS n, CAST(round(sum({hits})) AS BIGINT) AS hits\n\
             FROM grown WHERE {inside} GROUP BY 1 ORDER BY 1"
        );
    }
    let cell = |edge: &str, name: &str| {
        format!(
            "CAST(floor(ln(greatest({edge}, 1000)) * {}) AS BIGINT) AS {name}",
            super::text::CELLS
        )
    };
    // Exponential buckets of a series are told at the coarsest scale that it has;
    // the last explicit one has no end. A unit that is no time gives no cell, which
    // is an error.
    format!(
        "WITH points AS (SELECT DISTINCT series_id, time_unix_nano AS at, coalesce(start_time_unix_nano, 0) AS began, temporality,\n\
         coalesce(bucket_counts, positive_counts) AS counts, explicit_bounds AS bounds, scale, positive_offset AS beyond,\n\
         CASE unit WHEN 's' THEN 1e9 WHEN 'ms' THEN 1e6 WHEN 'us' THEN 1e3 WHEN 'ns' THEN 1.0 END AS unit_ns\n{rows}),\n\
         parts AS (SELECT series_id, at, began, temporality, bounds, scale, beyond, unit_ns, value AS part, counts[value + 1] AS c\n\
         FROM points JOIN generate_series(0, 1023) ON value < CAST(cardinality(counts) AS BIGINT)),\n\
         coarse AS (SELECT series_id AS s, min(scale) AS coarsest FROM points GROUP BY 1),\n\
         placed AS (SELECT series_id, at, began, temporality, c, scale, bounds, unit_ns, part, coarsest,\n\
         floor((beyond + part) / pow(2.0, scale - coarsest)) AS step FROM parts JOIN coarse ON s = series_id),\n\
         keyed AS (SELECT series_id, at, began, temporality, c, CAST(coalesce(step, part) AS BIGINT) AS key,\n\
         CASE WHEN scale IS NULL THEN coalesce(bounds[part], 0) ELSE pow(2.0, step * pow(2.0, -coarsest)) END * unit_ns AS low,\n\
         CASE WHEN scale IS NULL THEN coalesce(bounds[part + 1], 1e15 / unit_ns) ELSE pow(2.0, (step + 1) * pow(2.0, -coarsest)) END * unit_ns AS high\n\
         FROM placed),\n\
         summed AS (SELECT series_id, at, began, temporality, key, low, high, sum(c) AS c FROM keyed GROUP BY 1, 2, 3, 4, 5, 6, 7),\n\
         stood AS (SELECT at, began, temporality, low, high, c, lag(c) OVER (PARTITION BY series_id, key ORDER BY at) AS stood,\n\
         lag(at) OVER (PARTITION BY series_id, key ORDER BY at) AS stood_at, min(at) OVER () AS first FROM summed),\n\
         grown AS (SELECT at, low, high, {GREW} FROM stood)\n\
         SELECT {bucket}, {low}, {high}, CAST(sum(n) AS BIGINT) AS n\n\
         FROM grown WHERE {inside} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        low = cell("low", "low_cell"),
        high = cell("high", "cell"),
    )
}
