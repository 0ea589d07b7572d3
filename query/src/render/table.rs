//! Columns for a terminal, or a line per column. The widths follow the first
//! rows; later cells that are wider push their line out rather than being cut.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use unicode_width::UnicodeWidthStr;

use super::{Expanded, value};
use crate::Summary;

/// Rows that decide the widths.
const MEASURED: usize = 1_000;

pub(super) struct Table {
    names: Vec<String>,
    /// Numbers lean right.
    right: Vec<bool>,
    widths: Vec<usize>,
    expanded: Expanded,
    /// Rows shown.
    shown: usize,
    /// Rows held until the widths are known.
    held: Option<Vec<Vec<String>>>,
}

impl Table {
    pub fn new(schema: &SchemaRef, expanded: Expanded) -> Table {
        let names: Vec<String> = schema.fields().iter().map(|f| printable(f.name())).collect();
        Table {
            right: schema.fields().iter().map(|f| f.data_type().is_numeric()).collect(),
            widths: names.iter().map(|name| name.width()).collect(),
            names,
            expanded,
            shown: 0,
            held: Some(Vec::new()),
        }
    }

    pub fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(batch.num_columns());
            for column in batch.columns() {
                cells.push(match value::is_null(column, row) {
                    true => "NULL".to_owned(),
                    false => printable(&value::text(column, row)?),
                });
            }
            match &mut self.held {
                Some(held) => {
                    for (width, cell) in self.widths.iter_mut().zip(&cells) {
                        *width = (*width).max(cell.width());
                    }
                    held.push(cells);
                    if held.len() == MEASURED {
                        self.release(out);
                    }
                }
                None => self.show(&cells, out),
            }
        }
        Ok(())
    }

    pub fn tail(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.release(out);
        let rows = summary.rows;
        let noun = if rows == 1 { "row" } else { "rows" };
        let cut = if summary.truncated { ", cut at the row limit" } else { "" };
        out.extend_from_slice(
            format!("({rows} {noun}{cut}, {:.1} ms)\n", summary.elapsed_ms).as_bytes(),
        );
        for (table, why) in &summary.incomplete {
            out.extend_from_slice(format!("incomplete: {table}: {why}\n").as_bytes());
        }
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        let Some(held) = self.held.take() else { return };
        if let Expanded::Beyond(cells) = self.expanded {
            let line = self.widths.iter().map(|width| width + 3).sum::<usize>().saturating_sub(1);
            self.expanded = if line > cells { Expanded::Always } else { Expanded::Never };
        }
        if self.expanded == Expanded::Never {
            self.line(&self.names, out);
            let rules: Vec<String> =
                self.widths.iter().map(|width| "-".repeat(width + 2)).collect();
            out.extend_from_slice(rules.join("+").as_bytes());
            out.push(b'\n');
        }
        for cells in &held {
            self.show(cells, out);
        }
    }

    fn show(&mut self, cells: &[String], out: &mut Vec<u8>) {
        self.shown += 1;
        match self.expanded {
            Expanded::Always => self.record(cells, out),
            _ => self.line(cells, out),
        }
    }

    fn record(&self, cells: &[String], out: &mut Vec<u8>) {
        let widest = self.names.iter().map(|name| name.width()).max().unwrap_or(0);
        out.extend_from_slice(
            format!("-[ row {} ]{}\n", self.shown, "-".repeat(widest)).as_bytes(),
        );
        for (name, cell) in self.names.iter().zip(cells) {
            let pad = " ".repeat(widest - name.width());
            out.extend_from_slice(format!("{name}{pad} | {cell}\n").as_bytes());
        }
    }

    fn line(&self, cells: &[String], out: &mut Vec<u8>) {
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            line.push_str(if index > 0 { " | " } else { " " });
            let pad = " ".repeat(self.widths[index].saturating_sub(cell.width()));
            match self.right[index] {
                true => line.extend([pad.as_str(), cell]),
                false => line.extend([cell, pad.as_str()]),
            }
        }
        out.extend_from_slice(line.trim_end().as_bytes());
        out.push(b'\n');
    }
}

/// What came from outside must not steer the terminal (S16).
fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => clean.extend(c.escape_default()),
            false => clean.push(c),
        }
    }
    clean
}
