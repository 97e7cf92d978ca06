//! The three clients of a bucket: data in, data out, and control records, with one source of credentials.
//!
//! They differ in how long they wait and how often they try again. Made once for each bucket and settings, so that all
//! places in it share connections, credentials and the time for which those hold. Nothing is sent here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey as Key, AwsCredentialProvider};
use object_store::{ClientOptions, RetryConfig};

use super::credentials::{self, Source};
use super::error::StorageError;
use super::traffic::{Connector, Lane, Traffic};
use crate::settings::{self, StorageSettings};

/// The clients of one bucket.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// Reads ranges of some MiB, and what else is read.
    pub(super) data_in: Arc<AmazonS3>,
    /// Writes objects and their parts.
    pub(super) data_out: Arc<AmazonS3>,
    /// Writes and reads records that are small and cannot wait.
    pub(super) control: Arc<AmazonS3>,
}

/// Settings, and what has been made with them.
struct Made {
    settings: StorageSettings,
    reach: Reach,
    buckets: BTreeMap<String, Clients>,
}

/// What this process has made so far.
static MADE: Mutex<Vec<Made>> = Mutex::new(Vec::new());

/// The clients of a bucket.
pub(super) fn clients(bucket: &str, settings: &StorageSettings) -> Result<Clients, StorageError> {
    // Something is added when it is whole, so a panic elsewhere leaves nothing half done.
    let mut all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(made) = all.iter_mut().find(|made| made.settings == *settings) {
        return made.clients(bucket);
    }
    let mut made = Made {
        settings: settings.clone(),
        reach: Reach::new(settings, &Variables::new(settings::store_variables()))?,
        buckets: BTreeMap::new(),
    };
    let clients = made.clients(bucket)?;
    all.push(made);
    Ok(clients)
}

impl Made {
    fn clients(&mut self, bucket: &str) -> Result<Clients, StorageError> {
        if let Some(clients) = self.buckets.get(bucket) {
            return Ok(clients.clone());
        }
        let clients = self.reach.clients(bucket, &Traffic::of_process())?;
        self.buckets.insert(bucket.to_owned(), clients.clone());
        Ok(clients)
    }
}

/// The variables of the environment that the store knows. It holds secrets, so it has no `Debug`.
pub(super) struct Variables(Vec<(String, Key, String)>);

impl Variables {
    pub(super) fn new(all: BTreeMap<String, String>) -> Self {
        let known = all.into_iter().filter_map(|(name, value)| {
            let key = name.to_ascii_lowercase().parse().ok()?;
            Some((name, key, value))
        });
        Self(known.collect())
    }

    /// The value of a key. Of two names that mean the same the last wins: `AWS_ENDPOINT_URL` over `AWS_ENDPOINT`.
    pub(super) fn get(&self, key: Key) -> Option<&str> {
        let mut found = self.0.iter().rev().filter(|(_, of, _)| *of == key);
        found.next().map(|(_, _, value)| value.as_str())
    }
}

/// How the service is reached, for all buckets.
pub(super) struct Reach {
    builder: AmazonS3Builder,
    options: ClientOptions,
    credentials: Option<AwsCredentialProvider>,
}

impl Reach {
    pub(super) fn new(settings: &StorageSettings, variables: &Variables) -> Result<Self, StorageError> {
        let mut builder = AmazonS3Builder::new();
        let mut options = ClientOptions::new();
        for (_, key, value) in &variables.0 {
            match key {
                Key::Client(key) => options = options.with_config(*key, value),
                // Only the source that is chosen sees its variables; the rest is decided below.
                key if credentials::KEYS.contains(key) => {}
                Key::Endpoint | Key::S3Endpoint | Key::Bucket => {}
                key => builder = builder.with_config(*key, value),
            }
        }
        let endpoint = settings.endpoint.as_deref();
        let endpoint = endpoint.or_else(|| variables.get(Key::S3Endpoint).or_else(|| variables.get(Key::Endpoint)));
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &settings.region {
            builder = builder.with_region(region);
        }
        if settings.allow_http || endpoint.is_some_and(is_loopback) {
            options = options.with_allow_http(true);
        }
        let source = Source::chosen(settings.credentials, variables)?;
        tracing::info!(source = source.name(), "credentials for buckets are chosen");
        let region = builder.get_config_value(&Key::Region);
        Ok(Self {
            credentials: source.provider(variables, region, options.clone())?,
            builder,
            options,
        })
    }

    pub(super) fn clients(&self, bucket: &str, traffic: &Arc<Traffic>) -> Result<Clients, StorageError> {
        let client = |lane| {
            let mut builder = self.builder.clone().with_bucket_name(bucket);
            builder = match &self.credentials {
                Some(credentials) => builder.with_credentials(Arc::clone(credentials)),
                None => builder.with_skip_signature(true),
            };
            let built = builder
                .with_client_options(options(lane, self.options.clone()))
                .with_retry(retries(lane))
                .with_http_connector(Connector::new(Arc::clone(traffic), lane))
                .build();
            let built = built.map_err(|source| StorageError::unusable(&format!("s3://{bucket}"), source));
            Ok(Arc::new(built?))
        };
        Ok(Clients {
            data_in: client(Lane::In)?,
            data_out: client(Lane::Out)?,
            control: client(Lane::Control)?,
        })
    }
}

/// How long a client waits for one attempt.
fn options(lane: Lane, options: ClientOptions) -> ClientOptions {
    let seconds = Duration::from_secs;
    match lane {
        Lane::In => options
            .with_connect_timeout(seconds(5))
            .with_timeout(seconds(30))
            .with_read_timeout(seconds(10)),
        // A read time-out would run while a part is being sent, so the lane itself limits each write by its size.
        Lane::Out => options
            .with_connect_timeout(seconds(5))
            .with_timeout_disabled()
            .with_read_timeout_disabled(),
        Lane::Control => options
            .with_connect_timeout(seconds(3))
            .with_timeout(seconds(5))
            .with_read_timeout_disabled(),
    }
}

/// How often a client tries again, and until when after the first attempt. Pauses between attempts are the library's.
fn retries(lane: Lane) -> RetryConfig {
    let (max_retries, seconds) = match lane {
        // Retries carry the signature of the first attempt, which would be too old after five minutes.
        Lane::In | Lane::Out => (10, 180),
        Lane::Control => (3, 10),
    };
    RetryConfig {
        max_retries,
        retry_timeout: Duration::from_secs(seconds),
        ..RetryConfig::default()
    }
}

/// True where the service runs on this machine, so that nobody on the way can listen.
fn is_loopback(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::ClientConfigKey;
    use object_store::aws::AmazonS3ConfigKey as Key;

    use super::{Clients, Lane, Reach, Variables, is_loopback};
    use crate::settings::StorageSettings;

    fn variables(variables: &[(&str, &str)]) -> Variables {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Variables::new(variables.iter().map(text).collect())
    }

    fn reach(settings: &StorageSettings, named: &[(&str, &str)]) -> Reach {
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        Reach::new(settings, &variables(&[&keys, named].concat())).unwrap()
    }

    #[test]
    fn settings_win_over_variables() {
        let settings = StorageSettings {
            endpoint: Some("https://here.example".to_owned()),
            region: Some("eu-1".to_owned()),
            ..StorageSettings::default()
        };
        let named = [
            ("AWS_ENDPOINT_URL_S3", "https://s3.example"),
            ("AWS_ENDPOINT_URL", "https://all.example"),
            ("AWS_REGION", "us-1"),
        ];
        let found = |settings, named, key| reach(settings, named).builder.get_config_value(&key);
        let of = |settings, key| found(settings, &named[..], key);
        assert_eq!(of(&settings, Key::Endpoint).unwrap(), "https://here.example");
        assert_eq!(of(&settings, Key::S3Endpoint), None);
        assert_eq!(of(&settings, Key::Region).unwrap(), "eu-1");
        let none = StorageSettings::default();
        assert_eq!(of(&none, Key::Endpoint).unwrap(), "https://s3.example");
        assert_eq!(of(&none, Key::Region).unwrap(), "us-1");
        let default = [("AWS_DEFAULT_REGION", "ap-1")];
        assert_eq!(found(&none, &default, Key::Region).unwrap(), "ap-1");
        let spelt = [("AWS_ENDPOINT", "https://short.example"), named[1]];
        assert_eq!(found(&none, &spelt, Key::Endpoint).unwrap(), "https://all.example");
    }

    #[test]
    fn plain_http_needs_leave_except_on_this_machine() {
        let allowed = |settings: &StorageSettings, named: &[(&str, &str)]| {
            let allowed = reach(settings, named)
                .options
                .get_config_value(&ClientConfigKey::AllowHttp);
            allowed.unwrap() == "true"
        };
        let none = StorageSettings::default();
        assert!(!allowed(&none, &[("AWS_ENDPOINT_URL", "http://store.example:9000")]));
        assert!(allowed(&none, &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")]));
        let named = [
            ("AWS_ENDPOINT_URL", "http://store.example:9000"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        assert!(allowed(&none, &named));
        let leave = StorageSettings {
            allow_http: true,
            ..none
        };
        assert!(allowed(&leave, &named[..1]));
    }

    #[test]
    fn lanes_differ_in_how_long_they_wait() {
        use object_store::ClientConfigKey::{ConnectTimeout, ReadTimeout, Timeout};
        let named = [
            ("AWS_TIMEOUT", "1h"),
            ("AWS_READ_TIMEOUT", "1h"),
            ("AWS_CONNECT_TIMEOUT", "1h"),
        ];
        let reach = reach(&StorageSettings::default(), &named);
        let waits = |lane| {
            let options = super::options(lane, reach.options.clone());
            [ConnectTimeout, Timeout, ReadTimeout].map(|key| options.get_config_value(&key))
        };
        let seconds = |seconds: u64| Some(format!("{seconds}s"));
        assert_eq!(waits(Lane::In), [seconds(5), seconds(30), seconds(10)]);
        assert_eq!(waits(Lane::Out), [seconds(5), None, None]);
        assert_eq!(waits(Lane::Control), [seconds(3), seconds(5), None]);
        let tries = |lane| {
            (
                super::retries(lane).max_retries,
                super::retries(lane).retry_timeout.as_secs(),
            )
        };
        assert_eq!(tries(Lane::In), (10, 180));
        assert_eq!(tries(Lane::Out), (10, 180));
        assert_eq!(tries(Lane::Control), (3, 10));
    }

    #[test]
    fn this_machine_has_several_names() {
        for endpoint in [
            "http://127.0.0.1:9000",
            "http://127.9.9.9",
            "http://[::1]:9000/",
            "http://localhost:9000",
            "http://LOCALHOST",
        ] {
            assert!(is_loopback(endpoint), "{endpoint}");
        }
        for endpoint in [
            "http://store:9000",
            "http://localhost.example",
            "http://10.0.0.1",
            "http://[::2]",
            "nothing of the kind",
        ] {
            assert!(!is_loopback(endpoint), "{endpoint}");
        }
    }

    #[test]
    fn clients_of_a_bucket_are_made_once_and_share_credentials() {
        let settings = StorageSettings {
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            credentials: crate::settings::CredentialSource::Instance,
            ..StorageSettings::default()
        };
        let clients = |bucket| super::clients(bucket, &settings).unwrap();
        let (first, again, other) = (clients("lake"), clients("lake"), clients("pond"));
        assert!(Arc::ptr_eq(&first.data_in, &again.data_in));
        let Clients {
            data_in,
            data_out,
            control,
        } = first;
        assert!(!Arc::ptr_eq(&data_in, &other.data_in));
        for client in [&data_out, &control, &other.data_in] {
            assert!(Arc::ptr_eq(data_in.credentials(), client.credentials()));
        }
    }
}
