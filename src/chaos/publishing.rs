//! Reports where documents want them (`report.publish`): below one of the stores
//! of `experiments.publish` and nowhere else, as
//! `{publish}/{tenant}/{run}/{when it was judged}/report.json` and the like, so that
//! a later judging never replaces an earlier one. How it went is a row of
//! `experiment_events`; what a process did not get to is published by the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use experiments::document::Experiment;
use experiments::document::scope::Form;
use experiments::report::{Report, html, junit, markdown};
use experiments::{Ask as _, Run};
use query::Engine;
use schema::Tenant;
use serde_json::Value;
use storage::store::{Store, told as in_words};
use tokio::task::JoinSet;
use tokio::time::sleep;
use url::Url;

use super::answer::Local;
use super::guards::written;
use super::journal::{Journal, objects};
use super::{Error, told};

/// Between the tries of one report; the store's client repeats by itself, too.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];
/// Reports under way at the same time.
const AT_ONCE: usize = 16;

/// The stores that documents may publish to.
#[derive(Default)]
pub struct Places(Vec<Store>);

impl Places {
    /// Opens them with the options and credentials of `store.url`.
    pub fn open(
        urls: &[String],
        options: &BTreeMap<String, String>,
        environment: &[(String, String)],
    ) -> Result<Places> {
        let open = |url: &String| {
            let store = Store::open_in(url, options, environment);
            store.with_context(|| format!("experiments.publish: cannot open {url}"))
        };
        urls.iter().map(open).collect::<Result<_>>().map(Places)
    }

    /// Refuses a document that would be published where nothing may be.
    pub fn check(&self, experiment: &Experiment) -> Result<(), Error> {
        let Some(publish) = &experiment.report.publish else { return Ok(()) };
        self.find(publish).map(drop).map_err(|why| {
            let hint = "name a folder below one of them, leave report.publish out, or have the daemon's configuration allow it";
            Error::invalid(format!("report.publish: {why}"), hint)
        })
    }

    /// The store, and the folder in it.
    fn find(&self, publish: &str) -> Result<(&Store, String), String> {
        let no = || {
            let publish: String = publish.chars().take(200).collect();
            format!("{publish:?} is not below a store of experiments.publish")
        };
        let url = Url::parse(publish).map_err(|_| no())?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && !url.path().contains('%');
        let place =
            |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port());
        let below = |store: &Store| {
            let base = store.url().path().trim_end_matches('/');
            let rest = url.path().trim_end_matches('/').strip_prefix(base)?;
            let within = rest.is_empty() || rest.starts_with('/');
            (place(store.url()) == place(&url) && within).then(|| rest.trim_matches('/').to_owned())
        };
        let found = self.0.iter().filter(|_| plain);
        found.filter_map(|store| Some((store, below(store)?))).next().ok_or_else(no)
    }
}

/// A report in one of its forms.
pub struct File {
    pub name: &'static str,
    pub media: &'static str,
    pub text: String,
}

/// A report as files: JSON always, for it is what can be verified.
pub fn files(report: &Report, forms: &[Form]) -> Result<Vec<File>, experiments::Error> {
    let mut files =
        vec![File { name: "report.json", media: "application/json", text: report.to_json()? }];
    for form in forms {
        let (name, media, text) = match form {
            Form::Json => continue,
            Form::Md => ("report.md", "text/markdown; charset=utf-8", markdown(report)),
            Form::Junit => ("report.xml", "application/xml", junit(report)),
            Form::Html => ("report.html", "text/html; charset=utf-8", html(report)),
        };
        files.push(File { name, media, text });
    }
    Ok(files)
}

/// Publishes in the background.
pub struct Publisher {
    places: Arc<Places>,
    journal: Journal,
    engine: Arc<Engine>,
    under_way: JoinSet<()>,
}

impl Publisher {
    pub fn new(places: Arc<Places>, journal: Journal, engine: Arc<Engine>) -> Publisher {
        Publisher { places, journal, engine, under_way: JoinSet::new() }
    }

    /// A judging's report.
    pub fn publish(&mut self, run: Arc<Run>, report: String) {
        let wanted = run.experiment.as_ref().is_some_and(|e| e.report.publish.is_some());
        if !wanted {
            return;
        }
        let (places, journal) = (self.places.clone(), self.journal.clone());
        let full = self.under_way.len() >= AT_ONCE;
        self.under_way.spawn(async move {
            let outcome = match full {
                true => Err(anyhow!("{AT_ONCE} reports are under way already")),
                false => publish(&places, &run, report).await,
            };
            record(&journal, &run, outcome).await;
        });
    }

    /// What an earlier process judged and did not publish.
    pub fn catch_up(&mut self, runs: Vec<Arc<Run>>) {
        let wants = |run: &Arc<Run>| {
            run.judged.is_some()
                && run.experiment.as_ref().is_some_and(|e| e.report.publish.is_some())
        };
        let runs: Vec<Arc<Run>> = runs.into_iter().filter(wants).collect();
        if runs.is_empty() {
            return;
        }
        let (places, journal) = (self.places.clone(), self.journal.clone());
        let engine = self.engine.clone();
        self.under_way.spawn(async move {
            let tenants: BTreeSet<Tenant> = runs.iter().map(|run| run.tenant.clone()).collect();
            for tenant in tenants {
                let local = Local { engine: engine.clone(), tenant: tenant.clone() };
                let mine = runs.iter().filter(|run| run.tenant == tenant);
                if let Err(error) = missed(&places, &journal, &local, mine).await {
                    tracing::warn!(
                        "what was not published cannot be told before the next start: {error:#}"
                    );
                }
            }
        });
    }

    /// The next that is done; none while there is nothing to do.
    pub async fn next(&mut self) -> Option<()> {
        let done = self.under_way.join_next().await?;
        if let Err(error) = done {
            tracing::error!(%error, "publishing a report broke off; please report it");
        }
        Some(())
    }

    /// What is under way is left to the next start.
    pub async fn stop(mut self) {
        self.under_way.shutdown().await;
    }
}

async fn missed(
    places: &Places,
    journal: &Journal,
    local: &Local,
    runs: impl Iterator<Item = &Arc<Run>>,
) -> Result<()> {
    let done =
        format!("SELECT DISTINCT run_id FROM {} WHERE kind = 'publish' AND accepted", told::EVENTS);
    let done = objects(local.ask(&done).await?)?;
    for run in runs {
        if done.iter().any(|row| row.get("run_id").and_then(Value::as_str) == Some(run.id.as_str()))
        {
            continue;
        }
        let kept = format!(
            "SELECT report FROM experiment_window_revisions WHERE run_id = '{}' AND report IS NOT NULL ORDER BY revision DESC LIMIT 1",
            run.id
        );
        let kept = objects(local.ask(&kept).await?)?.pop();
        let report = kept.as_ref().and_then(|row| row.get("report")).and_then(Value::as_str);
        if let Some(report) = report {
            let outcome = publish(places, run, report.to_owned()).await;
            record(journal, run, outcome).await;
        }
    }
    Ok(())
}

/// Where it landed.
async fn publish(places: &Places, run: &Run, report: String) -> Result<String> {
    let Some(experiment) = run.experiment.clone() else {
        return Err(anyhow!("there is no document to publish by"));
    };
    let publish = experiment.report.publish.as_deref().unwrap_or_default();
    let (store, folder) = places.find(publish).map_err(|why| anyhow!(why))?;
    let judged = run.judged.map_or(0, |judged| judged.at / 1_000);
    let stamp = super::api::instant(judged).replace([':', '-'], "");
    let folder = format!("{folder}/{}/{}/{stamp}", run.tenant, run.id);
    // Pictures are drawn off the I/O threads.
    let mut drawing = JoinSet::new();
    drawing.spawn_blocking(move || files(&Report::read(&report)?, &experiment.report.formats));
    let drawn = drawing.join_next().await.context("nothing was drawn")??;
    for file in drawn? {
        let name = format!("{folder}/{}", file.name);
        let mut pauses = PAUSES.iter();
        while let Err(error) = store.put(&name, file.media, Bytes::from(file.text.clone())).await {
            let Some(pause) = pauses.next() else {
                let tries = PAUSES.len() + 1;
                return Err(anyhow!("{} after {tries} tries", in_words(&error)));
            };
            tracing::debug!(run = %run.id, error = in_words(&error), "a report is not published yet");
            sleep(*pause).await;
        }
    }
    let base = store.url().as_str().trim_end_matches('/');
    Ok(format!("{base}/{}", folder.trim_start_matches('/')))
}

/// Its row says how it went.
async fn record(journal: &Journal, run: &Run, outcome: Result<String>) {
    let publish = run.experiment.as_ref().and_then(|e| e.report.publish.clone());
    let accepted = outcome.is_ok();
    let message = match outcome {
        Ok(folder) => {
            tracing::info!(run = %run.id, folder, "a report was published");
            format!("published as {folder}")
        }
        Err(error) => {
            tracing::warn!(run = %run.id, "a report was not published: {error:#}");
            format!("not published: {error:#}")
        }
    };
    let now = journal.clock.now_unix_nano();
    let mut row = told::note(run, "publish", now, &publish.unwrap_or_default(), &message);
    row.accept(accepted);
    written(journal, run, row).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: URLs below an allowed store, and of other places that look like it.
    /// Guarantees: S36: nothing is published but below a store of the configuration.
    #[test]
    fn only_allowed_stores_are_published_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = Url::from_file_path(dir.path()).unwrap();
        let base = format!("{root}/chaos");
        let places = Places::open(std::slice::from_ref(&base), &BTreeMap::new(), &[]).unwrap();
        for (good, folder) in [("", ""), ("/", ""), ("/a/b/", "a/b")] {
            let (_, found) = places.find(&format!("{base}{good}")).unwrap();
            assert_eq!(found, folder);
        }
        for bad in [
            format!("{root}"),
            format!("{base}-other/a"),
            format!("{base}/../up"),
            format!("{base}/%2e%2e/up"),
            format!("{base}/a?b"),
            "s3://bucket/chaos".into(),
            "not a url".into(),
        ] {
            assert!(places.find(&bad).is_err(), "{bad}");
        }
        assert!(Places::default().find(&base).is_err());
    }
}
