//! `information_schema`: DataFusion's, with PostgreSQL's names for types, and
//! without the engine's settings (S20).

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use async_trait::async_trait;
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use pgwire::api::Type;

use super::postgres::{relations, types};
use super::{CATALOG, ColumnsOnly, View};

const SETTINGS: &str = "df_settings";

/// What has no rows here: nothing is constrained, granted or triggered.
const EMPTY: [(&str, &[&str]); 8] = [
    (
        "table_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
            "enforced",
        ],
    ),
    (
        "key_column_usage",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "position_in_unique_constraint",
        ],
    ),
    (
        "constraint_column_usage",
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
        ],
    ),
    (
        "referential_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "match_option",
            "update_rule",
            "delete_rule",
        ],
    ),
    (
        "table_privileges",
        &["grantor", "grantee", "table_catalog", "table_schema", "table_name", "privilege_type"],
    ),
    ("sequences", &["sequence_catalog", "sequence_schema", "sequence_name", "data_type"]),
    ("triggers", &["trigger_catalog", "trigger_schema", "trigger_name", "event_object_table"]),
    (
        "check_constraints",
        &["constraint_catalog", "constraint_schema", "constraint_name", "check_clause"],
    ),
];

#[derive(Debug)]
pub(super) struct Information(pub Arc<View>);

impl Information {
    fn inner(&self) -> InformationSchemaProvider {
        InformationSchemaProvider::new(Arc::new(ColumnsOnly(self.0.clone())))
    }
}

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        let own = EMPTY.iter().map(|(name, _)| (*name).to_owned());
        self.inner().table_names().into_iter().filter(|name| name != SETTINGS).chain(own).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let name = name.to_ascii_lowercase();
        if name == SETTINGS {
            return Ok(None);
        }
        if name == "columns" {
            return columns(&self.0).map(Some);
        }
        if let Some((_, names)) = EMPTY.iter().find(|(known, _)| *known == name) {
            let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            return Ok(Some(Arc::new(MemTable::try_new(schema, vec![Vec::new()])?)));
        }
        self.inner().table(&name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name != SETTINGS
            && (EMPTY.iter().any(|(known, _)| *known == name) || self.inner().table_exist(&name))
    }
}

fn columns(view: &Arc<View>) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    struct Line<'a> {
        schema: &'a str,
        table: &'a str,
        number: i16,
        field: &'a FieldRef,
        of: Type,
    }
    let all = relations::all(view);
    let lines = all.iter().flat_map(|relation| {
        relation.numbered().map(move |(number, field)| Line {
            schema: relation.schema,
            table: &relation.name,
            number,
            field,
            of: types::of(field),
        })
    });
    let lines: Vec<Line> = lines.collect();
    let mut fields: Vec<Field> = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    let mut text = |name: &str, of: &dyn Fn(&Line) -> Option<String>| {
        fields.push(Field::new(name, DataType::Utf8, true));
        arrays.push(Arc::new(lines.iter().map(of).collect::<StringArray>()));
    };
    text("table_catalog", &|_| Some(CATALOG.into()));
    text("table_schema", &|line| Some(line.schema.into()));
    text("table_name", &|line| Some(line.table.into()));
    text("column_name", &|line| Some(line.field.name().clone()));
    text("column_default", &|_| None);
    text("is_nullable", &|line| Some(if line.field.is_nullable() { "YES" } else { "NO" }.into()));
    text("data_type", &|line| Some(types::standard_name(&line.of).into()));
    text("udt_catalog", &|_| Some(CATALOG.into()));
    text("udt_schema", &|_| Some("pg_catalog".into()));
    text("udt_name", &|line| Some(line.of.name().into()));
    text("interval_type", &|_| None);
    text("character_set_name", &|_| None);
    text("collation_name", &|_| None);
    text("domain_name", &|_| None);
    text("is_identity", &|_| Some("NO".into()));
    text("identity_generation", &|_| None);
    text("is_generated", &|_| Some("NEVER".into()));
    text("generation_expression", &|_| None);
    text("is_updatable", &|_| Some("NO".into()));
    let mut number = |at: usize, name: &str, of: &dyn Fn(&Line) -> Option<i32>| {
        fields.insert(at, Field::new(name, DataType::Int32, true));
        arrays.insert(at, Arc::new(lines.iter().map(of).collect::<Int32Array>()));
    };
    let timed = |of: &Type| {
        matches!(*of, Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME | Type::INTERVAL)
    };
    // In the standard's order.
    number(4, "ordinal_position", &|line| Some(line.number.into()));
    number(8, "character_maximum_length", &|_| None);
    number(9, "character_octet_length", &|line| (line.of == Type::TEXT).then_some(1 << 30));
    number(10, "numeric_precision", &|line| types::precision(&line.of).0);
    number(11, "numeric_precision_radix", &|line| types::precision(&line.of).1);
    number(12, "numeric_scale", &|line| types::precision(&line.of).2);
    number(13, "datetime_precision", &|line| match line.of {
        Type::DATE => Some(0),
        ref of => timed(of).then_some(6),
    });
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}
