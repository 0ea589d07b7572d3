//! The only way to write markup: names are constants of ours, all else is text.

use super::super::escape::escape;

/// Elements that have no end.
const VOID: [&str; 1] = ["meta"];

/// HTML, as far as it is written.
pub struct Markup(String);

impl Markup {
    pub fn page() -> Markup {
        Markup("<!DOCTYPE html>\n".into())
    }

    pub fn finish(mut self) -> String {
        self.0.push('\n');
        self.0
    }

    /// Begins an element; only one without an end is not ended by `within`.
    pub fn open(&mut self, name: &'static str, attributes: &[(&'static str, &str)]) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            escape(value, &mut self.0);
            self.0.push('"');
        }
        self.0.push('>');
        if VOID.contains(&name) {
            self.0.push('\n');
        }
    }

    pub fn within(
        &mut self,
        name: &'static str,
        attributes: &[(&'static str, &str)],
        content: impl FnOnce(&mut Markup),
    ) {
        self.open(name, attributes);
        content(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
        // Between blocks only: where text flows, a break is a space.
        if !matches!(name, "span" | "strong" | "code" | "text" | "tspan" | "title") {
            self.0.push('\n');
        }
    }

    pub fn leaf(&mut self, name: &'static str, attributes: &[(&'static str, &str)], text: &str) {
        self.within(name, attributes, |element| element.text(text));
    }

    pub fn text(&mut self, text: &str) {
        escape(text, &mut self.0);
    }

    /// The style sheet, which is ours: text in it would not be escaped.
    pub fn style(&mut self, sheet: &'static str) {
        self.0.push_str("<style>\n");
        self.0.push_str(sheet);
        self.0.push_str("</style>\n");
    }
}
