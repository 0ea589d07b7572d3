//! The only way to write markup: names are constants of ours, all else is text.

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

/// For text and for attributes in double quotes. Control characters mean
/// nothing, and marks of direction could make a verdict read as another.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}
