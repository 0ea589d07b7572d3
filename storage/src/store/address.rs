//! The URL of a store: what it may be, and how it is shown.

use std::collections::BTreeMap;

use url::Url;

use super::options::{Provider, REDACTED};

/// What keeps a URL and its options from being opened, each with the key of
/// the configuration that it concerns. Nothing is opened or asked.
pub fn problems(url: &str, options: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let address = |why: String| vec![("store.url".to_owned(), format!("store.url: {why}"))];
    let place = shown(url);
    let parsed = match Url::parse(url) {
        Ok(parsed) => parsed,
        Err(error) => {
            return address(format!(
                "{place:?} is not a URL ({error}); write file:///absolute/path, s3://bucket/prefix, gs:// or az://"
            ));
        }
    };
    let provider = Provider::of(parsed.scheme());
    if let Some(absent) = provider.and_then(Provider::absent) {
        return address(absent);
    }
    let wrong = match (parsed.scheme(), provider) {
        (_, Some(_)) => wrong_address(&parsed),
        ("memory", None) => None,
        ("file", None) => match parsed.to_file_path() {
            Ok(path) if path.is_absolute() && parsed.path() != "/" => None,
            _ => Some("a file URL needs an absolute path, like file:///var/lib/cloudsail/store"),
        },
        (scheme, None) => {
            return address(format!(
                "{scheme}:// is no store; use file:///absolute/path, memory://, s3://bucket/prefix, gs:// or az://"
            ));
        }
    };
    if let Some(wrong) = wrong {
        return address(format!("{place:?}: {wrong}"));
    }
    let mut found = Vec::new();
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for option in options.keys() {
        let key = format!("store.options.{option}");
        let judged = match provider {
            None => Err(format!("{}:// takes no options; remove it", parsed.scheme())),
            Some(provider) => provider.judge(option),
        };
        let message = match judged {
            Err(why) => why,
            Ok(canonical) => match seen.insert(canonical, option) {
                Some(first) => format!("says what store.options.{first} says; keep one of them"),
                None => continue,
            },
        };
        found.push((key.clone(), format!("{key}: {message}")));
    }
    found
}

/// What a remote store's URL must not be.
fn wrong_address(url: &Url) -> Option<&'static str> {
    // abfss://container@account.dfs.core.windows.net/
    let container = url.scheme().starts_with("abfs") && url.password().is_none();
    if url.host_str().is_none_or(str::is_empty) {
        return Some("it names no bucket; write it like s3://bucket/prefix");
    }
    if url.query().is_some() || url.fragment().is_some() || url.port().is_some() {
        return Some(
            "it has more than a bucket and a prefix; a signature goes to store.options.azure_storage_sas_key, another server to store.options.aws_endpoint",
        );
    }
    if (!url.username().is_empty() && !container) || url.password().is_some() {
        return Some("it holds credentials; put them into the environment, or into store.options");
    }
    None
}

/// A URL without what may be secret in it: `user:password@` and `?query`,
/// where shared access signatures live.
pub fn shown(url: &str) -> String {
    let (url, query) = match url.split_once('?') {
        Some((url, _)) => (url, format!("?{REDACTED}")),
        None => (url, String::new()),
    };
    let Some((scheme, rest)) = url.split_once("://") else { return format!("{url}{query}") };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        // abfss://container@account is an address.
        Some((user, _)) if scheme.starts_with("abfs") && !user.contains(':') => {
            format!("{url}{query}")
        }
        Some((user, _)) => format!("{scheme}://{REDACTED}{}{query}", &rest[user.len()..]),
        None => format!("{url}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: URLs with and without secrets are to be shown.
    /// Guarantees: S29, no user, password or signature is; addresses are.
    #[test]
    fn sec_s29_a_url_is_shown_without_its_secrets() {
        for (url, is) in [
            ("s3://bucket/a/b", "s3://bucket/a/b"),
            ("s3://id:hunter2@bucket/a", "s3://<redacted>@bucket/a"),
            ("az://c/p?sv=1&sig=hunter2", "az://c/p?<redacted>"),
            (
                "abfss://c@account.dfs.core.windows.net/p",
                "abfss://c@account.dfs.core.windows.net/p",
            ),
            ("abfss://c:hunter2@account/p", "abfss://<redacted>@account/p"),
            ("file:///a", "file:///a"),
            ("no url", "no url"),
        ] {
            assert_eq!(shown(url), is);
        }
    }
}
