//! Which run an event tells of: the one of its id; else the one of the same
//! object, or of the same experiment or target, around the same time.

use std::sync::Arc;

use super::Event;
use crate::run::Run;

/// An event may come this long after its run has ended, or before it was opened,
/// in nanoseconds.
const AROUND: i64 = 60 * 1_000_000_000;

/// The run among these, the latest if several would do.
pub fn about<'a>(event: &Event, runs: impl Iterator<Item = &'a Arc<Run>>) -> Option<&'a Arc<Run>> {
    if let Some(id) = &event.run {
        let mut runs = runs;
        return runs.find(|run| run.id == *id);
    }
    runs.filter(|run| in_time(event, run) && same(event, run)).max_by_key(|run| run.opened.at)
}

fn in_time(event: &Event, run: &Run) -> bool {
    let last = [run.marks.recover, run.marks.end, run.marks.abort.as_ref().map(|a| a.moment)];
    let end = last.into_iter().flatten().map(|moment| moment.at).max();
    let end = end.filter(|_| run.state.is_over()).unwrap_or(i64::MAX);
    let begin = run.marks.inject.map_or(run.opened.at, |inject| inject.at.min(run.opened.at));
    (begin.saturating_sub(AROUND)..=end.saturating_add(AROUND)).contains(&event.at)
}

fn same(event: &Event, run: &Run) -> bool {
    if let Some(object) = &event.told.object {
        let declared =
            run.experiment.as_ref().and_then(|experiment| experiment.fault.as_ref()?.object());
        if let Some(known) = run.told.object.as_ref().or(declared.as_ref()) {
            return known.eq_ignore_ascii_case(object) || is_result_of(object, known);
        }
    }
    let title = run.experiment.as_ref().map(|experiment| experiment.title.as_str());
    match &event.experiment {
        Some(name) => (*name == run.name || Some(name.as_str()) == title) && !elsewhere(event, run),
        // Without a name, two who speak of one target at one time speak of one run.
        None => aims_alike(event, run) && !run.state.is_over(),
    }
}

/// Litmus names an engine's results after the engine and its fault.
fn is_result_of(result: &str, engine: &str) -> bool {
    let rest = |text: &'_ str, kind: &str| text.strip_prefix(kind).map(str::to_owned);
    let (result, engine) = (rest(result, "ChaosResult/"), rest(engine, "ChaosEngine/"));
    result.zip(engine).is_some_and(|(result, engine)| result.starts_with(&format!("{engine}-")))
}

/// Both say whom they aim at, and it is not the same.
fn elsewhere(event: &Event, run: &Run) -> bool {
    let Some(service) = event.told.target.get("service") else { return false };
    let services = run.services();
    !services.is_empty() && !services.contains(service)
}

fn aims_alike(event: &Event, run: &Run) -> bool {
    let Some(service) = event.told.target.get("service") else { return false };
    let declared = || run.experiment.as_ref()?.fault.as_ref().map(|fault| fault.kind.clone());
    let known = run.told.fault.clone().or_else(declared);
    let fault = event.told.fault.as_ref().zip(known.as_ref());
    run.services().contains(service) && fault.is_none_or(|(a, b)| a == b)
}
