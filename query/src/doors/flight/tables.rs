//! What there is to ask about: one row set for each command that asks.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{GetCatalogsBuilder, GetDbSchemasBuilder, GetTablesBuilder};
use arrow_flight::sql::{Command, CommandGetTableTypes};
use schema::Tenant;
use tonic::Status;

use super::sessions::Session;
use super::{batches, info, service};
use crate::catalog::{self, CATALOG, describe};
use crate::{Engine, Error};

/// Names of the kinds of tables, as JDBC knows them.
const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

/// The names under which Flight SQL's clients look for what a column is.
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";
const REMARKS: &str = "ARROW:FLIGHT:SQL:REMARKS";

pub(super) fn answer(
    engine: &Engine,
    session: &Session,
    command: Command,
) -> Result<RecordBatch, Status> {
    let built = match command {
        Command::CommandGetCatalogs(it) => {
            let mut catalogs: GetCatalogsBuilder = it.into_builder();
            catalogs.append(CATALOG);
            catalogs.build()
        }
        Command::CommandGetDbSchemas(it) => {
            let mut schemas: GetDbSchemasBuilder = it.into_builder();
            for schema in catalog::SCHEMAS {
                schemas.append(CATALOG, schema);
            }
            schemas.build()
        }
        Command::CommandGetTableTypes(it) => table_types(it),
        Command::CommandGetTables(it) => tables(engine, &session.caller.tenant, it.into_builder()),
        Command::CommandGetPrimaryKeys(_) => Ok(RecordBatch::new_empty(Arc::new(primary_keys()))),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => {
            Ok(RecordBatch::new_empty(Arc::new(foreign_keys())))
        }
        Command::CommandGetSqlInfo(it) => info::answer(it),
        Command::CommandGetXdbcTypeInfo(it) => info::types(it),
        other => return Err(service::unknown(other.type_url())),
    };
    // A pattern, say, that cannot be read.
    built.map_err(|error| Error::invalid(error.to_string()).into())
}

fn table_types(asked: CommandGetTableTypes) -> Result<RecordBatch, FlightError> {
    let mut types = asked.into_builder();
    types.append(TABLE);
    types.append(VIEW);
    types.build()
}

fn tables(
    engine: &Engine,
    tenant: &Tenant,
    mut tables: GetTablesBuilder,
) -> Result<RecordBatch, FlightError> {
    for table in describe::shapes(&engine.core, tenant) {
        let columns = batches::plain(&table.columns);
        let columns = columns.fields().iter().zip(&table.docs).map(|(field, doc)| {
            let what =
                [(TYPE_NAME, describe::type_name(field.data_type())), (REMARKS, doc.clone())];
            field.as_ref().clone().with_metadata(what.map(|(k, v)| (k.to_owned(), v)).into())
        });
        let columns = Schema::new(columns.collect::<Vec<_>>());
        let kind = if table.view { VIEW } else { TABLE };
        tables.append(CATALOG, table.schema, &table.name, kind, &columns)?;
    }
    tables.build()
}

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

/// As FlightSql.proto lays them down; there are no keys to tell of.
fn primary_keys() -> Schema {
    Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        text("key_name", true),
        Field::new("key_sequence", DataType::Int32, false),
    ])
}

fn foreign_keys() -> Schema {
    Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ])
}
