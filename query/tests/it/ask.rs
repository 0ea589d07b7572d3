//! Asking, and answers as text.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use query::{Engine, Error, Query, Settings, Summary, render};
use schema::Clock;

use super::source::{START, TestSource};

/// A clock that stands one hour after the first rows.
#[derive(Debug)]
pub struct Standing;

impl Clock for Standing {
    fn now_unix_nano(&self) -> i64 {
        (START + 3_600) * 1_000_000_000
    }
}

pub struct Asker {
    pub engine: Arc<Engine>,
    _spill: tempfile::TempDir,
}

pub fn asker(source: &Arc<TestSource>) -> Asker {
    asker_with(source, |_| {})
}

pub fn asker_with(source: &Arc<TestSource>, change: impl FnOnce(&mut Settings)) -> Asker {
    let spill = tempfile::tempdir().unwrap();
    let mut settings = Settings { threads: 2, ..Settings::under(spill.path()) };
    change(&mut settings);
    let mut registry = Registry::default();
    let (clock, meter) = (Arc::new(Standing), Default::default());
    let engine = Engine::new(source.clone(), settings, clock, meter, &mut registry).unwrap();
    Asker { engine, _spill: spill }
}

impl Asker {
    /// Rows as CSV lines without the header, and the numbers.
    pub async fn ask(&self, sql: &str) -> (Vec<String>, Summary) {
        self.try_ask(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    pub async fn try_ask(&self, sql: &str) -> Result<(Vec<String>, Summary), Error> {
        let answer = self.engine.run(Query::new(sql, "test")).await?;
        let mut out = Vec::new();
        let format = render::Format::Csv;
        let summary = render::write(answer, format, render::Options::default(), &mut out).await?;
        let text = String::from_utf8(out).unwrap();
        Ok((text.lines().skip(1).map(str::to_owned).collect(), summary))
    }

    pub async fn rows(&self, sql: &str) -> Vec<String> {
        self.ask(sql).await.0
    }

    pub async fn error(&self, sql: &str) -> Error {
        match self.try_ask(sql).await {
            Ok((rows, _)) => panic!("{sql} answered {rows:?}"),
            Err(error) => error,
        }
    }
}
