//! The one dialect, on every door: PostgreSQL's, and what people who look at
//! data have come to write elsewhere: `FROM t`, `FROM t SELECT …`,
//! `* EXCLUDE (…)`, `* REPLACE (…)`, `ORDER BY ALL`, a comma too many at the
//! end of a list of columns.
//!
//! The generic dialect would not do: it reads `a->>'k' = 'v'` as
//! `a->>('k' = 'v')`.

use std::any::TypeId;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem,
    SetExpr, Statement as Ast, TableFactor, Value, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours;

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// Methods that PostgreSQL's dialect answers.
macro_rules! as_in_postgres {
    ($($method:ident($($argument:ident: $of:ty),*) -> $answer:ty;)*) => {
        $(fn $method(&self $(, $argument: $of)*) -> $answer {
            POSTGRES.$method($($argument),*)
        })*
    };
}

/// Methods of ours that are true.
macro_rules! also {
    ($($method:ident)*) => {
        $(fn $method(&self) -> bool { true })*
    };
}

impl Dialect for Ours {
    /// The parser asks this where it has no method to ask.
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    also! {
        supports_from_first_select
        supports_select_wildcard_exclude
        supports_select_wildcard_replace
        supports_order_by_all
        supports_projection_trailing_commas
    }

    // All that PostgreSQL's dialect overrides: what is missing here falls back
    // to what no dialect has.
    as_in_postgres! {
        identifier_quote_style(identifier: &str) -> Option<char>;
        is_delimited_identifier_start(c: char) -> bool;
        is_identifier_start(c: char) -> bool;
        is_identifier_part(c: char) -> bool;
        is_reserved_for_identifier(keyword: Keyword) -> bool;
        is_custom_operator_part(c: char) -> bool;
        get_next_precedence(parser: &Parser) -> Option<Result<u8, ParserError>>;
        prec_value(precedence: Precedence) -> u8;
        allow_extract_custom() -> bool;
        allow_extract_single_quotes() -> bool;
        supports_unicode_string_literal() -> bool;
        supports_filter_during_aggregation() -> bool;
        supports_group_by_expr() -> bool;
        supports_create_index_with_clause() -> bool;
        supports_explain_with_utility_options() -> bool;
        supports_listen_notify() -> bool;
        supports_factorial_operator() -> bool;
        supports_bitwise_shift_operators() -> bool;
        supports_comment_on() -> bool;
        supports_load_extension() -> bool;
        supports_named_fn_args_with_colon_operator() -> bool;
        supports_named_fn_args_with_expr_name() -> bool;
        supports_empty_projections() -> bool;
        supports_nested_comments() -> bool;
        supports_string_escape_constant() -> bool;
        supports_numeric_literal_underscores() -> bool;
        supports_array_typedef_with_brackets() -> bool;
        supports_geometric_types() -> bool;
        supports_set_names() -> bool;
        supports_alter_column_type_using() -> bool;
        supports_notnull_operator() -> bool;
        supports_interval_options() -> bool;
        supports_insert_table_alias() -> bool;
        supports_create_table_like_parenthesized() -> bool;
        supports_select_wildcard_with_alias() -> bool;
        supports_comma_separated_trim() -> bool;
        supports_xml_expressions() -> bool;
        supports_comment_optimizer_hint() -> bool;
    }
}

/// Writes out what the parser takes and the planner does not know: `FROM t`
/// as `SELECT * FROM t`, `ORDER BY ALL` as `ORDER BY 1, 2, …`, `RED(…)` as `red(…)`.
pub(super) fn write_out(statement: &mut Statement) {
    let inner = match statement {
        Statement::Explain(explained) => explained.statement.as_mut(),
        other => other,
    };
    if let Statement::Statement(ast) = inner {
        let ast: &mut Ast = ast;
        // It never breaks.
        let _: ControlFlow<()> = ast.visit(&mut WriteOut);
    }
}

struct WriteOut;

impl VisitorMut for WriteOut {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if select.flavor == SelectFlavor::FromFirstNoSelect && select.projection.is_empty() {
            let star = SelectItem::Wildcard(WildcardAdditionalOptions::default());
            select.projection.push(star);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let count = columns(&query.body);
        let Some(order) = &mut query.order_by else { return ControlFlow::Continue(()) };
        // The planner's own way knows plain columns only, and wildcards.
        if let (OrderByKind::All(options), Some(count)) = (&order.kind, count) {
            let options = *options;
            let place = |n: usize| Expr::value(Value::Number(n.to_string(), false));
            let by = |n| OrderByExpr { expr: place(n), options, with_fill: None };
            order.kind = OrderByKind::Expressions((1..=count).map(by).collect());
        }
        ControlFlow::Continue(())
    }

    /// The planner looks functions in FROM up as they are written.
    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor
            && let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
        {
            let lower = match ident.quote_style {
                Some(_) => ident.value.clone(),
                None => ident.value.to_lowercase(),
            };
            *name = ObjectName::from(vec![Ident::with_span(ident.span, lower)]);
        }
        ControlFlow::Continue(())
    }
}

/// How many columns a query has, unless a wildcard hides it.
fn columns(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) => {
            let plain = |item: &SelectItem| {
                matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
            };
            select.projection.iter().all(plain).then_some(select.projection.len())
        }
        SetExpr::SetOperation { left, .. } => columns(left),
        SetExpr::Query(query) => columns(&query.body),
        SetExpr::Values(values) => values.rows.first().map(|row| row.len()),
        _ => None,
    }
}
