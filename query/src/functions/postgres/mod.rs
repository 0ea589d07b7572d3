//! What PostgreSQL's clients call before they ask for rows.
//!
//! | file | functions |
//! | --- | --- |
//! | this | `version`, `current_setting`, `set_config`, and the list of them all |
//! | [`constant`] | those whose answer is the same for every row: who owns, what is visible, what is not kept |
//!
//! `format_type`, `quote_ident`, `parse_ident`, `array_upper` and others that
//! look at their arguments are `datafusion-pg-catalog`'s.

mod constant;

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion_pg_catalog::pg_catalog as theirs;

/// The functions that know which connection asks.
pub(crate) fn connected(connection: Option<i32>) -> Option<Arc<ScalarUDF>> {
    connection.map(|pid| Arc::new(constant::backend(pid)))
}

/// The version whose protocol and catalogs these are, and whose server it is.
pub(crate) const SERVER_VERSION: &str = concat!("16.6 (Cloudsail ", env!("CARGO_PKG_VERSION"), ")");
pub(crate) const SERVER_VERSION_NUM: &str = "160006";
/// Who owns everything, and whom everyone is.
pub(crate) const ROLE: &str = "cloudsail";

/// Settings that clients know, with their usual values, by name. A door may
/// keep others for a connection; none of them changes how statements run.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("geqo", "on"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("jit", "off"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("row_security", "on"),
    ("search_path", "\"$user\", public"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", SERVER_VERSION_NUM),
    ("session_authorization", ROLE),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("synchronous_commit", "on"),
    ("timezone", "UTC"),
    ("transaction_deferrable", "off"),
    ("transaction_isolation", "repeatable read"),
    ("transaction_read_only", "on"),
    ("work_mem", "4MB"),
];

/// A setting's usual value.
pub(crate) fn usual(name: &str) -> Option<&'static str> {
    let found = SETTINGS.binary_search_by_key(&name, |(known, _)| *known).ok()?;
    Some(SETTINGS[found].1)
}

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    let mut all = vec![
        theirs::create_current_schemas_udf(),
        theirs::pg_get_expr_udf::create_pg_get_expr_udf(),
        theirs::format_type::create_format_type_udf(),
        theirs::quote_ident_udf::create_quote_ident_udf(),
        theirs::quote_ident_udf::create_parse_ident_udf(),
        theirs::array_bounds_udf::create_array_upper_udf(),
        theirs::array_bounds_udf::create_array_lower_udf(),
        ScalarUDF::new_from_impl(Session::new("version", Says::Version)),
        ScalarUDF::new_from_impl(Session::new("current_setting", Says::Setting)),
        ScalarUDF::new_from_impl(Session::new("set_config", Says::Value)),
    ];
    all.extend(constant::all());
    all.extend(crate::catalog::postgres::functions::told());
    all.into_iter().map(Arc::new).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Says {
    Version,
    Setting,
    /// The value that was to be set; nothing is.
    Value,
}

/// A function about the session.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Session {
    name: &'static str,
    says: Says,
    signature: Signature,
}

impl Session {
    fn new(name: &'static str, says: Says) -> Session {
        use DataType::{Boolean, Utf8};
        let signature = match says {
            Says::Version => TypeSignature::Nullary,
            Says::Setting => TypeSignature::OneOf(vec![
                TypeSignature::Exact(vec![Utf8]),
                TypeSignature::Exact(vec![Utf8, Boolean]),
            ]),
            Says::Value => TypeSignature::Exact(vec![Utf8, Utf8, Boolean]),
        };
        Session { name, says, signature: Signature::new(signature, Volatility::Stable) }
    }
}

impl ScalarUDFImpl for Session {
    fn name(&self) -> &str {
        self.name
    }

    /// A column is called as the function, as in PostgreSQL.
    fn schema_name(&self, _: &[Expr]) -> Result<String, DataFusionError> {
        Ok(self.name.to_owned())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let text = |index: usize| -> Result<Arc<dyn Array>, DataFusionError> {
            Ok(cast(&args.args[index].to_array(args.number_rows)?, &DataType::Utf8)?)
        };
        match self.says {
            Says::Version => Ok(text_value(format!("PostgreSQL {SERVER_VERSION}"))),
            Says::Value => Ok(ColumnarValue::Array(text(1)?)),
            Says::Setting => {
                let names = text(0)?;
                let zone = args.config_options.execution.time_zone.as_deref();
                let missing_ok = args.args.len() > 1;
                let mut values = Vec::with_capacity(names.len());
                for name in names.as_string::<i32>() {
                    let name = name.map(str::to_lowercase);
                    let value = match name.as_deref() {
                        Some("timezone") => zone.or(Some("UTC")),
                        Some(known) => usual(known),
                        None => None,
                    };
                    if let (Some(name), None, false) = (&name, value, missing_ok) {
                        return exec_err!("unrecognized configuration parameter \"{name}\"");
                    }
                    values.push(value.map(str::to_owned));
                }
                Ok(ColumnarValue::Array(Arc::new(StringArray::from(values))))
            }
        }
    }
}

fn text_value(text: String) -> ColumnarValue {
    ColumnarValue::Scalar(datafusion::common::ScalarValue::Utf8(Some(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the settings by name.
    /// Guarantees: each is found.
    #[test]
    fn settings_are_found() {
        assert!(SETTINGS.is_sorted_by_key(|(name, _)| name));
        assert_eq!(usual("server_version_num"), Some("160006"));
        assert_eq!(usual("nothing"), None);
    }
}
