//! Which statements run: those that read (S19), of bounded size (S21).

use std::ops::ControlFlow;

use datafusion::sql::parser::{ExplainStatement, Statement};
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, GroupByExpr, ObjectName, Query, Select, SelectItem,
    Statement as Ast, TableFactor, Visit, Visitor,
};

use crate::Error;

/// Levels of nesting, as written and as parsed.
pub(crate) const MAX_DEPTH: usize = 200;
const MAX_NODES: usize = 10_000;
const MAX_RELATIONS: usize = 200;
/// See `text::MAX_WITH`: resolving a nested WITH doubles per level.
const MAX_NESTED_WITH: usize = 8;
/// Every row is grouped once per set, and CUBE (a, b, c) makes eight.
const MAX_GROUPING_SETS: usize = 128;
/// Each `*` stands for all columns of its tables.
const MAX_STARS: usize = 100;

/// Says whether it is an EXPLAIN.
pub(super) fn check(statement: &Statement) -> Result<bool, Error> {
    match statement {
        Statement::Statement(ast) => check_ast(ast),
        // Not recursive: EXPLAIN EXPLAIN is refused.
        Statement::Explain(ExplainStatement { statement, .. }) => match statement.as_ref() {
            Statement::Statement(ast) if matches!(**ast, Ast::Query(_)) => {
                check_ast(ast)?;
                Ok(true)
            }
            _ => Err(Error::denied("only a query can be explained")),
        },
        Statement::CreateExternalTable(_) => Err(read_only("CREATE")),
        Statement::CopyTo(_) => Err(read_only("COPY")),
        Statement::Reset(_) => Err(read_only("RESET")),
    }
}

fn check_ast(ast: &Ast) -> Result<bool, Error> {
    match ast {
        Ast::Query(_) | Ast::ExplainTable { .. } => {}
        Ast::ShowTables { .. } | Ast::ShowColumns { .. } | Ast::ShowFunctions { .. } => {}
        Ast::Explain { statement, .. } if matches!(**statement, Ast::Query(_)) => {
            measure(statement)?;
            return Ok(true);
        }
        Ast::Explain { .. } => return Err(Error::denied("only a query can be explained")),
        Ast::ShowVariable { .. } | Ast::ShowVariables { .. } => {
            return Err(Error::denied("settings are not shown through SQL")
                .with_hint("`cloudsail config show` prints them; SHOW TABLES lists the tables"));
        }
        other => {
            let text = other.to_string();
            let verb = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            return Err(read_only(verb));
        }
    }
    measure(ast)?;
    Ok(false)
}

fn read_only(verb: &str) -> Error {
    Error::denied(format!("{verb} is not allowed: this SQL only reads"))
        .with_hint("SELECT, WITH, VALUES, EXPLAIN, SHOW and DESCRIBE run; rows come in by OTLP")
}

fn measure(ast: &Ast) -> Result<(), Error> {
    match ast.visit(&mut Measure::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Default)]
struct Measure {
    depth: usize,
    nodes: usize,
    relations: usize,
    withs: usize,
    stars: usize,
    statements: usize,
}

impl Measure {
    fn enter(&mut self) -> ControlFlow<Error> {
        self.depth += 1;
        self.nodes += 1;
        if self.depth > MAX_DEPTH {
            let error =
                Error::invalid(format!("the statement nests deeper than {MAX_DEPTH} levels"))
                    .with_hint("write long chains of OR as x IN (…), and AND as x NOT IN (…)");
            return ControlFlow::Break(error);
        }
        if self.nodes > MAX_NODES {
            let error = Error::invalid(format!("the statement has more than {MAX_NODES} parts"));
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }

    fn leave(&mut self) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

impl Visitor for Measure {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        if let Expr::Cast { data_type, .. } = expr
            && fixed(data_type)
        {
            // A null of such a type takes its whole length.
            let error = Error::invalid("arrays of a fixed length are not supported")
                .with_hint("leave the length out: INT[]");
            return ControlFlow::Break(error);
        }
        self.enter()
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Error> {
        self.leave()
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        if let Some(with) = &query.with {
            self.withs += 1;
            if with.recursive {
                let error = Error::denied("WITH RECURSIVE is not allowed: it may never end");
                return ControlFlow::Break(error);
            }
            if self.withs > MAX_NESTED_WITH {
                let error = Error::invalid(format!(
                    "WITH is nested more than {MAX_NESTED_WITH} times; list the names in one WITH"
                ));
                return ControlFlow::Break(error);
            }
        }
        if !query.locks.is_empty() {
            return ControlFlow::Break(read_only("FOR UPDATE"));
        }
        self.enter()
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        self.withs -= usize::from(query.with.is_some());
        self.leave()
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if select.into.is_some() {
            return ControlFlow::Break(read_only("SELECT INTO"));
        }
        let stars = select.projection.iter().filter(|item| {
            matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(_, _))
        });
        self.stars += stars.count();
        if self.stars > MAX_STARS {
            let error = format!("the statement says * more than {MAX_STARS} times");
            return ControlFlow::Break(Error::invalid(error));
        }
        let sets = grouping_sets(&select.group_by);
        if sets > MAX_GROUPING_SETS {
            let error =
                format!("GROUP BY makes {sets} grouping sets; {MAX_GROUPING_SETS} are allowed");
            let error =
                Error::invalid(error).with_hint("name the sets: GROUPING SETS ((a), (a, b))");
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        match factor {
            // The planner would take no notice of it.
            TableFactor::Table { sample: Some(_), .. } => {
                ControlFlow::Break(Error::invalid("TABLESAMPLE is not supported"))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, _: &ObjectName) -> ControlFlow<Error> {
        self.relations += 1;
        if self.relations > MAX_RELATIONS {
            let error = format!("the statement names more than {MAX_RELATIONS} relations");
            return ControlFlow::Break(Error::invalid(error));
        }
        ControlFlow::Continue(())
    }

    /// Data-modifying statements hide in WITH and in set operations.
    fn pre_visit_statement(&mut self, statement: &Ast) -> ControlFlow<Error> {
        self.statements += 1;
        if self.statements == 1 {
            return ControlFlow::Continue(());
        }
        let text = statement.to_string();
        let verb = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        ControlFlow::Break(read_only(verb))
    }
}

/// How many sets of columns a GROUP BY groups by.
fn grouping_sets(group_by: &GroupByExpr) -> usize {
    let GroupByExpr::Expressions(all, _) = group_by else { return 1 };
    let sets = all.iter().map(|expr| match expr {
        Expr::Cube(columns) => u32::try_from(columns.len())
            .ok()
            .and_then(|n| 2usize.checked_pow(n))
            .unwrap_or(usize::MAX),
        Expr::Rollup(columns) => columns.len() + 1,
        Expr::GroupingSets(sets) => sets.len(),
        _ => 1,
    });
    sets.fold(1, usize::saturating_mul)
}

fn fixed(data_type: &DataType) -> bool {
    match data_type {
        DataType::Array(ArrayElemTypeDef::SquareBracket(inner, length)) => {
            length.is_some() || fixed(inner)
        }
        DataType::Array(
            ArrayElemTypeDef::AngleBracket(inner) | ArrayElemTypeDef::Parenthesis(inner),
        ) => fixed(inner),
        _ => false,
    }
}
