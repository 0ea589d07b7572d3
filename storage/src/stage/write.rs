//! From sealed rows to a staged range.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::errors::ParquetError;
use arrow::compute::concat_batches;
use schema::{Rows, TableDef};

use super::manifest::{FOLDER, Manifest};
use super::{Output, Sealed, Stage, Staged};
use crate::encode::{self, Day};
use crate::store::tree::{self, Publish};
use crate::{DataFile, Error, Origin, failpoint};

/// The rows that go to one table, and how they fall into files.
struct Part {
    table: Arc<TableDef>,
    /// They share their origins.
    rows: Vec<Rows>,
    days: Vec<(Day, String)>,
}

impl Stage {
    pub(super) fn encode(&self, sealed: &Sealed) -> Result<Staged, Error> {
        let parts = self.parts(sealed)?;
        let manifest = self.manifest_path(sealed);
        let files: Vec<String> =
            parts.iter().flat_map(|part| &part.days).map(|(_, path)| path.clone()).collect();
        let own = self.own.tree().root();
        let plan = Manifest::planned(self.wal_id, self.files.root(), own, files.clone());
        let written = plan
            .write(self.own.tree(), &manifest)
            .and_then(|()| self.files_of(sealed, &parts, &manifest));
        let staged = match written {
            Ok(staged) => staged,
            Err(error) => {
                self.abandon(&files, Some(&manifest));
                return Err(error);
            }
        };
        failpoint::hit("stage_before_manifest");
        let last = Manifest::staged(self.wal_id, self.files.root(), &staged);
        if let Err(error) = last.write(self.own.tree(), &manifest) {
            // Whether plan or range lies there is unknown; without either the
            // files are only waste, with a range they would be missed.
            self.abandon(&[], Some(&manifest));
            self.abandon(&files, None);
            return Err(error);
        }
        failpoint::hit("stage_after_manifest");
        Ok(staged)
    }

    fn parts(&self, sealed: &Sealed) -> Result<Vec<Part>, Error> {
        let mut parts = vec![(sealed.table.clone(), Rows::share(sealed.rows.clone())?)];
        if let Some(derived) = &sealed.table.derived {
            // Only what the derivation reads is copied.
            let inputs = sealed.rows.iter().map(|rows| rows.select(derived.inputs));
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            let rows = match inputs.first() {
                Some(first) => {
                    let all = concat_batches(first.schema_ref(), &inputs)?;
                    let rows = (derived.derive)(&all, &derived.table.schema)?;
                    vec![Rows::plain(&derived.table.layout, &rows)?]
                }
                None => Vec::new(),
            };
            parts.push((derived.table.clone(), rows));
        }
        let part = |(table, rows): (Arc<TableDef>, Vec<Rows>)| {
            let days = encode::days(&table, &rows)?;
            let path = |day: Day| {
                let path = self.object_path(sealed, &table, day.date)?;
                Ok((day, path))
            };
            let days = days.into_iter().map(path).collect::<Result<_, Error>>()?;
            Ok(Part { table, rows, days })
        };
        parts.into_iter().map(part).collect()
    }

    fn files_of(&self, sealed: &Sealed, parts: &[Part], manifest: &Path) -> Result<Staged, Error> {
        let mut outputs = Vec::with_capacity(parts.len());
        for part in parts {
            let files: Result<Vec<DataFile>, Error> =
                part.days.iter().map(|(day, path)| self.file(sealed, part, day, path)).collect();
            outputs.push(Output { table: part.table.name.into(), files: files? });
        }
        let bytes = outputs.iter().flat_map(|output| &output.files).map(|file| file.size).sum();
        Ok(Staged {
            tenant: sealed.tenant.clone(),
            table: sealed.table.name.into(),
            first: sealed.first,
            last: sealed.last,
            counts: sealed.counts.clone(),
            received_unix_nano: sealed.received_unix_nano,
            outputs,
            manifest: manifest.to_owned(),
            bytes,
        })
    }

    fn file(&self, sealed: &Sealed, part: &Part, day: &Day, path: &str) -> Result<DataFile, Error> {
        let dest = self.files.root().join(path);
        let context = || format!("staged file {} could not be written", dest.display());
        let temp = self.files.temp(&dest).map_err(Error::disk(context()))?;
        let mut out = BufWriter::with_capacity(1 << 20, temp.file());
        let encoded = encode::write(&part.table, &part.rows, day, &mut out)
            .map_err(|error| disk_error(error, context()))?;
        out.into_inner().map_err(|error| Error::disk(context())(error.into_error()))?;
        failpoint::hit("stage_encode");
        temp.publish(Publish::Create).map_err(Error::disk(context()))?;
        Ok(DataFile {
            place: self.place,
            path: path.to_owned(),
            size: encoded.size,
            rows: encoded.rows,
            date: day.date,
            stats: encoded.stats,
            origin: Some(Origin { wal_id: self.wal_id, first: sealed.first, last: sealed.last }),
        })
    }

    fn stem(&self, sealed: &Sealed) -> String {
        format!("{}-{}-{}-{}", self.wal_id, self.boot, sealed.first, sealed.last)
    }

    fn manifest_path(&self, sealed: &Sealed) -> PathBuf {
        let name = format!("{}.json", self.stem(sealed));
        self.own.tree().root().join(FOLDER).join(name)
    }

    fn object_path(&self, sealed: &Sealed, table: &TableDef, date: i32) -> Result<String, Error> {
        let (tenant, stem) = (&sealed.tenant, self.stem(sealed));
        let partition = crate::table::partition(date)?;
        Ok(format!("{tenant}/{}/{partition}/{stem}.parquet", table.name))
    }

    /// Removes what an attempt left. What cannot be removed now is named by
    /// its plan and goes at the next start.
    fn abandon(&self, files: &[String], manifest: Option<&Path>) {
        let files = files.iter().map(|file| self.files.root().join(file));
        for path in files.chain(manifest.map(Path::to_owned)) {
            if let Err(error) = tree::remove(&path) {
                tracing::warn!(path = %path.display(), %error, "a failed staging left a file behind");
                return;
            }
        }
    }
}

/// A full disk under the Parquet writer is still a full disk: try later.
fn disk_error(error: Error, context: String) -> Error {
    match error {
        Error::Parquet(ParquetError::External(source)) => match source.downcast() {
            Ok(io) => Error::Disk { context, source: *io },
            Err(source) => Error::Parquet(ParquetError::External(source)),
        },
        other => other,
    }
}
