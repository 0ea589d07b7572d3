//! Types and columns that every signal has.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::table::{Column, ColumnType, Promotion, Scope, TableDef};

/// Microseconds, UTC: the finest that Delta keeps.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// `map<string, string>` with Parquet's standard field names, so that what is
/// read back has the very type that was written.
pub fn string_map() -> DataType {
    DataType::Map(
        Arc::new(Field::new("key_value", DataType::Struct(map_entry_fields()), false)),
        false,
    )
}

/// The fields of an entry of [`string_map`].
pub fn map_entry_fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ])
}

pub fn list(of: DataType) -> DataType {
    DataType::List(list_field(of))
}

/// The element field of [`list`].
pub fn list_field(of: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", of, true))
}

pub fn structure(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect())
}

/// The columns that every signal's table starts with.
pub fn columns() -> Vec<Column> {
    use DataType::{Int64, Utf8};
    let (c, of_origin, of_shape) = (Column::new, Column::of_origin, Column::of_shape);
    vec![
        c("time", timestamp(), "When it happened (UTC, microseconds)."),
        c("time_unix_nano", Int64, "`time` to the nanosecond, since 1970 (UTC)."),
        c("ingest_time", timestamp(), "When this node received it (UTC)."),
        of_origin("node_id", Utf8, "The Cloudsail node that received it."),
        of_origin("service_name", Utf8, "Resource attribute `service.name`."),
        of_origin("service_namespace", Utf8, "Resource attribute `service.namespace`."),
        of_origin("service_instance_id", Utf8, "Resource attribute `service.instance.id`."),
        of_origin("service_version", Utf8, "Resource attribute `service.version`."),
        of_origin(
            "deployment_environment",
            Utf8,
            "Resource attribute `deployment.environment.name`, else the older `deployment.environment`.",
        ),
        of_origin("resource_attributes", string_map(), "The resource's other attributes, as text."),
        of_origin(
            "resource_attribute_types",
            Utf8,
            "One letter per entry of `resource_attributes`: s string, i int, d double, b boolean, j array or map, y bytes; NULL when all are strings.",
        ),
        of_origin("resource_schema_url", Utf8, "Schema URL of the resource."),
        of_origin(
            "resource_dropped_attributes_count",
            Int64,
            "Resource attributes the sender dropped.",
        ),
        of_origin("scope_name", Utf8, "Name of the instrumentation scope."),
        of_origin("scope_version", Utf8, "Version of the instrumentation scope."),
        of_origin(
            "scope_attributes",
            string_map(),
            "Attributes of the instrumentation scope, as text.",
        ),
        of_origin("scope_schema_url", Utf8, "Schema URL of the scope."),
        of_origin("scope_dropped_attributes_count", Int64, "Scope attributes the sender dropped."),
        of_shape("attributes", string_map(), "The record's own attributes, as text."),
        of_shape(
            "attribute_types",
            Utf8,
            "One letter per entry of `attributes`; NULL when all are strings.",
        ),
    ]
}

/// Resource attributes promoted on every signal. The first five carry the
/// names of the common columns.
fn resource_promotions() -> Vec<Promotion> {
    let named = [
        ("service.name", "service_name"),
        ("service.namespace", "service_namespace"),
        ("service.instance.id", "service_instance_id"),
        ("service.version", "service_version"),
        ("deployment.environment.name", "deployment_environment"),
    ];
    let plain = [
        "k8s.cluster.name",
        "k8s.namespace.name",
        "k8s.node.name",
        "k8s.deployment.name",
        "k8s.pod.name",
        "k8s.pod.uid",
        "k8s.container.name",
        "container.id",
        "host.name",
        "cloud.region",
    ];
    let text = |key: &str, column: &str| Promotion {
        scope: Scope::Resource,
        key: key.into(),
        kind: ColumnType::Text,
        column: column.into(),
    };
    let named = named.iter().map(|(key, column)| text(key, column));
    named.chain(plain.iter().map(|key| text(key, key))).collect()
}

/// Adds the promoted columns: the shared resource keys, the table's own record
/// keys, then what the user configured. Returns the finished columns.
pub(crate) fn promote(
    mut columns: Vec<Column>,
    record: &[(&str, ColumnType)],
    extra: &[Promotion],
) -> (Vec<Column>, Vec<Promotion>) {
    let own = record.iter().map(|(key, kind)| Promotion {
        scope: Scope::Record,
        key: (*key).into(),
        kind: *kind,
        column: (*key).into(),
    });
    let mut promotions: Vec<Promotion> = Vec::new();
    let fixed: Vec<Promotion> = resource_promotions().into_iter().chain(own).collect();
    for (index, promotion) in fixed.iter().chain(extra).enumerate() {
        let exists = columns.iter().any(|c| c.name.eq_ignore_ascii_case(&promotion.column));
        if exists && (index >= fixed.len() || promotion.column == promotion.key) {
            continue;
        }
        if !exists {
            let doc = format!("{} attribute `{}`.", title(promotion.scope), promotion.key);
            let column = match promotion.scope {
                Scope::Record => Column::new,
                Scope::Resource | Scope::Scope => Column::of_origin,
            };
            columns.push(column(&promotion.column, promotion.kind.data_type(), &doc));
        }
        promotions.push(promotion.clone());
    }
    (columns, promotions)
}

fn title(scope: Scope) -> &'static str {
    match scope {
        Scope::Resource => "Resource",
        Scope::Scope => "Scope",
        Scope::Record => "Record",
    }
}

/// A signal's table: common columns, its own, then the promoted ones.
pub(crate) fn signal_table(
    name: &'static str,
    doc: &'static str,
    own: Vec<Column>,
    record: &[(&str, ColumnType)],
    extra: &[Promotion],
) -> TableDef {
    let mut columns = columns();
    columns.extend(own);
    let (columns, promotions) = promote(columns, record, extra);
    let mut table = TableDef::new(name, doc, columns);
    table.promotions = promotions;
    table
}
