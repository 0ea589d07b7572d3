//! The catalogs that say what is here, each built when it is named.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion_pg_catalog::pg_catalog::oid_field::{OID_ALIAS_KEY, kind};

use super::super::{CATALOG, View};
use super::functions;
use super::relations::{self, DATABASE, OWNER, PG_CLASS, Relation, SCHEMAS};
use super::types;
use crate::functions::postgres::{ROLE, SETTINGS};

pub(super) const NAMES: [&str; 15] = [
    "pg_authid",
    "pg_attribute",
    "pg_class",
    "pg_cursors",
    "pg_database",
    "pg_description",
    "pg_extension",
    "pg_namespace",
    "pg_proc",
    "pg_roles",
    "pg_settings",
    "pg_stat_user_tables",
    "pg_tables",
    "pg_user",
    "pg_views",
];

/// Whoever looks for TimescaleDB looks for `time_bucket`, which is here.
const TIMESCALEDB: &str = "2.14.2";

pub(super) fn table(
    view: &Arc<View>,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
    let columns = match name {
        "pg_namespace" => namespaces(),
        "pg_class" => classes(&relations::all(view)),
        "pg_attribute" => attributes(&relations::all(view)),
        "pg_description" => descriptions(&relations::all(view)),
        "pg_tables" => listed(&relations::all(view), false),
        "pg_views" => listed(&relations::all(view), true),
        "pg_stat_user_tables" => counted(&relations::all(view)),
        "pg_database" => databases(),
        "pg_roles" | "pg_authid" => roles(),
        "pg_user" => users(),
        "pg_extension" => extensions(),
        "pg_settings" => settings(),
        "pg_cursors" => cursors(),
        "pg_proc" => return Ok(Some(functions::table()?)),
        _ => return Ok(None),
    };
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    Ok(Some(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?)))
}

type Column = (Field, ArrayRef);

/// Numbers of things, which PostgreSQL has a type for.
fn oids(name: &str, kind: &str, values: impl Iterator<Item = i32>) -> Column {
    let marked = [(OID_ALIAS_KEY.to_owned(), kind.to_owned())].into();
    let field = Field::new(name, DataType::Int32, true).with_metadata(marked);
    (field, Arc::new(Int32Array::from_iter_values(values)))
}

fn texts<T: AsRef<str>>(name: &str, values: impl Iterator<Item = Option<T>>) -> Column {
    (Field::new(name, DataType::Utf8, true), Arc::new(values.collect::<StringArray>()))
}

fn ints(name: &str, values: impl Iterator<Item = i32>) -> Column {
    (Field::new(name, DataType::Int32, true), Arc::new(Int32Array::from_iter_values(values)))
}

fn shorts(name: &str, values: impl Iterator<Item = i16>) -> Column {
    (Field::new(name, DataType::Int16, true), Arc::new(Int16Array::from_iter_values(values)))
}

fn flags(name: &str, values: impl Iterator<Item = bool>) -> Column {
    (
        Field::new(name, DataType::Boolean, true),
        Arc::new(values.map(Some).collect::<BooleanArray>()),
    )
}

/// A column that says the same in each of so many rows.
struct Same(usize);

impl Same {
    fn oid(&self, name: &str, kind: &str, value: i32) -> Column {
        oids(name, kind, (0..self.0).map(|_| value))
    }

    fn int(&self, name: &str, value: i32) -> Column {
        ints(name, (0..self.0).map(|_| value))
    }

    fn short(&self, name: &str, value: i16) -> Column {
        shorts(name, (0..self.0).map(|_| value))
    }

    fn float(&self, name: &str, value: f32) -> Column {
        let values = Float32Array::from_iter_values((0..self.0).map(|_| value));
        (Field::new(name, DataType::Float32, true), Arc::new(values))
    }

    fn flag(&self, name: &str, value: bool) -> Column {
        flags(name, (0..self.0).map(|_| value))
    }

    fn text(&self, name: &str, value: impl AsRef<str>) -> Column {
        texts(name, (0..self.0).map(|_| Some(value.as_ref())))
    }

    fn null(&self, name: &str) -> Column {
        texts(name, (0..self.0).map(|_| None::<&str>))
    }
}

fn namespaces() -> Vec<Column> {
    let same = Same(SCHEMAS.len());
    vec![
        oids("oid", kind::OID, SCHEMAS.iter().map(|(_, oid)| *oid)),
        texts("nspname", SCHEMAS.iter().map(|(name, _)| Some(name))),
        same.oid("nspowner", kind::OID, OWNER),
        same.null("nspacl"),
    ]
}

fn classes(all: &[Relation]) -> Vec<Column> {
    let same = Same(all.len());
    vec![
        oids("oid", kind::OID, all.iter().map(|r| r.oid)),
        texts("relname", all.iter().map(|r| Some(&r.name))),
        oids("relnamespace", kind::OID, all.iter().map(|r| r.schema_oid)),
        same.oid("reltype", kind::OID, 0),
        same.oid("reloftype", kind::OID, 0),
        same.oid("relowner", kind::OID, OWNER),
        same.oid("relam", kind::OID, 0),
        same.oid("relfilenode", kind::OID, 0),
        same.oid("reltablespace", kind::OID, 0),
        same.int("relpages", 0),
        // Never counted, as PostgreSQL says it.
        same.float("reltuples", -1.0),
        same.int("relallvisible", 0),
        same.oid("reltoastrelid", kind::OID, 0),
        same.flag("relhasindex", false),
        same.flag("relisshared", false),
        same.text("relpersistence", "p"),
        texts("relkind", all.iter().map(|r| Some(if r.view { "v" } else { "r" }))),
        shorts("relnatts", all.iter().map(|r| r.columns.fields().len() as i16)),
        same.short("relchecks", 0),
        same.flag("relhasrules", false),
        same.flag("relhastriggers", false),
        same.flag("relhassubclass", false),
        same.flag("relrowsecurity", false),
        same.flag("relforcerowsecurity", false),
        same.flag("relispopulated", true),
        same.text("relreplident", "d"),
        same.flag("relispartition", false),
        same.oid("relrewrite", kind::OID, 0),
        same.int("relfrozenxid", 0),
        same.int("relminmxid", 0),
        same.null("relacl"),
        same.null("reloptions"),
        same.null("relpartbound"),
    ]
}

fn attributes(all: &[Relation]) -> Vec<Column> {
    let columns: Vec<(i32, i16, &Arc<Field>)> = all
        .iter()
        .flat_map(|r| r.numbered().map(move |(number, field)| (r.oid, number, field)))
        .collect();
    let of: Vec<_> = columns.iter().map(|(.., field)| types::of(field)).collect();
    let same = Same(columns.len());
    // Text sorts by bytes, which is PostgreSQL's collation "C" (950), and is
    // not said: everything does.
    vec![
        oids("attrelid", kind::OID, columns.iter().map(|(oid, ..)| *oid)),
        texts("attname", columns.iter().map(|(.., field)| Some(field.name()))),
        oids("atttypid", kind::OID, of.iter().map(|of| of.oid().cast_signed())),
        same.int("attstattarget", -1),
        shorts("attlen", of.iter().map(types::length)),
        shorts("attnum", columns.iter().map(|(_, number, _)| *number)),
        ints("attndims", of.iter().map(|of| i32::from(of.name().starts_with('_')))),
        same.int("attcacheoff", -1),
        same.int("atttypmod", -1),
        flags("attbyval", of.iter().map(|of| types::length(of) > 0)),
        same.text("attalign", "i"),
        texts(
            "attstorage",
            of.iter().map(|of| Some(if types::length(of) > 0 { "p" } else { "x" })),
        ),
        same.text("attcompression", ""),
        flags("attnotnull", columns.iter().map(|(.., field)| !field.is_nullable())),
        same.flag("atthasdef", false),
        same.flag("atthasmissing", false),
        same.text("attidentity", ""),
        same.text("attgenerated", ""),
        same.flag("attisdropped", false),
        same.flag("attislocal", true),
        same.int("attinhcount", 0),
        same.oid("attcollation", kind::OID, 0),
        same.null("attacl"),
        same.null("attoptions"),
        same.null("attfdwoptions"),
        same.null("attmissingval"),
    ]
}

fn descriptions(all: &[Relation]) -> Vec<Column> {
    let mut lines: Vec<(i32, i32, &str)> = Vec::new();
    for relation in all {
        let docs = relation.docs.iter().map(String::as_str);
        let parts = (0..).zip(std::iter::once(relation.doc.as_str()).chain(docs));
        let said = parts.filter(|(_, doc)| !doc.is_empty());
        lines.extend(said.map(|(number, doc)| (relation.oid, number, doc)));
    }
    vec![
        oids("objoid", kind::OID, lines.iter().map(|(oid, ..)| *oid)),
        Same(lines.len()).oid("classoid", kind::OID, PG_CLASS),
        ints("objsubid", lines.iter().map(|(_, number, _)| *number)),
        texts("description", lines.iter().map(|(.., doc)| Some(doc))),
    ]
}

/// `pg_tables` or `pg_views`.
fn listed(all: &[Relation], views: bool) -> Vec<Column> {
    let all: Vec<_> = all.iter().filter(|r| r.view == views).collect();
    let same = Same(all.len());
    let name = |views| if views { "viewname" } else { "tablename" };
    let owner = |views| if views { "viewowner" } else { "tableowner" };
    let mut columns = vec![
        texts("schemaname", all.iter().map(|r| Some(r.schema))),
        texts(name(views), all.iter().map(|r| Some(&r.name))),
        same.text(owner(views), ROLE),
    ];
    if views {
        columns.push(same.null("definition"));
    } else {
        columns.push(same.null("tablespace"));
        let none = ["hasindexes", "hasrules", "hastriggers", "rowsecurity"];
        columns.extend(none.map(|name| same.flag(name, false)));
    }
    columns
}

fn counted(all: &[Relation]) -> Vec<Column> {
    let all: Vec<_> = all.iter().filter(|r| !r.view).collect();
    let same = Same(all.len());
    vec![
        oids("relid", kind::OID, all.iter().map(|r| r.oid)),
        texts("schemaname", all.iter().map(|r| Some(r.schema))),
        texts("relname", all.iter().map(|r| Some(&r.name))),
        same.int("n_live_tup", 0),
        same.int("n_dead_tup", 0),
    ]
}

fn databases() -> Vec<Column> {
    let same = Same(1);
    vec![
        same.oid("oid", kind::OID, DATABASE),
        same.text("datname", CATALOG),
        same.oid("datdba", kind::OID, OWNER),
        same.int("encoding", 6),
        same.text("datlocprovider", "c"),
        same.flag("datistemplate", false),
        same.flag("datallowconn", true),
        same.int("datconnlimit", -1),
        same.int("datfrozenxid", 0),
        same.int("datminmxid", 0),
        same.oid("dattablespace", kind::OID, 1663),
        same.text("datcollate", "C"),
        same.text("datctype", "C.UTF-8"),
        same.null("daticulocale"),
        same.null("daticurules"),
        same.null("datcollversion"),
        same.null("datacl"),
    ]
}

fn roles() -> Vec<Column> {
    let same = Same(1);
    vec![
        same.oid("oid", kind::OID, OWNER),
        same.text("rolname", ROLE),
        same.flag("rolsuper", false),
        same.flag("rolinherit", true),
        same.flag("rolcreaterole", false),
        same.flag("rolcreatedb", false),
        same.flag("rolcanlogin", true),
        same.flag("rolreplication", false),
        same.flag("rolbypassrls", false),
        same.int("rolconnlimit", -1),
        same.null("rolpassword"),
        same.null("rolvaliduntil"),
        same.null("rolconfig"),
    ]
}

fn users() -> Vec<Column> {
    let same = Same(1);
    vec![
        same.text("usename", ROLE),
        same.oid("usesysid", kind::OID, OWNER),
        same.flag("usecreatedb", false),
        same.flag("usesuper", false),
        same.flag("userepl", false),
        same.flag("usebypassrls", false),
        same.null("passwd"),
        same.null("valuntil"),
        same.null("useconfig"),
    ]
}

fn extensions() -> Vec<Column> {
    let same = Same(1);
    vec![
        same.oid("oid", kind::OID, 16_385),
        same.text("extname", "timescaledb"),
        same.oid("extowner", kind::OID, OWNER),
        same.oid("extnamespace", kind::OID, SCHEMAS[0].1),
        same.flag("extrelocatable", false),
        same.text("extversion", TIMESCALEDB),
        same.null("extconfig"),
        same.null("extcondition"),
    ]
}

fn settings() -> Vec<Column> {
    let same = Same(SETTINGS.len());
    vec![
        texts("name", SETTINGS.iter().map(|(name, _)| Some(name))),
        texts("setting", SETTINGS.iter().map(|(_, usual)| Some(usual))),
        same.null("unit"),
        same.text("category", "Client Connection Defaults"),
        same.null("short_desc"),
        same.null("extra_desc"),
        same.text("context", "user"),
        same.text("vartype", "string"),
        same.text("source", "default"),
        same.null("min_val"),
        same.null("max_val"),
        same.null("enumvals"),
        texts("boot_val", SETTINGS.iter().map(|(_, usual)| Some(usual))),
        texts("reset_val", SETTINGS.iter().map(|(_, usual)| Some(usual))),
        same.null("sourcefile"),
        same.int("sourceline", 0),
        same.flag("pending_restart", false),
    ]
}

/// Which cursors a session has, only its door knows.
fn cursors() -> Vec<Column> {
    let same = Same(0);
    vec![
        same.text("name", ""),
        same.text("statement", ""),
        same.flag("is_holdable", false),
        same.flag("is_binary", false),
        same.flag("is_scrollable", false),
    ]
}
