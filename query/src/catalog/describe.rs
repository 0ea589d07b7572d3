//! Tables for someone who looks around: columns with their meaning, counts.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use schema::Tenant;

use super::{PUBLIC, SYSTEM, View, latest, public, system, views};
use crate::Error;
use crate::engine::Core;

/// A table as `/api/v1/tables` shows it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TableInfo {
    pub name: String,
    pub schema: &'static str,
    /// `table` or `view`.
    pub kind: &'static str,
    pub doc: String,
    /// Rows visible now; `None` for a view.
    pub rows: Option<u64>,
    /// Parquet files, committed and staged; `None` for a view.
    pub files: Option<u64>,
    /// Bytes of those files.
    pub bytes: Option<u64>,
    /// The committed version; `None` before the first commit and for a view.
    pub version: Option<u64>,
    pub complete: bool,
    /// What cannot be seen now, if anything.
    pub incomplete: Option<String>,
    pub columns: Vec<ColumnInfo>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ColumnInfo {
    pub name: String,
    /// The Arrow type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// What it means, with its unit.
    pub doc: String,
}

fn column(name: &str, data_type: &DataType, doc: impl Into<String>) -> ColumnInfo {
    ColumnInfo { name: name.into(), data_type: type_name(data_type), doc: doc.into() }
}

/// A type in the words of the table papers rather than of Arrow.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Int32 => "int".into(),
        DataType::Float64 => "double".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Map(entry, _) => match entry.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let of = |i: usize| type_name(fields[i].data_type());
                format!("map<{},{}>", of(0), of(1))
            }
            _ => data_type.to_string(),
        },
        DataType::List(item) | DataType::LargeList(item) => {
            format!("list<{}>", type_name(item.data_type()))
        }
        DataType::Struct(fields) => {
            let fields =
                fields.iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type())));
            format!("struct<{}>", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// All tables of a tenant, or the one of that name (`spans`, `system.files`).
pub(crate) fn tables(
    core: &Arc<Core>,
    tenant: &Tenant,
    only: Option<&str>,
) -> Result<Vec<TableInfo>, Error> {
    let view = View::aside(core, tenant);
    let wanted = |schema: &str, name: &str| match only {
        None => true,
        Some(only) => only == name && schema == PUBLIC || only == format!("{schema}.{name}"),
    };
    let mut tables = Vec::new();
    for name in public::names(&view) {
        if wanted(PUBLIC, &name) {
            tables.push(in_public(&view, &name)?);
        }
    }
    for name in system::NAMES {
        if wanted(SYSTEM, name) {
            tables.push(in_system(name));
        }
    }
    Ok(tables)
}

fn in_public(view: &Arc<View>, name: &str) -> Result<TableInfo, Error> {
    let schema = public::schema(view, name).unwrap_or_else(|| Arc::new(Schema::empty()));
    let mut info = TableInfo {
        name: name.into(),
        schema: PUBLIC,
        kind: "view",
        doc: String::new(),
        rows: None,
        files: None,
        bytes: None,
        version: None,
        complete: true,
        incomplete: None,
        columns: Vec::new(),
    };
    let (doc, docs) = meaning(view, name, &schema);
    let columns = schema.fields().iter().zip(docs);
    info.columns = columns.map(|(f, doc)| column(f.name(), f.data_type(), doc)).collect();
    info.doc = doc;
    if view.pins.def(name).is_some() {
        info.kind = "table";
    }
    // A view has no snapshot of its own.
    let Some(snapshot) = view.pins.pin(name)? else { return Ok(info) };
    let files = || snapshot.committed.iter().chain(snapshot.staged.iter());
    info.rows = Some(files().map(|file| file.rows).sum::<u64>() + snapshot.hot_rows() as u64);
    info.files = Some(files().count() as u64);
    info.bytes = Some(files().map(|file| file.size).sum());
    info.version = snapshot.version.map(|version| version.0);
    info.complete = snapshot.incomplete.is_none();
    info.incomplete = snapshot.incomplete.clone();
    Ok(info)
}

/// What a table of `public` means, and each of its columns. Pins nothing.
pub(super) fn meaning(view: &Arc<View>, name: &str, schema: &Schema) -> (String, Vec<String>) {
    let columns = schema.fields().iter().map(|field| field.name().as_str());
    let revisions = latest::revisions(view, name);
    let Some(def) = revisions.or_else(|| view.pins.def(name)) else {
        let Some(merged) = views::merged(name) else { return Default::default() };
        return (merged.doc.into(), columns.map(|c| merged.column_doc(view, c)).collect());
    };
    let computed = public::computed(name);
    let docs = columns.map(|column| {
        let own = def.columns.iter().find(|c| c.name == column).map(|c| c.doc.clone());
        let added = || computed.iter().find(|c| c.name == column).map(|c| c.doc.to_owned());
        own.or_else(added).unwrap_or_default()
    });
    (def.doc.into(), docs.collect())
}

/// A table without its rows: nothing is pinned to tell of it.
pub(crate) struct Shape {
    pub schema: &'static str,
    pub name: String,
    pub view: bool,
    pub columns: SchemaRef,
    /// What each column means; empty where nothing is said.
    pub docs: Vec<String>,
}

/// Every table of a tenant.
pub(crate) fn shapes(core: &Arc<Core>, tenant: &Tenant) -> Vec<Shape> {
    let view = View::aside(core, tenant);
    let public = public::names(&view).into_iter().filter_map(|name| {
        let columns = public::schema(&view, &name)?;
        let (_, docs) = meaning(&view, &name, &columns);
        let is_view = view.pins.def(&name).is_none();
        Some(Shape { schema: PUBLIC, name, view: is_view, columns, docs })
    });
    let system = system::NAMES.iter().filter_map(|name| {
        let columns = system::schema(name)?;
        let docs = vec![String::new(); columns.fields().len()];
        Some(Shape { schema: SYSTEM, name: (*name).to_owned(), view: true, columns, docs })
    });
    public.chain(system).collect()
}

pub(super) fn system_doc(name: &str) -> &'static str {
    match name {
        "ledger" => "Where every accepted row went; each line balances (L1).",
        "files" => "The Parquet files of every table.",
        "wal" => "The segments of the write-ahead log.",
        "queries" => "Running and recent statements.",
        _ => "Attribute keys found by a full scan, and when they were last asked for.",
    }
}

fn in_system(name: &str) -> TableInfo {
    let doc = system_doc(name);
    let schema = system::schema(name).unwrap_or_else(|| Arc::new(Schema::empty()));
    TableInfo {
        name: name.into(),
        schema: SYSTEM,
        kind: "view",
        doc: doc.into(),
        rows: None,
        files: None,
        bytes: None,
        version: None,
        complete: true,
        incomplete: None,
        columns: schema.fields().iter().map(|f| column(f.name(), f.data_type(), "")).collect(),
    }
}
