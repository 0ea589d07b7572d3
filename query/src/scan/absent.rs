//! Promoted keys that no map of a file has, as its footer says
//! ([`storage::encode::absent`]).
//!
//! `attributes['k']` of a promoted `k` is `coalesce("k", attributes['k'])`. In
//! a file without the key the second half is NULL, and the map is not read.

use std::collections::HashSet;

use arrow::datatypes::Schema;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator, TryCast};
use parquet::file::metadata::FileMetaData;
use storage::encode::absent::ABSENT;

use crate::attributes;

/// Columns of maps, and keys that they do not have.
pub(super) type Keys = HashSet<(String, String)>;

pub(super) fn keys(file: &Schema) -> Keys {
    said(file.metadata().get(ABSENT).map(String::as_str))
}

/// As [`keys`], by the footer itself.
pub(super) fn keys_of(file: &FileMetaData) -> Keys {
    let mut entries = file.key_value_metadata().into_iter().flatten();
    said(entries.find(|entry| entry.key == ABSENT).and_then(|entry| entry.value.as_deref()))
}

fn said(entry: Option<&str>) -> Keys {
    let said = entry.and_then(|text| serde_json::from_str::<Vec<serde_json::Value>>(text).ok());
    let key = |said: &serde_json::Value| {
        Some((said["column"].as_str()?.to_owned(), said["key"].as_str()?.to_owned()))
    };
    said.iter().flatten().filter_map(key).collect()
}

/// What follows from comparisons with such an access: `"k" IS NOT NULL OR
/// attributes['k'] IS NOT NULL`. In a file without the key the first half is
/// left, which a reader can tell before it reads anything else; in others it
/// cannot, and leaves it to the comparison itself.
pub(super) fn implied(filters: &[Expr]) -> Vec<Expr> {
    let conjuncts = filters.iter().flat_map(split_conjunction);
    conjuncts.flat_map(compared).filter_map(is_there).collect()
}

/// What is NULL together with the comparison.
fn compared(conjunct: &Expr) -> Vec<&Expr> {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    match conjunct {
        Expr::BinaryExpr(BinaryExpr { left, op: Eq | NotEq | Lt | LtEq | Gt | GtEq, right }) => {
            vec![left, right]
        }
        Expr::InList(InList { expr, .. }) => vec![expr],
        _ => Vec::new(),
    }
}

fn is_there(access: &Expr) -> Option<Expr> {
    let [column, in_map] = halves(access)?;
    attributes::accessed(uncast(in_map))?;
    Some(column.clone().is_not_null().or(in_map.clone().is_not_null()))
}

/// The column of such an access, and the map and the key in whose absence the
/// column is all there is to it.
pub(super) fn promoted(access: &Expr) -> Option<(&str, (String, String))> {
    let [column, in_map] = halves(access)?;
    let (map, key) = attributes::accessed(uncast(in_map))?;
    match column {
        Expr::Column(column) => Some((&column.name, (map.name.clone(), key.to_owned()))),
        _ => None,
    }
}

/// Of `coalesce(a, b)`, which the optimizer writes as a CASE.
fn halves(access: &Expr) -> Option<[&Expr; 2]> {
    match access {
        Expr::ScalarFunction(call) if call.func.name() == "coalesce" => match &call.args[..] {
            [column, in_map] => Some([column, in_map]),
            _ => None,
        },
        Expr::Case(case) if case.expr.is_none() => match &case.when_then_expr[..] {
            [(when, then)] if matches!(when.as_ref(), Expr::IsNotNull(of) if of == then) => {
                Some([then, case.else_expr.as_deref()?])
            }
            _ => None,
        },
        _ => None,
    }
}

fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => uncast(expr),
        other => other,
    }
}
