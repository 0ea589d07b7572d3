//! What this SQL can do, and its types, for clients that ask before they do
//! anything (JDBC asks for all of it, and takes what is missing for an error).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    CommandGetSqlInfo, CommandGetXdbcTypeInfo, Nullable, Searchable, SqlInfo, SqlNullOrdering,
    SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries,
    SqlSupportedTransaction, SqlSupportedUnions, SqlTransactionIsolationLevel, SupportedSqlGrammar,
    XdbcDataType, XdbcDatetimeSubcode,
};

use crate::sandbox;

pub(super) fn answer(asked: CommandGetSqlInfo) -> Result<RecordBatch, FlightError> {
    static INFO: LazyLock<Result<SqlInfoData, FlightError>> = LazyLock::new(|| info().build());
    match &*INFO {
        Ok(info) => asked.into_builder(info).build(),
        Err(error) => Err(FlightError::DecodeError(error.to_string())),
    }
}

pub(super) fn types(asked: CommandGetXdbcTypeInfo) -> Result<RecordBatch, FlightError> {
    static TYPES: LazyLock<Result<XdbcTypeInfoData, FlightError>> =
        LazyLock::new(|| xdbc_types().build());
    match &*TYPES {
        Ok(types) => asked.into_builder(types).build(),
        Err(error) => Err(FlightError::DecodeError(error.to_string())),
    }
}

/// The bits with these numbers.
fn bits(numbers: &[i32]) -> i32 {
    numbers.iter().fold(0, |bits, number| bits | 1 << number)
}

fn info() -> SqlInfoDataBuilder {
    use SqlInfo::*;
    let mut info = SqlInfoDataBuilder::new();
    info.append(FlightSqlServerName, "Cloudsail");
    info.append(FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    info.append(FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(
        SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32,
    );
    info.append(SqlNullOrdering, self::SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(
        SqlOuterJoinsSupportLevel,
        self::SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32,
    );
    info.append(
        SqlDefaultTransactionIsolation,
        SqlTransactionIsolationLevel::SqlTransactionNone as i32,
    );
    for (name, text) in [
        (SqlIdentifierQuoteChar, "\""),
        (SqlSearchStringEscape, "\\"),
        (SqlExtraNameCharacters, ""),
        (SqlSchemaTerm, "schema"),
        (SqlCatalogTerm, "catalog"),
        (SqlProcedureTerm, "procedure"),
    ] {
        info.append(name, text);
    }
    for (name, holds) in [
        (FlightSqlServerReadOnly, true),
        (FlightSqlServerSql, true),
        (FlightSqlServerSubstrait, false),
        (FlightSqlServerCancel, true),
        (FlightSqlServerBulkIngestion, false),
        (FlightSqlServerIngestTransactionsSupported, false),
        (SqlDdlCatalog, false),
        (SqlDdlSchema, false),
        (SqlDdlTable, false),
        (SqlAllTablesAreSelectable, true),
        (SqlSupportsColumnAliasing, true),
        (SqlNullPlusNullIsNull, true),
        (SqlSupportsTableCorrelationNames, true),
        (SqlSupportsDifferentTableCorrelationNames, false),
        (SqlSupportsExpressionsInOrderBy, true),
        (SqlSupportsOrderByUnrelated, true),
        (SqlSupportsLikeEscapeClause, true),
        (SqlSupportsNonNullableColumns, false),
        (SqlSupportsIntegrityEnhancementFacility, false),
        (SqlCatalogAtStart, true),
        (SqlSelectForUpdateSupported, false),
        (SqlStoredProceduresSupported, false),
        (SqlCorrelatedSubqueriesSupported, true),
        (SqlMaxRowSizeIncludesBlobs, false),
        (SqlTransactionsSupported, false),
        (SqlDataDefinitionCausesTransactionCommit, false),
        (SqlDataDefinitionsInTransactionsIgnored, true),
        (SqlBatchUpdatesSupported, false),
        (SqlSavepointsSupported, false),
        (SqlNamedParametersSupported, false),
        (SqlLocatorsUpdateCopy, false),
        (SqlStoredFunctionsUsingCallSyntaxSupported, false),
    ] {
        info.append(name, holds);
    }
    let level = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    let forward = SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32;
    let reads = SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32;
    let subqueries = [
        self::SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
        self::SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
        self::SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
    ];
    for (name, set) in [
        (SqlSupportedGroupBy, bits(&[self::SqlSupportedGroupBy::SqlGroupByUnrelated as i32])),
        (SqlSupportedGrammar, bits(&[SupportedSqlGrammar::SqlMinimumGrammar as i32])),
        // Entry level.
        (SqlAnsi92SupportedLevel, bits(&[0])),
        (SqlSchemasSupportedActions, 0),
        (SqlCatalogsSupportedActions, 0),
        (SqlSupportedPositionedCommands, 0),
        (SqlSupportedSubqueries, bits(&subqueries)),
        (
            SqlSupportedUnions,
            bits(&[
                self::SqlSupportedUnions::SqlUnion as i32,
                self::SqlSupportedUnions::SqlUnionAll as i32,
            ]),
        ),
        (SqlSupportedTransactionsIsolationLevels, bits(&[level])),
        (SqlSupportedResultSetTypes, bits(&[forward])),
        (SqlSupportedConcurrenciesForResultSetForwardOnly, bits(&[reads])),
        (SqlSupportedConcurrenciesForResultSetScrollSensitive, 0),
        (SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0),
    ] {
        info.append(name, set);
    }
    // 0 is no limit, or none that is known.
    for (name, most) in [
        (SqlMaxStatementLength, sandbox::MAX_BYTES as i64),
        (SqlMaxBinaryLiteralLength, 0),
        (SqlMaxCharLiteralLength, 0),
        (SqlMaxColumnNameLength, 0),
        (SqlMaxColumnsInGroupBy, 0),
        (SqlMaxColumnsInIndex, 0),
        (SqlMaxColumnsInOrderBy, 0),
        (SqlMaxColumnsInSelect, 0),
        (SqlMaxColumnsInTable, 0),
        (SqlMaxConnections, 0),
        (SqlMaxCursorNameLength, 0),
        (SqlMaxIndexLength, 0),
        (SqlDbSchemaNameLength, 0),
        (SqlMaxProcedureNameLength, 0),
        (SqlMaxCatalogNameLength, 0),
        (SqlMaxRowSize, 0),
        (SqlMaxStatements, 0),
        (SqlMaxTableNameLength, 0),
        (SqlMaxTablesInSelect, 0),
        (SqlMaxUsernameLength, 0),
    ] {
        info.append(name, most);
    }
    // The lists of words are for editors: what is asked for most.
    for (name, words) in [
        (SqlKeywords, &["ILIKE", "QUALIFY"][..]),
        (
            SqlNumericFunctions,
            &["abs", "ceil", "floor", "ln", "log10", "power", "round", "sqrt"][..],
        ),
        (
            SqlStringFunctions,
            &["concat", "length", "lower", "replace", "substr", "trim", "upper"][..],
        ),
        (SqlSystemFunctions, &["attr", "coalesce", "nullif"][..]),
        (SqlDatetimeFunctions, &["date_bin", "date_part", "date_trunc", "now", "time_bucket"][..]),
    ] {
        info.append(name, words);
    }
    info.append(SqlSupportsConvert, BTreeMap::new());
    info
}

fn xdbc_types() -> XdbcTypeInfoDataBuilder {
    use XdbcDataType::*;
    let mut types = XdbcTypeInfoDataBuilder::new();
    let quoted = Some("'");
    // Name, code, size in digits or characters, base of the size, quote.
    for (name, data_type, size, radix, quote) in [
        ("boolean", XdbcBit, 1, None, None),
        ("int", XdbcInteger, 32, Some(2), None),
        ("bigint", XdbcBigint, 64, Some(2), None),
        ("double", XdbcDouble, 53, Some(2), None),
        ("text", XdbcVarchar, i32::MAX, None, quoted),
        ("bytea", XdbcVarbinary, i32::MAX, None, quoted),
        ("date", XdbcDate, 10, None, quoted),
        ("timestamp", XdbcTimestamp, 26, None, quoted),
        ("timestamptz", XdbcTimestamp, 32, None, quoted),
    ] {
        let zoned = name == "timestamptz";
        let subcode = match data_type {
            XdbcTimestamp if zoned => Some(XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone),
            XdbcTimestamp => Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
            // The code of a date is that of a year (FlightSql.proto).
            XdbcDate => Some(XdbcDatetimeSubcode::XdbcSubcodeYear),
            _ => None,
        };
        types.append(XdbcTypeInfo {
            type_name: name.into(),
            data_type,
            column_size: Some(size),
            literal_prefix: quote.map(str::to_owned),
            literal_suffix: quote.map(str::to_owned),
            create_params: None,
            nullable: Nullable::NullabilityNullable,
            case_sensitive: data_type == XdbcVarchar,
            searchable: Searchable::Full,
            unsigned_attribute: radix.map(|_| false),
            fixed_prec_scale: false,
            auto_increment: None,
            local_type_name: Some(name.into()),
            minimum_scale: None,
            maximum_scale: None,
            sql_data_type: if subcode.is_some() { XdbcDatetime } else { data_type },
            datetime_subcode: subcode,
            num_prec_radix: radix,
            interval_precision: None,
        });
    }
    types
}
