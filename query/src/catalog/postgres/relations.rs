//! Schemas and relations with the numbers that the catalogs know them by.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_pg_catalog::pg_catalog::PG_CATALOG_TABLES;

use super::super::{INFORMATION, PG_CATALOG, PUBLIC, SYSTEM, View, describe, public, system};

/// The one data base and its one owner.
pub(super) const DATABASE: i32 = 5;
pub(super) const OWNER: i32 = 10;
/// The number of `pg_class` itself.
pub(super) const PG_CLASS: i32 = 1259;

/// PostgreSQL's own numbers where it has fixed ones.
pub(super) const SCHEMAS: [(&str, i32); 4] =
    [(PUBLIC, 2200), (SYSTEM, 16_384), (PG_CATALOG, 11), (INFORMATION, 13_183)];

/// Catalogs that are named by number in queries over them.
const NUMBERED: [(&str, i32); 8] = [
    ("pg_type", 1247),
    ("pg_attribute", 1249),
    ("pg_proc", 1255),
    ("pg_class", PG_CLASS),
    ("pg_database", 1262),
    ("pg_constraint", 2606),
    ("pg_namespace", 2615),
    ("pg_authid", 1260),
];

/// Something with columns.
pub(in crate::catalog) struct Relation {
    pub oid: i32,
    pub schema: &'static str,
    pub schema_oid: i32,
    pub name: String,
    pub view: bool,
    /// Empty for the catalogs' own tables.
    pub columns: SchemaRef,
    pub doc: String,
    /// What each column means, in their order; may be shorter.
    pub docs: Vec<String>,
}

impl Relation {
    /// The columns with their numbers, from 1.
    pub fn numbered(&self) -> impl Iterator<Item = (i16, &Arc<Field>)> {
        (1i16..).zip(self.columns.fields())
    }
}

/// The tables and views of a tenant, and the catalogs by name.
pub(in crate::catalog) fn all(view: &Arc<View>) -> Vec<Relation> {
    let mut all = Vec::new();
    for name in public::names(view) {
        if let Some(columns) = public::schema(view, &name) {
            let is_view = view.pins.def(&name).is_none();
            let (doc, docs) = describe::meaning(view, &name, &columns);
            all.push(Relation { doc, docs, view: is_view, ..relation(PUBLIC, name, columns) });
        }
    }
    for name in system::NAMES {
        if let Some(columns) = system::schema(name) {
            let doc = describe::system_doc(name).to_owned();
            all.push(Relation { doc, ..relation(SYSTEM, name.to_owned(), columns) });
        }
    }
    let nothing = Arc::new(Schema::empty());
    for name in PG_CATALOG_TABLES {
        all.push(relation(PG_CATALOG, (*name).to_owned(), nothing.clone()));
    }
    all
}

fn relation(schema: &'static str, name: String, columns: SchemaRef) -> Relation {
    let schema_oid = SCHEMAS.iter().find(|(known, _)| *known == schema).map_or(0, |(_, oid)| *oid);
    let oid = number(schema, &name);
    Relation {
        oid,
        schema,
        schema_oid,
        name,
        view: true,
        columns,
        doc: String::new(),
        docs: Vec::new(),
    }
}

/// The same on every node and after every start: clients keep them.
pub(super) fn number(schema: &str, name: &str) -> i32 {
    if let Some((_, oid)) =
        NUMBERED.iter().find(|(known, _)| schema == PG_CATALOG && *known == name)
    {
        return *oid;
    }
    // FNV-1a, above the numbers that PostgreSQL keeps for itself.
    let hash = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = schema.as_bytes().iter().chain(b".").chain(name.as_bytes()).fold(0x811c_9dc5, hash);
    20_000 + (hash & 0x3fff_ffff) as i32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::super::views;
    use super::*;

    /// Scenario: every relation that there can be without a configuration.
    /// Guarantees: no two have one number.
    #[test]
    fn relations_have_numbers_of_their_own() {
        let catalog = schema::Catalog::default();
        let public = catalog.tables().iter().map(|def| (PUBLIC, def.name));
        let views = views::names().map(|name| (PUBLIC, name));
        let system = system::NAMES.iter().map(|name| (SYSTEM, *name));
        let own = PG_CATALOG_TABLES.iter().map(|name| (PG_CATALOG, *name));
        let latest = catalog.tables().iter().filter_map(|def| def.latest);
        let views = views.chain(latest.map(|latest| (PUBLIC, latest.view)));
        let all: Vec<_> = public.chain(views).chain(system).chain(own).collect();
        let numbers: BTreeSet<i32> =
            all.iter().map(|(schema, name)| number(schema, name)).collect();
        assert_eq!(numbers.len(), all.len());
        assert!(all.len() > 80);
    }
}
