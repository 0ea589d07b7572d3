//! The start: from local disk alone to live tables that hold every acked row
//! once (**D4**).
//!
//! Per table the log is replayed above the higher of what this node has seen
//! committed and what is staged. Rows are staged on the way as soon as they
//! fill a seal, so a log of any length needs no more memory than usual.

use std::collections::BTreeSet;
use std::sync::Arc;

use schema::{Budget, Catalog, Door, Position, Tenant, WalId};
use tokio::runtime::Handle;

use crate::books::Books;
use crate::chance::Chance;
use crate::lineage::Lineage;
use crate::live::{Counts, Live, LiveSet};
use crate::metrics::Metrics;
use crate::progress::{Found, Progress};
use crate::stage::{Stage, Staged};
use crate::store::Store;
use crate::table::DeltaTable;
use crate::wal::{AcceptedRows, Files, Log, Loss, Opened, Replayed};
use crate::{Components, Error, Settings, failpoint, renew};

/// All that recovery has brought back.
pub struct Recovered {
    pub log: Log,
    pub wal_id: WalId,
    pub stage: Arc<Stage>,
    pub progress: Arc<Progress>,
    pub lineage: Lineage,
    pub live: Arc<LiveSet>,
    pub books: Arc<Books>,
}

/// Blocking; the runtime it is called in is used only when the store must be
/// asked.
pub fn run(
    files: Arc<dyn Files>,
    given: &Components,
    metrics: &Metrics,
) -> Result<Recovered, Error> {
    let Components { settings, catalog, store, budget, meter, chance, .. } = given;
    let opened = Log::open(files, &settings.wal, catalog)?;
    let opened = renew::settle(opened, settings, store, catalog, chance)?;
    let Opened { log, wal_id, boot, last, accepted, torn_bytes, .. } = opened;
    let lineage = Lineage::begin(&settings.stage.dir, wal_id, last)?;
    let parted_at = lineage.parted_at().unwrap_or_default();
    let start = start_number(boot, chance);
    let (stage, staged) = Stage::open(&settings.stage, store, wal_id, start, catalog)?;
    let stage = Arc::new(stage.with_meter(meter.clone()));
    let (progress, found) = Progress::open(&settings.stage.dir, wal_id)?;
    if found == Found::Unreadable {
        let common = lineage.common();
        let asked = relearn(&progress, common, &accepted, store, catalog, wal_id);
        Handle::current().block_on(asked)?;
    }
    if torn_bytes > 0 {
        metrics.wal_torn_bytes.inc_by(torn_bytes);
        tracing::warn!(bytes = torn_bytes, "cut the log's torn end; none of it was acked");
    }

    let books = Arc::new(Books::default());
    for (tenant, table, door, rows) in &accepted {
        if let Some(table) = catalog.get(table) {
            books.restore_accepted(tenant, table, &[(*door, *rows)]);
        }
    }
    for (tenant, table, counts) in progress.persisted() {
        if let Some(table) = catalog.get(&table) {
            books.restore_persisted(&tenant, table, &counts);
        }
    }
    let floors = floors(&progress, &staged, catalog);
    let live = Arc::new(LiveSet::new(catalog.clone(), staged, &progress));
    let mut replayed = 0u64;
    log.replay(&|tenant, table| floors(tenant, table), &mut |record| {
        replayed += record.rows.num_rows() as u64;
        failpoint::hit("recover_mid");
        take(record, parted_at, settings, &live, &stage, budget)
    })?;
    for Loss { tenant, table, counts, reason } in &log.losses() {
        let rows: u64 = counts.iter().map(|(_, rows)| rows).sum();
        metrics.wal_quarantined_rows.inc_by(rows);
        tracing::error!(%tenant, table, rows, reason, "acked rows are lost; the damaged bytes are in the log's quarantine folder");
        if let Some(table) = catalog.get(table) {
            books.drop_rows(tenant, table, counts, reason);
        }
    }

    if replayed > 0 {
        tracing::info!(rows = replayed, %last, "replayed the log");
    }
    Ok(Recovered { log, wal_id, stage, progress: Arc::new(progress), lineage, live, books })
}

/// The part of a file's name that tells starts apart (C4): their count, and
/// chance, because another copy of this log counts the same.
fn start_number(boot: u64, chance: &Chance) -> u64 {
    (boot << 32) | u64::from(chance.draw() as u32)
}

/// Per table: up to where rows are committed or staged.
fn floors(
    progress: &Progress,
    staged: &[Staged],
    catalog: &Catalog,
) -> impl Fn(&Tenant, &str) -> Position + use<> {
    let mut known = std::collections::HashMap::new();
    for (tenant, table, _) in progress.persisted() {
        let watermark = progress.watermark(&tenant, &table);
        known.insert((tenant, table), watermark);
    }
    for one in staged.iter().filter(|one| catalog.get(&one.table).is_some()) {
        let floor = known.entry((one.tenant.clone(), one.table.clone())).or_default();
        *floor = (*floor).max(one.last);
    }
    move |tenant, table| known.get(&(tenant.clone(), table.to_owned())).copied().unwrap_or_default()
}

/// Puts a replayed record into its table, and stages the table when that fills
/// a seal. No range has rows from both sides of `parted_at`.
fn take(
    record: Replayed,
    parted_at: Position,
    settings: &Settings,
    live: &LiveSet,
    stage: &Stage,
    budget: &Budget,
) -> Result<(), Error> {
    let (table, _) = live.enter(&record.tenant, &record.table);
    if record.position > parted_at {
        table.part(parted_at);
    }
    let paid = budget.reserve_regardless(record.rows.bytes());
    table.push(
        record.position,
        record.rows,
        &record.counts,
        record.received_unix_nano,
        paid,
        budget,
    )?;
    if table.status().hot_bytes >= settings.flush.max_bytes
        && stage.bytes() < settings.stage.max_bytes
    {
        stage_now(&table, stage);
    }
    Ok(())
}

/// A full disk must not keep a node from starting: what cannot be staged stays
/// in the log and in memory, and admission refuses new rows meanwhile.
fn stage_now(table: &Live, stage: &Stage) {
    table.seal();
    while let Some(sealed) = table.next_sealed() {
        match stage.write(&sealed) {
            Ok(staged) => drop(table.staged(staged)),
            Err(error) => {
                tracing::warn!(%error, "replayed rows could not be staged yet; they stay in the log");
                return;
            }
        }
    }
}

/// Every table that a log has ever had rows for, and those of the default tenant.
pub fn written(accepted: &[AcceptedRows], catalog: &Catalog) -> BTreeSet<(Tenant, String)> {
    let own = accepted.iter().map(|(tenant, table, ..)| (tenant.clone(), table.clone()));
    let all = catalog.appended().map(|table| (Tenant::default(), table.name.to_owned()));
    own.chain(all).collect()
}

/// Asks every table of this log for its watermark. It is believed up to where rows
/// are common to all copies of the log: above, another copy may have committed
/// (F42). What this one has committed there is told by ranges that it still holds,
/// or left to a human.
async fn relearn(
    progress: &Progress,
    common: Position,
    accepted: &[AcceptedRows],
    store: &Store,
    catalog: &Catalog,
    wal_id: WalId,
) -> Result<(), Error> {
    for (tenant, name) in written(accepted, catalog) {
        let Some(table) = catalog.get(&name) else { continue };
        let found = DeltaTable::look(store, &tenant, table.clone(), wal_id).await?;
        let Some(committed) = found else { continue };
        let believed = committed.watermark.min(common);
        let origins = committed.files.iter().filter_map(|file| Some((file.origin?, file.rows)));
        let own = origins.filter(|(o, _)| o.wal_id == wal_id && o.last <= believed);
        let rows: u64 = own.map(|(_, rows)| rows).sum();
        tracing::warn!(%tenant, table = table.name, watermark = %committed.watermark, %believed, rows, "progress relearned from the table");
        let of = accepted.iter().filter(|(of, in_table, ..)| *of == tenant && *in_table == name);
        let mut counts: Counts = of.map(|(.., door, rows)| (*door, *rows)).collect();
        if counts.iter().map(|(_, rows)| rows).sum::<u64>() != rows {
            // By which doors a part of them came is not known any more.
            counts = vec![(Door::Internal, rows)];
        }
        progress.record(&tenant, table.name, believed, &counts)?;
    }
    Ok(())
}
