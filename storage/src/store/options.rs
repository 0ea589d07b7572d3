//! What a remote store is opened with: which keys there are, where they come
//! from, which of their values nobody may see.
//!
//! Keys are `object_store`'s own, by any of its spellings (`aws_region`,
//! `region`); they become the canonical ones here, so that an option and an
//! environment variable of one meaning meet, and the option wins.

use std::collections::BTreeMap;

#[cfg(feature = "s3")]
use object_store::aws::AmazonS3ConfigKey;
#[cfg(feature = "az")]
use object_store::azure::AzureConfigKey;
#[cfg(feature = "gs")]
use object_store::gcp::GoogleConfigKey;

/// Who keeps the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    S3,
    Google,
    Azure,
}

/// Keys of the HTTP client, which every provider takes.
const CLIENT: &[&str] = &[
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "http1_only",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "timeout",
    "user_agent",
];

const S3: &[&str] = &[
    "aws_access_key_id",
    "aws_checksum_algorithm",
    "aws_container_authorization_token_file",
    "aws_container_credentials_full_uri",
    "aws_container_credentials_relative_uri",
    "aws_default_region",
    "aws_endpoint",
    "aws_endpoint_url_s3",
    "aws_endpoint_url_sts",
    "aws_imdsv1_fallback",
    "aws_metadata_endpoint",
    "aws_region",
    "aws_request_payer",
    "aws_role_arn",
    "aws_role_session_name",
    "aws_secret_access_key",
    "aws_server_side_encryption",
    "aws_session_token",
    "aws_skip_signature",
    "aws_sse_bucket_key_enabled",
    "aws_sse_customer_key_base64",
    "aws_sse_kms_key_id",
    "aws_unsigned_payload",
    "aws_virtual_hosted_style_request",
    "aws_web_identity_token_file",
];

const GOOGLE: &[&str] = &[
    "google_application_credentials",
    "google_base_url",
    "google_service_account",
    "google_service_account_key",
    "google_skip_signature",
];

const AZURE: &[&str] = &[
    "azure_federated_token_file",
    "azure_msi_endpoint",
    "azure_msi_resource_id",
    "azure_object_id",
    "azure_skip_signature",
    "azure_storage_account_key",
    "azure_storage_account_name",
    "azure_storage_authority_host",
    "azure_storage_client_id",
    "azure_storage_client_secret",
    "azure_storage_endpoint",
    "azure_storage_sas_key",
    "azure_storage_tenant_id",
    "azure_storage_token",
    "azure_storage_use_emulator",
    "azure_use_azure_cli",
    "azure_use_fabric_endpoint",
];

/// Keys that exist and cannot be ours to take.
const REFUSED: &[(&str, &str)] = &[
    ("aws_bucket", "store.url names the bucket"),
    ("aws_conditional_put", "commits rest on conditional puts, which are always on"),
    ("aws_s3_express", "directory buckets list in no order, which readers of a Delta log rely on"),
    ("azure_container_name", "store.url names the container"),
    ("google_bucket", "store.url names the bucket"),
];

impl Provider {
    const ALL: [Provider; 3] = [Provider::S3, Provider::Google, Provider::Azure];

    pub fn of(scheme: &str) -> Option<Provider> {
        match scheme {
            "s3" | "s3a" => Some(Provider::S3),
            "gs" => Some(Provider::Google),
            "az" | "azure" | "abfs" | "abfss" => Some(Provider::Azure),
            _ => None,
        }
    }

    /// The scheme that its URLs usually have.
    pub fn scheme(self) -> &'static str {
        match self {
            Provider::S3 => "s3",
            Provider::Google => "gs",
            Provider::Azure => "az",
        }
    }

    /// Why this build cannot open such a store, if it cannot.
    pub fn absent(self) -> Option<String> {
        let built = match self {
            Provider::S3 => cfg!(feature = "s3"),
            Provider::Google => cfg!(feature = "gs"),
            Provider::Azure => cfg!(feature = "az"),
        };
        let scheme = self.scheme();
        (!built).then(|| {
            format!("this build knows no {scheme}:// stores; build it with --features {scheme}")
        })
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Provider::S3 => S3,
            Provider::Google => GOOGLE,
            Provider::Azure => AZURE,
        }
    }

    /// The one spelling of a key, if it is one.
    fn canonical(self, key: &str) -> Option<String> {
        let key = key.to_ascii_lowercase();
        match self {
            #[cfg(feature = "s3")]
            Provider::S3 => key.parse().ok().map(|k: AmazonS3ConfigKey| k.as_ref().to_owned()),
            #[cfg(feature = "gs")]
            Provider::Google => key.parse().ok().map(|k: GoogleConfigKey| k.as_ref().to_owned()),
            #[cfg(feature = "az")]
            Provider::Azure => key.parse().ok().map(|k: AzureConfigKey| k.as_ref().to_owned()),
            #[cfg(not(all(feature = "s3", feature = "gs", feature = "az")))]
            _absent => None,
        }
    }

    /// The canonical key that an option means, or why it means none.
    pub fn judge(self, option: &str) -> Result<String, String> {
        let Some(key) = self.canonical(option) else {
            return Err(self.unknown(option));
        };
        match REFUSED.iter().find(|(refused, _)| *refused == key) {
            Some((_, why)) => Err(format!("cannot be set: {why}; remove it")),
            None => Ok(key),
        }
    }

    fn unknown(self, option: &str) -> String {
        let other = Self::ALL.into_iter().find(|other| other.canonical(option).is_some());
        if let Some(other) = other {
            return format!("is an option of {}://, and store.url is another's", other.scheme());
        }
        // A name without its provider is spelt as rightly as one with it.
        let bare = |key: &'static str| key.split_once('_').map_or(key, |(_, bare)| bare);
        let spelt = self.keys().iter().flat_map(|key| [(*key, *key), (bare(key), *key)]);
        let known = spelt.chain(CLIENT.iter().map(|key| (*key, *key)));
        let distance = |spelt| strsim::damerau_levenshtein(option, spelt);
        match known.map(|(spelt, key)| (distance(spelt), key)).min() {
            Some((distance, near)) if distance <= (option.len() / 3).clamp(1, 6) => {
                format!("is no option of {}://; did you mean {near}?", self.scheme())
            }
            _ => format!(
                "is no option of {}://; it takes {}, and {}",
                self.scheme(),
                self.keys().join(", "),
                CLIENT.join(", ")
            ),
        }
    }

    /// The variables among these that speak of this provider, by canonical key.
    pub fn environment<'a>(
        self,
        variables: impl IntoIterator<Item = &'a (String, String)>,
    ) -> BTreeMap<String, String> {
        let prefix = match self {
            Provider::S3 => "AWS_",
            Provider::Google => "GOOGLE_",
            Provider::Azure => "AZURE_",
        };
        let mut found = BTreeMap::new();
        for (name, value) in variables {
            // What App Service and Functions call the endpoint of their identity.
            let identity = self == Provider::Azure && name == "IDENTITY_ENDPOINT";
            if name.starts_with(prefix) || identity {
                // Others read the same environment: what is not ours to know is theirs.
                if let Ok(key) = self.judge(name) {
                    found.insert(key, value.clone());
                }
            }
        }
        found
    }
}

pub const REDACTED: &str = "<redacted>";

/// Whether the value of an option must not be shown (S29).
pub fn is_secret(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    ["secret", "passw", "token", "key", "credential", "sas", "signature", "account_json"]
        .iter()
        .any(|smell| option.contains(smell))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every key that is offered to users, and every one refused.
    /// Guarantees: `object_store` knows each, by exactly this spelling.
    #[test]
    fn every_offered_key_is_object_stores_own() {
        for provider in Provider::ALL {
            for key in provider.keys().iter().chain(CLIENT) {
                assert_eq!(provider.judge(key).as_deref(), Ok(*key), "{provider:?}");
            }
        }
        for (key, why) in REFUSED {
            let of = Provider::ALL.into_iter().find(|of| of.canonical(key).is_some());
            assert!(of.unwrap().judge(key).unwrap_err().contains(why), "{key}");
        }
    }

    /// Scenario: keys by other spellings, mistyped, another provider's, nonsense.
    /// Guarantees: each is taken, or answered with what helps.
    #[test]
    fn a_mistyped_option_finds_its_neighbour() {
        let s3 = |option| Provider::S3.judge(option);
        assert_eq!(s3("region").as_deref(), Ok("aws_region"));
        assert_eq!(s3("AWS_ENDPOINT_URL").as_deref(), Ok("aws_endpoint"));
        assert_eq!(s3("aws_allow_http").as_deref(), Ok("allow_http"));
        for (option, near) in [
            ("aws_regoin", "did you mean aws_region?"),
            ("endpont", "did you mean aws_endpoint?"),
            ("timeuot", "did you mean timeout?"),
            ("azure_storage_account_name", "is an option of az://"),
            ("x", "it takes aws_access_key_id, "),
        ] {
            let said = s3(option).unwrap_err();
            assert!(said.contains(near), "{option}: {said}");
        }
    }

    /// Scenario: an environment with credentials of two providers and more.
    /// Guarantees: each store reads its own, by whatever spelling, and nothing
    /// that it cannot take.
    #[test]
    fn each_store_reads_its_own_environment() {
        let variables = [
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
            ("AWS_PROFILE", "work"),
            ("AWS_BUCKET", "another"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "lake"),
            ("IDENTITY_ENDPOINT", "http://169.254.1.1/token"),
            ("REGION", "mars"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let read = |provider: Provider| {
            let found = provider.environment(&variables).into_iter();
            found.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
        };
        let s3 = ["aws_endpoint=http://127.0.0.1:9000", "aws_region=eu-west-1"];
        assert_eq!(read(Provider::S3), s3);
        let azure =
            ["azure_msi_endpoint=http://169.254.1.1/token", "azure_storage_account_name=lake"];
        assert_eq!(read(Provider::Azure), azure);
        assert!(read(Provider::Google).is_empty());
    }
}
