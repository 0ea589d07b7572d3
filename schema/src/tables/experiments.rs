//! What is known of experiments: documents, runs, the events that told of them,
//! what was measured, what was found, and the alerts that fired meanwhile.
//!
//! Nothing is changed in place: each change is a row with a higher `revision`,
//! and the name that SQL knows is the view of the latest ([`Latest`]). `date` is
//! the day of writing.

use arrow::datatypes::DataType::{Boolean, Float64, Int64, Utf8};

use super::common::{list, string_map, timestamp};
use crate::table::{Column, Latest, TableDef};

pub const EXPERIMENTS: &str = "experiments";
pub const WINDOWS: &str = "experiment_windows";
pub const EVENTS: &str = "experiment_events";
pub const SAMPLES: &str = "experiment_samples";
pub const VERDICTS: &str = "experiment_verdicts";
pub const ALERTS: &str = "alert_events";

pub fn tables() -> [TableDef; 6] {
    [experiments(), windows(), events(), samples(), verdicts(), alerts()]
}

fn revised(
    name: &'static str,
    doc: &'static str,
    own: Vec<Column>,
    latest: Latest,
    sort: &'static [&'static str],
) -> TableDef {
    let mut columns = vec![
        Column::new("time", timestamp(), "When this revision was written (UTC, microseconds)."),
        Column::new("node_id", Utf8, "The Cloudsail node that wrote it."),
        Column::new("revision", Int64, "Grows with each change; the highest holds."),
    ];
    columns.extend(own);
    let mut table = TableDef::new(name, doc, columns);
    table.sort = sort;
    table.latest = Some(latest);
    table
}

fn experiments() -> TableDef {
    let c = Column::new;
    let own = vec![
        c("name", Utf8, "What runs call it: its title unless another name was given."),
        c("version", Utf8, "16 hex digits over all that the completed document says."),
        c("title", Utf8, "The document's title."),
        c("owner", Utf8, "The document's owner."),
        c("yaml", Utf8, "The completed document."),
    ];
    let doc = "One row per version of a declared experiment.";
    let latest = Latest { view: EXPERIMENTS, key: &["name", "version"] };
    revised("experiment_revisions", doc, own, latest, &["name", "revision"])
}

fn windows() -> TableDef {
    let c = Column::new;
    let own = vec![
        c("run_id", Utf8, "The run."),
        c("experiment", Utf8, "Its experiment's name."),
        c("version", Utf8, "The version of its document; NULL when it was only observed."),
        c("source", Utf8, "Who opened it: api, import, otlp, k8s."),
        c("sources", list(Utf8), "Everybody who told of it."),
        c("fault_type", Utf8, "The kind of fault."),
        c("injector", Utf8, "Who injects it."),
        c("object", Utf8, "The injector's own object, as kind/namespace/name."),
        c("target", string_map(), "What it is aimed at: `service`, or resource attributes."),
        c("t_opened", timestamp(), "When it was opened, by its source's clock (UTC)."),
        c("t_baseline", timestamp(), "When its baseline begins (UTC)."),
        c("t_inject", timestamp(), "When the fault was in place (UTC)."),
        c("t_recover", timestamp(), "When the fault was removed (UTC)."),
        c("t_end", timestamp(), "When the run was over (UTC)."),
        c("t_abort", timestamp(), "When it was stopped (UTC)."),
        c("inject_source", Utf8, "Who told of the injection."),
        c("recover_source", Utf8, "Who told of the recovery; plan: nobody did."),
        c("end_source", Utf8, "Who told of the end; plan: nobody did."),
        c("abort_source", Utf8, "Who stopped it."),
        c("abort_guard", Utf8, "The guard that stopped it."),
        c("abort_reason", Utf8, "Why it was stopped."),
        c("edge_uncertainty_ms", Int64, "How far its edges may be off, milliseconds."),
        c("state", Utf8, "declared, baseline, injecting, recovering, ended, aborted."),
        c("confidence", Utf8, "inferred, observed, declared, confirmed."),
        c("retrospective", Boolean, "Whether it was opened after the fact."),
        c("overlaps", list(Utf8), "Runs that it overlaps with."),
        c("verdict", Utf8, "held, deviated, inconclusive, invalid, aborted; NULL until judged."),
        c("reason", Utf8, "Why, for a verdict that has a reason."),
        c("judged", timestamp(), "When it was judged: rows ingested later were not seen (UTC)."),
        c("report", Utf8, "The last judging's report, JSON."),
    ];
    let doc = "One row per run, declared or merely observed.";
    let latest = Latest { view: WINDOWS, key: &["run_id"] };
    revised("experiment_window_revisions", doc, own, latest, &["run_id", "revision"])
}

fn events() -> TableDef {
    let c = Column::new;
    let own = vec![
        c("event_id", Utf8, "The same for an event that is told again."),
        c("run_id", Utf8, "The run that it was taken for."),
        c("event_time", timestamp(), "When it happened by its source's clock (UTC)."),
        c("received_time", timestamp(), "When this node heard of it (UTC)."),
        c("source", Utf8, "api, import, otlp, k8s, guard, plan."),
        c(
            "kind",
            Utf8,
            "start, inject, recover, end, abort; webhook, lease, lease-over, guard-shadow, publish.",
        ),
        c("experiment", Utf8, "The experiment's name, where it was told."),
        c("fault_type", Utf8, "The kind of fault, where it was told."),
        c("injector", Utf8, "Who injects, where it was told."),
        c("object", Utf8, "The injector's own object, as kind/namespace/name."),
        c("target", string_map(), "What it is aimed at, where it was told."),
        c("reason", Utf8, "The source's own word for it."),
        c("message", Utf8, "What the source says beside."),
        c("accepted", Boolean, "Whether the run took it."),
        c("raw_ref", Utf8, "Where the raw row is: its table and predicate."),
    ];
    let doc = "One row per signal of a start, an injection, a recovery, an end or an abort, as it was told.";
    let latest = Latest { view: EVENTS, key: &["event_id"] };
    revised("experiment_event_revisions", doc, own, latest, &["run_id", "event_time"])
}

fn samples() -> TableDef {
    let c = Column::new;
    let own = vec![
        c("run_id", Utf8, "The run."),
        c("indicator", Utf8, "What was measured, like p95 or error_ratio."),
        c("subject", Utf8, "Of whom, like a service or an edge a->b."),
        c("phase", Utf8, "baseline, injection or recovery."),
        c("bucket", timestamp(), "Start of the 5 s that were measured (UTC)."),
        c("value", Float64, "What was measured, in the indicator's unit; NULL without rows."),
        c("n", Int64, "Requests, calls, records or points that were looked at."),
        c("n_effective", Float64, "What they count for: one per bucket of correlated requests."),
        c("quality", list(Utf8), "no_data, sampled."),
    ];
    let doc = "One row per indicator, subject and 5 s bucket of a run's phases.";
    let latest = Latest { view: SAMPLES, key: &["run_id"] };
    revised("experiment_sample_revisions", doc, own, latest, &["run_id", "indicator", "bucket"])
}

fn verdicts() -> TableDef {
    let c = Column::new;
    let own = vec![
        c("run_id", Utf8, "The run."),
        c("experiment", Utf8, "Its experiment's name."),
        c("version", Utf8, "The version of its document."),
        c("hypothesis", Utf8, "The hypothesis, the effect or the baseline."),
        c("severity", Utf8, "critical, warning or info."),
        c("phase", Utf8, "The phase that was judged."),
        c("verdict", Utf8, "held, deviated, inconclusive, invalid, aborted."),
        c("reason", Utf8, "Why, for a verdict that has a reason."),
        c("detail", Utf8, "In words."),
        c("estimate", Float64, "What was compared, in the indicator's unit."),
        c("ci_low", Float64, "Lower end of its interval."),
        c("ci_high", Float64, "Upper end of its interval."),
        c("mde", Float64, "The smallest move that could have been shown."),
        c("p_adj", Float64, "Probability of a chance deviation, corrected for all hypotheses."),
        c("n", Int64, "What the estimate stands on."),
        c("evidence_sql", list(Utf8), "Statements that give the numbers again."),
        c("snapshot_ids", string_map(), "How far each table had come when it was judged."),
        c("judged", timestamp(), "Rows ingested later were not seen (UTC)."),
    ];
    let doc = "One row per hypothesis and run.";
    let latest = Latest { view: VERDICTS, key: &["run_id"] };
    revised("experiment_verdict_revisions", doc, own, latest, &["run_id", "hypothesis"])
}

fn alerts() -> TableDef {
    let c = Column::new;
    let own = vec![
        c("event_id", Utf8, "The same for a transition that is told again."),
        c("rule", Utf8, "The alert rule's name."),
        c("fingerprint", Utf8, "Tells one alert of a rule from another."),
        c("state", Utf8, "firing, resolved, no_data, error."),
        c("at", timestamp(), "When it changed to this state, by its source's clock (UTC)."),
        c("received_at", timestamp(), "When this node heard of it (UTC)."),
        c("source", Utf8, "alertmanager, grafana, otlp."),
        c("labels", string_map(), "The alert's labels."),
        c("annotations", string_map(), "The alert's annotations."),
    ];
    let doc = "One row per alert and change of its state.";
    let latest = Latest { view: ALERTS, key: &["event_id"] };
    revised("alert_event_revisions", doc, own, latest, &["rule", "at"])
}
