//! Functions whose answer does not depend on the row.

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use super::ROLE;
use crate::catalog::{CATALOG, PUBLIC};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Answer {
    Text(Option<&'static str>),
    Flag(bool),
    Int(i32),
    Long(i64),
}

use Answer::{Flag, Int, Long, Text};

/// By name, with others that answer the same.
const ALL: &[(&str, &[&str], Answer)] = &[
    ("current_database", &["current_catalog"], Text(Some(CATALOG))),
    ("current_schema", &[], Text(Some(PUBLIC))),
    ("pg_encoding_to_char", &[], Text(Some("UTF8"))),
    (
        "session_user",
        &["current_user", "user", "current_role", "pg_get_userbyid"],
        Text(Some(ROLE)),
    ),
    // Everything may be read, and everything is found without its schema.
    ("has_table_privilege", &["has_any_column_privilege", "has_column_privilege"], Flag(true)),
    ("has_schema_privilege", &["has_database_privilege", "has_function_privilege"], Flag(true)),
    ("pg_has_role", &["has_tablespace_privilege", "has_type_privilege"], Flag(true)),
    ("pg_table_is_visible", &["pg_type_is_visible", "pg_function_is_visible"], Flag(true)),
    ("pg_opclass_is_visible", &["pg_operator_is_visible", "pg_collation_is_visible"], Flag(true)),
    ("pg_ts_config_is_visible", &["pg_conversion_is_visible"], Flag(true)),
    // Nothing is published, inherited or replicated.
    ("pg_relation_is_publishable", &["pg_is_in_recovery", "pg_is_wal_replay_paused"], Flag(false)),
    ("pg_advisory_unlock_all", &["pg_get_partkeydef", "pg_get_constraintdef"], Text(None)),
    ("pg_get_viewdef", &["pg_get_indexdef", "pg_get_triggerdef", "pg_get_ruledef"], Text(None)),
    ("pg_get_functiondef", &["pg_get_function_sqlbody"], Text(None)),
    ("pg_get_serial_sequence", &["pg_get_statisticsobjdef_columns"], Text(None)),
    ("pg_partition_ancestors", &["pg_tablespace_location", "inet_server_addr"], Text(None)),
    // A session puts those that know its tables in the place of the first two.
    ("obj_description", &["col_description", "shobj_description"], Text(None)),
    ("inet_client_addr", &["pg_size_pretty"], Text(None)),
    ("inet_server_port", &["inet_client_port"], Int(0)),
    ("pg_backend_pid", &[], Int(0)),
    ("pg_relation_size", &["pg_total_relation_size", "pg_table_size", "pg_indexes_size"], Long(0)),
    ("pg_database_size", &["pg_stat_get_numscans", "txid_current"], Long(0)),
];

/// The number of the connection that asks.
pub(super) fn backend(pid: i32) -> ScalarUDF {
    of("pg_backend_pid", Int(pid))
}

pub(super) fn all() -> impl Iterator<Item = ScalarUDF> {
    let named = ALL.iter().flat_map(|(name, others, answer)| {
        std::iter::once(name).chain(*others).map(move |name| (*name, answer.clone()))
    });
    named.map(|(name, answer)| of(name, answer))
}

fn of(name: &'static str, answer: Answer) -> ScalarUDF {
    let any = TypeSignature::OneOf(vec![TypeSignature::Nullary, TypeSignature::VariadicAny]);
    let signature = Signature::new(any, Volatility::Stable);
    ScalarUDF::new_from_impl(Constant { name, answer, signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    answer: Answer,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String, DataFusionError> {
        // Of one row or of each: PostgreSQL says only the name.
        let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        match args.is_empty() {
            true => Ok(self.name.to_owned()),
            false => Ok(format!("{}({})", self.name, args.join(","))),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(match self.answer {
            Text(_) => DataType::Utf8,
            Flag(_) => DataType::Boolean,
            Int(_) => DataType::Int32,
            Long(_) => DataType::Int64,
        })
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        Ok(ColumnarValue::Scalar(match self.answer {
            Text(text) => ScalarValue::Utf8(text.map(str::to_owned)),
            Flag(flag) => ScalarValue::Boolean(Some(flag)),
            Int(int) => ScalarValue::Int32(Some(int)),
            Long(long) => ScalarValue::Int64(Some(long)),
        }))
    }
}
