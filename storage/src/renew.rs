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

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use schema::{Catalog, Position, TableDef, Tenant, WalId};
use tokio::runtime::Handle;

use crate::chance::Chance;
use crate::lineage::{Book, Floors, Parted, Renewal};
use crate::progress::Progress;
use crate::recover::written;
use crate::stage::{Stage, Staged, rebrand, rest};
use crate::store::Store;
use crate::store::local::DurableLocal;
use crate::table::{Committed, DeltaTable};
use crate::wal::{Counted, Opened};
use crate::{Error, Settings, failpoint};

/// How long a start waits for each table of the store that told of the other
/// copy. Without an answer it starts as it is, and the tables tell again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finishes or does what is due. Blocking.
pub fn settle(
    opened: Opened,
    settings: &Settings,
    store: &Store,
    catalog: &Catalog,
    chance: &Chance,
) -> Result<Opened, Error> {
    let dir = &settings.stage.dir;
    let Some(mut book) = Book::read(dir, opened.wal_id) else { return Ok(opened) };
    let id = opened.wal_id;
    if let Some(renewal) = &book.renewal
        && renewal.to == id.to_string()
        && let Ok(old) = book.wal_id.parse()
    {
        finish(settings, store, (old, id), &renewal.floors)?;
        return Ok(opened);
    }
    let Some(Parted { at }) = book.parted.clone().filter(|_| book.wal_id == id.to_string()) else {
        return Ok(opened);
    };

    let (stage, staged) = Stage::open(&settings.stage, store, id, opened.boot, catalog)?;
    let (progress, _) = Progress::open(dir, id)?;
    let asked = Handle::current().block_on(tables(&opened, store, catalog));
    let tables = match asked {
        Ok(tables) => tables,
        Err(error) => {
            tracing::warn!(
                error = error.told(),
                "the store cannot be asked what another copy of this log committed; it is asked again later"
            );
            return Ok(opened);
        }
    };
    let mut floors = Floors::new();
    for (tenant, table, found) in tables {
        let table = table.name;
        let of = |range: &&Staged| range.tenant == tenant && range.files(table).len() > 0;
        let ranges: Vec<&Staged> = staged.iter().filter(of).collect();
        let named = |range: &&&Staged| found.as_ref().is_some_and(|f| range.is_in(table, f));
        // Up to here, what is common to both copies, and what is booked.
        let watermark = found.as_ref().map_or(Position::ZERO, |found| found.watermark);
        let base = watermark.min(Position(at)).max(progress.watermark(&tenant, table));
        // And what this one has committed since, in order (C2).
        let above = || ranges.iter().filter(|range| range.last > base);
        let floor = above().take_while(named).last().map_or(base, |range| range.last);
        let parts = |range: &&&Staged| range.first <= floor && floor < range.last;
        let out_of_order = || above().skip_while(named).find(named);
        if let Some(range) = ranges.iter().find(parts).or_else(out_of_order) {
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
        floors.entry(tenant.to_string()).or_default().insert(table.to_owned(), floor.0);
    }

    let new = WalId((u128::from(chance.draw()) << 64) | u128::from(chance.draw()));
    let done = |range: &Staged, table: &str| committed(&floors, range, table);
    let kept: Vec<Staged> = staged.into_iter().filter_map(|range| rest(range, &done)).collect();
    let rows: Vec<Counted> =
        kept.iter().map(|r| (r.tenant.clone(), r.table.clone(), r.counts.clone())).collect();
    book.renewal = Some(Renewal { to: new.to_string(), floors: floors.clone() });
    book.write(dir)?;
    failpoint::hit("renew_before_log");
    let wanted = |tenant: &Tenant, table: &str| {
        let of = |range: &&Staged| range.tenant == *tenant && range.table == table;
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
    rebrand(own.tree(), tree, ids, &|range, table| committed(floors, range, table))?;
    Book::fresh(ids.1).write(&settings.stage.dir)
}

fn committed(floors: &Floors, range: &Staged, table: &str) -> bool {
    range.last <= floor(floors, &range.tenant, table)
}

fn floor(floors: &Floors, tenant: &Tenant, table: &str) -> Position {
    let found = floors.get(tenant.as_str()).and_then(|tables| tables.get(table));
    Position(found.copied().unwrap_or(0))
}

/// Asks every table that this log has ever had rows for, and those derived from
/// them, at once.
async fn tables(
    opened: &Opened,
    store: &Store,
    catalog: &Catalog,
) -> Result<Vec<(Tenant, Arc<TableDef>, Option<Committed>)>, Error> {
    let mut asked = Vec::new();
    for (tenant, name) in written(&opened.accepted, catalog) {
        let Some(table) = catalog.get(&name) else { continue };
        let derived = table.derived.as_ref().map(|derived| derived.table.clone());
        asked.extend(std::iter::once(table.clone()).chain(derived).map(|t| (tenant.clone(), t)));
    }
    let ask = async |(tenant, table): (Tenant, Arc<TableDef>)| {
        let look = DeltaTable::look(store, &tenant, table.clone(), opened.wal_id);
        let silence =
            || Error::Busy(format!("table {} did not answer within {PATIENCE:?}", table.name));
        let found = tokio::time::timeout(PATIENCE, look).await.map_err(|_| silence())??;
        Ok::<_, Error>((tenant, table, found))
    };
    try_join_all(asked.into_iter().map(ask)).await
}
