//! The corpus as data: the `.sql` files beside this one. A block is
//!
//! ```text
//! -- attack: what it tries
//! -- must: answers|too_large
//! SELECT …
//! ```
//!
//! and says which ends are right, by the name of the error's kind or
//! `answers`. `<<3|,|x#>>` stands for `x1,x2,x3` (a `|` in a part is `\|`).

/// The files, by name.
const FILES: [(&str, &str); 5] = [
    ("files", include_str!("files.sql")),
    ("text", include_str!("text.sql")),
    ("memory", include_str!("memory.sql")),
    ("time", include_str!("time.sql")),
    ("faults", include_str!("faults.sql")),
];

#[derive(Debug, Clone)]
pub struct Attack {
    /// `file: what it tries`.
    pub name: String,
    pub must: Vec<String>,
    pub sql: String,
}

pub fn all() -> Vec<Attack> {
    FILES.iter().flat_map(|(file, text)| read(file, text)).collect()
}

fn read(file: &str, text: &str) -> Vec<Attack> {
    let blocks = text.split("-- attack: ").skip(1);
    blocks
        .map(|block| {
            let mut lines = block.lines();
            let name = format!("{file}: {}", lines.next().unwrap());
            let must = lines.next().unwrap().strip_prefix("-- must: ").unwrap();
            let sql = expand(lines.collect::<Vec<_>>().join("\n").trim());
            Attack { name, must: must.split('|').map(str::to_owned).collect(), sql }
        })
        .collect()
}

fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<<")
        && let Some((inside, after)) = after.split_once(">>")
        && inside.starts_with(|c: char| c.is_ascii_digit())
    {
        let inside = inside.replace("\\|", "\u{1}");
        let mut parts = inside.splitn(3, '|').map(|part| part.replace('\u{1}', "|"));
        let count: usize = parts.next().unwrap().parse().unwrap();
        let (between, each) = (parts.next().unwrap(), parts.next().unwrap());
        let all = (1..=count).map(|n| each.replace('#', &n.to_string()));
        out.push_str(before);
        out.push_str(&all.collect::<Vec<_>>().join(&between));
        rest = after;
    }
    out.push_str(rest);
    out
}
