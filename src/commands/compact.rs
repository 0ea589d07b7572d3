//! `compact`: a running daemon joins every small file of its own that may be
//! joined; only it can, because only it commits for its log.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;

use crate::cli::Compact;
use crate::client::Client;

#[derive(Debug, Deserialize)]
struct Answer {
    tables: Vec<Table>,
}

#[derive(Debug, Deserialize)]
struct Table {
    tenant: String,
    table: String,
    files: u64,
    files_in: u64,
    files_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

pub async fn run(compact: Compact) -> Result<ExitCode> {
    let client = Client::new(&compact.server, "--server")?;
    let answer = client.json(Method::POST, "/api/v1/compact", Bytes::new()).await?;
    let answer: Answer = serde_json::from_value(answer)
        .context("the daemon answered something else; is it another version?")?;
    let mut out = std::io::stdout().lock();
    for t in answer.tables {
        let done = match t.files_in {
            0 => "nothing to join".to_owned(),
            _ => format!(
                "joined {} files ({} bytes) into {} ({} bytes)",
                t.files_in, t.bytes_in, t.files_out, t.bytes_out
            ),
        };
        writeln!(out, "{}/{}: {done}; {} files", t.tenant, t.table, t.files)?;
    }
    Ok(ExitCode::SUCCESS)
}
