//! A log that parted from another copy of itself goes on under a new id.
//!
//! Done at a start, before anything runs, from what the last one noted
//! ([`lineage`](crate::lineage)). The tables are asked for their watermarks;
//! then every row that is certainly in them is let go, and all the others move:
//! logged ones to a new log, staged ones to new names.
//!
//! ```text
//! lineage {old, renewal} → log {new} → stage {new} → lineage {new}
//! ```
//! Each arrow is durable before the next. A start that finds the log renewed
//! and the lineage not goes on from the stage; one that finds neither begins again.

use std::collections::BTreeSet;
use std::time::Duration;

use schema::{Catalog, Position, Tenant, WalId};
use tokio::runtime::Handle;

use crate::lineage::{self, Book, Floors, Parted, Renewal};
use crate::progress::Progress;
use crate::stage::{Stage, Staged, rebrand};
use crate::store::Store;
use crate::store::local::DurableLocal;
use crate::table::DeltaTable;
use crate::wal::{Counted, Opened};
use crate::{Error, Settings, failpoint};

/// How long a start waits for the store that told of the other copy. Without
/// an answer it starts as it is, and the tables tell again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finishes or does what is due. Blocking.
pub fn settle(
    opened: Opened,
    settings: &Settings,
    store: &Store,
    catalog: &Catalog,
    runtime: &Handle,
) -> Result<Opened, Error> {
    let dir = &settings.stage.dir;
    let Some(mut book) = Book::read(dir) else { return Ok(opened) };
    let id = opened.wal_id;
    if let Some(renewal) = &book.renewal
        && renewal.to == id.to_string()
        && let Ok(old) = book.wal_id.parse()
    {
        finish(settings, store, (old, id), &renewal.floors)?;
        return Ok(opened);
    }
    let Some(Parted { at, known }) = book.parted.clone().filter(|_| book.wal_id == id.to_string())
    else {
        return Ok(opened);
    };

    let (stage, staged) = Stage::open(&settings.stage, store, id, opened.boot, catalog)?;
    let (progress, _) = Progress::open(dir, id)?;
    let asked = watermarks(&opened, store, catalog);
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    let watermarks = match asked {
        Ok(Ok(watermarks)) => watermarks,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store cannot be asked what another copy of this log committed; it is asked again later");
            return Ok(opened);
        }
        Err(_) => {
            tracing::warn!(
                "the store does not say what another copy of this log committed; it is asked again later"
            );
            return Ok(opened);
        }
    };
    let mut floors = Floors::new();
    for (tenant, table, watermark) in watermarks {
        let booked = progress.watermark(&tenant, &table);
        let of = |range: &&Staged| range.tenant == tenant && range.table == table;
        // Not before a table was in order did this copy commit to it.
        let committable = watermark.0 <= at || known.contains(&lineage::key(&tenant, &table));
        let ends = staged.iter().filter(of).any(|range| range.last == watermark);
        let own = watermark <= booked || ends && committable;
        let floor = if own { watermark } else { watermark.min(Position(at)) }.max(booked);
        if let Some(range) = staged.iter().filter(of).find(|r| r.first <= floor && floor < r.last) {
            tracing::error!(
                table, manifest = %range.manifest.display(), committed = %floor,
                "a staged range holds rows that another copy of this log has committed and rows that it has not; they cannot be told apart"
            );
            // Two starts: from here on only a human can tell.
            book.parted = None;
            book.starts = vec![at, opened.last.0];
            book.write(dir)?;
            return Ok(opened);
        }
        floors.entry(tenant.to_string()).or_default().insert(table, floor.0);
    }

    let new = WalId(uuid::Uuid::new_v4().as_u128());
    let kept: Vec<&Staged> = staged.iter().filter(|range| !committed(&floors, range)).collect();
    let rows: Vec<Counted> =
        kept.iter().map(|r| (r.tenant.clone(), r.table.clone(), r.counts.clone())).collect();
    book.renewal = Some(Renewal { to: new.to_string(), floors: floors.clone() });
    book.write(dir)?;
    failpoint::hit("renew_before_log");
    let wanted = |tenant: &Tenant, table: &str| {
        let of = |range: &&&Staged| range.tenant == *tenant && range.table == table;
        let kept = kept.iter().filter(of).map(|range| range.last).max();
        floor(&floors, tenant, table).max(kept.unwrap_or_default())
    };
    let renewed = opened.log.renew(new, &rows, &wanted)?;
    failpoint::hit("renew_before_stage");
    drop(stage);
    finish(settings, store, (id, new), &floors)?;
    let moved: u64 = renewed.accepted.iter().map(|(.., rows)| rows).sum();
    tracing::warn!(
        old = %id, %new, rows = moved, ranges = kept.len(),
        "this log's folder was an older copy of one that went on elsewhere: it has a new id, and what only it held goes on under that"
    );
    Ok(renewed)
}

fn finish(
    settings: &Settings,
    store: &Store,
    ids: (WalId, WalId),
    floors: &Floors,
) -> Result<(), Error> {
    let own = DurableLocal::open(&settings.stage.dir)?;
    let tree = store.tree().map(|tree| &**tree);
    rebrand(own.tree(), tree, ids, &|range| committed(floors, range))?;
    Book::fresh(ids.1).write(&settings.stage.dir)
}

fn committed(floors: &Floors, range: &Staged) -> bool {
    range.last <= floor(floors, &range.tenant, &range.table)
}

fn floor(floors: &Floors, tenant: &Tenant, table: &str) -> Position {
    let found = floors.get(tenant.as_str()).and_then(|tables| tables.get(table));
    Position(found.copied().unwrap_or(0))
}

/// Asks every table that this log has ever had rows for.
async fn watermarks(
    opened: &Opened,
    store: &Store,
    catalog: &Catalog,
) -> Result<Vec<(Tenant, String, Position)>, Error> {
    let own = opened.accepted.iter().map(|(tenant, table, ..)| (tenant.clone(), table.clone()));
    let all = catalog.appended().map(|table| (Tenant::default(), table.name.to_owned()));
    let mut found = Vec::new();
    for (tenant, name) in own.chain(all).collect::<BTreeSet<_>>() {
        let Some(table) = catalog.get(&name) else { continue };
        let delta = DeltaTable::open(store, &tenant, table.clone(), Some(opened.wal_id)).await?;
        let watermark = delta.current().map_or(Position::ZERO, |committed| committed.watermark);
        found.push((tenant, name, watermark));
    }
    Ok(found)
}
