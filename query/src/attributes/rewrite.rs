//! The analyzer rule: which expressions, in which plan nodes.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, ScalarValue, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::functions::core::expr_fn::{coalesce, get_field};
use datafusion::logical_expr::expr::{GroupingSet, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, Distinct, DistinctOn, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder,
    Operator, ScalarUDF,
};
use datafusion::optimizer::AnalyzerRule;
use schema::Tenant;
use schema::table::Scope;

use super::Uses;
use super::access::Access;
use super::lineage::{self, Found};
use crate::functions::{ATTR, MAP_TEXT};

#[derive(Debug)]
pub(crate) struct Rewrite {
    uses: Uses,
    tenant: Tenant,
    now_unix_nano: i64,
    promoted: Promoted,
}

/// Every promoted key, of whatever table.
pub(crate) type Promoted = Arc<HashSet<(Scope, String)>>;

type Result<T> = std::result::Result<T, DataFusionError>;

impl Rewrite {
    pub fn new(uses: Uses, tenant: Tenant, now_unix_nano: i64, promoted: Promoted) -> Rewrite {
        Rewrite { uses, tenant, now_unix_nano, promoted }
    }

    fn node(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if !node.expressions().iter().any(mentions) {
            return Ok(Transformed::no(node));
        }
        let before: Vec<Column> = node.schema().columns();
        let names = NamePreserver::new(&node);
        let mut scope = InScope {
            rule: self,
            inputs: node.inputs().into_iter().cloned().collect(),
            filter: matches!(node, LogicalPlan::Filter(_)),
        };
        let rebuilt = match node {
            LogicalPlan::Distinct(Distinct::On(distinct)) => scope.distinct_on(distinct, &names)?,
            node => {
                let expressions = node.expressions().into_iter();
                let expressions = expressions.map(|expr| scope.named(expr, &names));
                let expressions = expressions.collect::<Result<_>>()?;
                node.with_new_exprs(expressions, scope.inputs)?
            }
        };
        // Columns that had to be carried up to here go no further.
        if rebuilt.schema().columns() == before {
            return Ok(Transformed::yes(rebuilt));
        }
        let shown = before.into_iter().map(Expr::Column);
        Ok(Transformed::yes(LogicalPlanBuilder::from(rebuilt).project(shown)?.build()?))
    }
}

impl AnalyzerRule for Rewrite {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|node| self.node(node))?.data)
    }

    fn name(&self) -> &str {
        "attributes"
    }
}

/// The expressions of one node, over its inputs.
struct InScope<'a> {
    rule: &'a Rewrite,
    inputs: Vec<LogicalPlan>,
    filter: bool,
}

impl InScope<'_> {
    /// As [`expression`](Self::expression), under the name that it had.
    fn named(&mut self, expr: Expr, names: &NamePreserver) -> Result<Expr> {
        let mut all = |exprs: Vec<Expr>| -> Result<Vec<Expr>> {
            exprs.into_iter().map(|expr| self.named(expr, names)).collect()
        };
        // The columns of a grouping set are those of its members.
        let set = match expr {
            Expr::GroupingSet(GroupingSet::Rollup(exprs)) => GroupingSet::Rollup(all(exprs)?),
            Expr::GroupingSet(GroupingSet::Cube(exprs)) => GroupingSet::Cube(all(exprs)?),
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                GroupingSet::GroupingSets(sets.into_iter().map(all).collect::<Result<_>>()?)
            }
            expr => {
                let name = names.save(&expr);
                return Ok(name.restore(self.expression(expr)?));
            }
        };
        Ok(Expr::GroupingSet(set))
    }

    /// DISTINCT ON has three lists, and only the selected ones have names.
    fn distinct_on(&mut self, distinct: DistinctOn, names: &NamePreserver) -> Result<LogicalPlan> {
        let on = distinct.on_expr.into_iter().map(|expr| self.expression(expr));
        let on = on.collect::<Result<_>>()?;
        let selected = distinct.select_expr.into_iter().map(|expr| self.named(expr, names));
        let selected = selected.collect::<Result<_>>()?;
        let mut order = distinct.sort_expr;
        for key in order.iter_mut().flatten() {
            key.expr = self.expression(key.expr.clone())?;
        }
        let input = Arc::new(self.inputs.remove(0));
        let distinct = DistinctOn::try_new(on, selected, order, input)?;
        Ok(LogicalPlan::Distinct(Distinct::On(distinct)))
    }

    fn expression(&mut self, expr: Expr) -> Result<Expr> {
        let rewritten = expr.transform_down(|expr| match self.known_form(&expr)? {
            // What it is made of is done already.
            Some(done) => Ok(Transformed::new(done, true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(expr)),
        })?;
        Ok(rewritten.data)
    }

    fn known_form(&mut self, expr: &Expr) -> Result<Option<Expr>> {
        if let Some((map, key)) = accessed(expr) {
            return Ok(self.access(map, key)?.map(|access| access.text()));
        }
        if let Some((map, key)) = outer(expr) {
            return match self.rule.promoted.contains(&(map, key.to_owned())) {
                true => plan_err!(
                    "{}['{key}'] of an outer query cannot be used in a correlated subquery: \
                     write a join, or take it in the outer query's FROM",
                    map.map_column()
                ),
                false => Ok(None),
            };
        }
        if let Some(key) = attr_key(expr)? {
            return self.any_scope(key).map(Some);
        }
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
                if let Some((map, key)) = accessed(left)
                    && accessed(right).is_none()
                {
                    return self.comparison(map, key, *op, right);
                }
                if let (Some((map, key)), Some(op)) = (accessed(right), op.swap())
                    && accessed(left).is_none()
                {
                    return self.comparison(map, key, op, left);
                }
                Ok(None)
            }
            Expr::InList(list)
                if list.list.iter().all(|item| matches!(item, Expr::Literal(..))) =>
            {
                let Some((map, key)) = accessed(&list.expr) else { return Ok(None) };
                let filter = self.filter;
                let access = self.access(map, key)?;
                Ok(access.map(|access| access.among(&list.list, list.negated, filter)))
            }
            Expr::Between(between) if !mentions(&between.low) && !mentions(&between.high) => {
                let Some((map, key)) = accessed(&between.expr) else { return Ok(None) };
                let low = self.comparison(map, key, Operator::GtEq, &between.low)?;
                let high = self.comparison(map, key, Operator::LtEq, &between.high)?;
                let both = low.zip(high).map(|(low, high)| low.and(high));
                Ok(both.map(|both| if between.negated { !both } else { both }))
            }
            _ => Ok(None),
        }
    }

    fn comparison(
        &mut self,
        map: &Column,
        key: &str,
        op: Operator,
        other: &Expr,
    ) -> Result<Option<Expr>> {
        let Some(access) = self.access(map, key)? else { return Ok(None) };
        // The other side may hold an access, too: inside a function, say.
        let other = self.expression(other.clone())?;
        let other_type = other.get_type(&self.schema()?)?;
        Ok(Some(access.compared(op, &other, &other_type, self.filter)))
    }

    fn schema(&self) -> Result<DFSchema> {
        let mut merged = DFSchema::empty();
        for input in &self.inputs {
            merged.merge(input.schema());
        }
        Ok(merged)
    }

    /// `None`: the map is not an attribute map of a table.
    fn access(&mut self, map: &Column, key: &str) -> Result<Option<Access>> {
        let Some(index) = self.inputs.iter().position(|input| input.schema().has_column(map))
        else {
            return Ok(None);
        };
        let (followed, found) = lineage::follow(self.inputs[index].clone(), map, key)?;
        let (scope, promoted) = match found {
            Found::Other => return Ok(None),
            Found::Map(scope) => (scope, None),
            Found::Promoted(scope, column, kind) => {
                self.inputs[index] = followed;
                (scope, Some((column, kind)))
            }
        };
        let rule = self.rule;
        rule.uses.note(&rule.tenant, scope, key, rule.now_unix_nano);
        Ok(Some(Access { map: Expr::Column(map.clone()), key: key.to_owned(), promoted }))
    }

    /// `attr('k')`: record, then scope, then resource.
    fn any_scope(&mut self, key: &str) -> Result<Expr> {
        let mut found = Vec::new();
        for scope in [Scope::Record, Scope::Scope, Scope::Resource] {
            let name = scope.map_column();
            let schema = self.schema()?;
            let mut owners = schema.qualified_fields_with_unqualified_name(name).into_iter();
            let Some(owner) = owners.next() else { continue };
            if owners.next().is_some() {
                return plan_err!(
                    "attr('{key}') is ambiguous over a join; write t.{name}['{key}'] instead"
                );
            }
            let map = matches!(owner.1.data_type(), DataType::Map(..));
            let column = Column::from(owner);
            match self.access(&column, key)? {
                Some(access) => found.push(access.text()),
                // No table's, but whole: what `metric_rate` answers.
                None if map => found.push(get_field(Expr::Column(column), key)),
                None => {}
            }
        }
        match found.is_empty() {
            true => plan_err!("attr('{key}') needs a table with attributes in FROM"),
            false => Ok(coalesce(found)),
        }
    }
}

fn mentions(expr: &Expr) -> bool {
    let found =
        expr.exists(|expr| Ok(accessed(expr).is_some() || is_attr(expr) || outer(expr).is_some()));
    // The closure never fails.
    found.unwrap_or(true)
}

/// `column['key']` with a literal key.
pub(crate) fn accessed(expr: &Expr) -> Option<(&Column, &str)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let [Expr::Column(column), Expr::Literal(key, _)] = args.as_slice() else { return None };
    let is_access = is_access(func);
    match key {
        ScalarValue::Utf8(Some(key)) | ScalarValue::Utf8View(Some(key)) if is_access => {
            Some((column, key))
        }
        _ => None,
    }
}

/// Whether it takes the value under a key out of a map.
pub(crate) fn is_access(func: &ScalarUDF) -> bool {
    matches!(func.name(), "get_field" | MAP_TEXT)
}

/// The same of a column that belongs to an outer query.
fn outer(expr: &Expr) -> Option<(Scope, &str)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    match args.as_slice() {
        [Expr::OuterReferenceColumn(_, column), Expr::Literal(key, _)] if is_access(func) => {
            Some((lineage::scope_of(&column.name)?, key.try_as_str().flatten()?))
        }
        _ => None,
    }
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_attr(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == ATTR)
}

fn attr_key(expr: &Expr) -> Result<Option<&str>> {
    let Expr::ScalarFunction(call) = expr else { return Ok(None) };
    if call.func.name() != ATTR {
        return Ok(None);
    }
    match call.args.as_slice() {
        [Expr::Literal(key, _)] => match key.try_as_str().flatten() {
            Some(key) => Ok(Some(key)),
            None => plan_err!("attr takes one key as a text literal"),
        },
        _ => plan_err!("attr takes one key as a text literal"),
    }
}
