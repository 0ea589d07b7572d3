//! `s3://`, `gs://`, `az://`: a bucket through two clients over one
//! configuration and one set of credentials.
//!
//! *Patient* repeats what may be repeated, with jittered pauses and a deadline.
//! *Once* sends a conditional put a single time: repeated beneath us after a
//! lost answer, it would meet its own object and report that the name was
//! taken (faults.md F7, F26). Who puts conditionally reads what became of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future};
#[cfg(feature = "s3")]
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
#[cfg(feature = "az")]
use object_store::azure::MicrosoftAzureBuilder;
#[cfg(feature = "gs")]
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, RetryConfig,
};

use url::Url;

use super::Whole;
use super::options::{self, Provider};
use super::words::told;
use crate::Error;

/// The longest single request, its body included: a part of an upload passes
/// at 2 Mbit/s. `timeout` and `connect_timeout` in the options change them.
const REQUEST: &str = "30s";
const CONNECT: &str = "5s";

/// With the longest request this bounds every call, whatever the network does
/// with it (F23).
const RETRIES: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        // A pause is drawn between the first one and this times the last:
        // with 2 they would hardly grow.
        base: 3.0,
    },
    max_retries: 8,
    retry_timeout: Duration::from_secs(60),
};

/// A bucket. Names are relative to it.
#[derive(Debug)]
struct Remote {
    patient: Arc<dyn ObjectStore>,
    once: Arc<dyn ObjectStore>,
}

/// Two clients of one configured builder.
macro_rules! clients {
    ($builder:expr) => {{
        let builder = $builder;
        let patient = builder.clone().with_retry(RETRIES).build()?;
        let never = RetryConfig { max_retries: 0, ..RETRIES };
        let credentials = patient.credentials().clone();
        let once = builder.with_credentials(credentials).with_retry(never).build()?;
        Remote { patient: Arc::new(patient), once: Arc::new(once) }
    }};
}

/// Prepares what is below the URL's prefix; nothing is sent. An option wins
/// over the environment.
pub(super) fn open(
    provider: Provider,
    url: &Url,
    options: &BTreeMap<String, String>,
    environment: &[(String, String)],
) -> Result<Arc<dyn ObjectStore>, Error> {
    let mut all = provider.environment(environment);
    for (option, value) in options {
        let key = provider.judge(option).map_err(Error::Settings)?;
        all.insert(key, value.clone());
    }
    let wrong = |why: String| Error::Settings(format!("store.url {url} cannot be opened: {why}"));
    let plain = |key: &str| all.get(key).is_some_and(|value| value.starts_with("http://"));
    let endpoints = ["aws_endpoint", "aws_endpoint_url_s3", "azure_storage_endpoint"];
    if let Some(endpoint) = endpoints.into_iter().find(|key| plain(key))
        && !all.contains_key("allow_http")
    {
        return Err(wrong(format!(
            "{endpoint} is plain HTTP, where everybody on the way can read and change; use https://, or allow it by store.options.allow_http: true"
        )));
    }
    let prefix = Path::from_url_path(url.path());
    let prefix = prefix.map_err(|error| wrong(format!("its prefix is no object path: {error}")))?;
    let secrets: Vec<String> = all
        .iter()
        .filter(|(key, _)| options::is_secret(key))
        .map(|(_, value)| value.clone())
        .collect();
    let bucket = Remote::new(provider, url.as_str(), all).map_err(|error| {
        let mut why = told(&error);
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            why = why.replace(secret.as_str(), options::REDACTED);
        }
        wrong(why)
    })?;
    let bucket = Whole::new(Arc::new(bucket));
    match prefix.as_ref().is_empty() {
        true => Ok(Arc::new(bucket)),
        false => Ok(Arc::new(PrefixStore::new(bucket, prefix))),
    }
}

impl Remote {
    /// `options` by canonical key.
    fn new(provider: Provider, url: &str, mut options: BTreeMap<String, String>) -> Result<Remote> {
        for (key, default) in [("timeout", REQUEST), ("connect_timeout", CONNECT)] {
            options.entry(key.into()).or_insert_with(|| default.into());
        }
        Ok(match provider {
            #[cfg(feature = "s3")]
            Provider::S3 => {
                let mut builder = AmazonS3Builder::new().with_url(url);
                for (key, value) in options {
                    builder = builder.with_config(key.parse()?, value);
                }
                clients!(builder.with_conditional_put(S3ConditionalPut::ETagMatch))
            }
            #[cfg(feature = "gs")]
            Provider::Google => {
                let mut builder = GoogleCloudStorageBuilder::new().with_url(url);
                for (key, value) in options {
                    builder = builder.with_config(key.parse()?, value);
                }
                clients!(builder)
            }
            #[cfg(feature = "az")]
            Provider::Azure => {
                let mut builder = MicrosoftAzureBuilder::new().with_url(url);
                for (key, value) in options {
                    builder = builder.with_config(key.parse()?, value);
                }
                clients!(builder)
            }
            #[cfg(not(all(feature = "s3", feature = "gs", feature = "az")))]
            absent => {
                let source = absent.absent().unwrap_or_default().into();
                return Err(object_store::Error::Generic { store: absent.scheme(), source });
            }
        })
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.patient.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Remote {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let client = match opts.mode {
            PutMode::Overwrite => &self.patient,
            PutMode::Create | PutMode::Update(_) => &self.once,
        };
        client.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.patient.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.patient.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.patient.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.patient.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.patient.list(prefix)
    }

    /// Some servers pass over where a list is to start; readers of a Delta log
    /// rely on it.
    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        let listed = self.patient.list_with_offset(prefix, &offset);
        listed.try_filter(move |object| future::ready(object.location > offset)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.patient.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let client = match options.mode {
            CopyMode::Overwrite => &self.patient,
            CopyMode::Create => &self.once,
        };
        client.copy_opts(from, to, options).await
    }
}
