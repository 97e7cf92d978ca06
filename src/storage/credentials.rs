//! Where credentials come from: one source, chosen before anything is sent and then used alone.
//!
//! A fall-back would hide that a role is missing until another role, often that of the machine, does something with it.
//! Values are only handed on; what is said of a source is its name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key, AwsCredential, AwsCredentialProvider};
use object_store::client::CredentialProvider;
use object_store::{ClientOptions, RetryConfig};

use super::client::Variables;
use super::error::StorageError;
use crate::settings::CredentialSource;

/// Keys that concern credentials. A client gets none of them: it is given the provider.
pub(super) const KEYS: [Key; 13] = [
    Key::AccessKeyId,
    Key::SecretAccessKey,
    Key::Token,
    Key::WebIdentityTokenFile,
    Key::RoleArn,
    Key::RoleSessionName,
    Key::StsEndpoint,
    Key::ContainerCredentialsRelativeUri,
    Key::ContainerCredentialsFullUri,
    Key::ContainerAuthorizationTokenFile,
    Key::MetadataEndpoint,
    Key::ImdsV1Fallback,
    Key::SkipSignature,
];

/// Where credentials come from, after `auto` has been decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Env,
    WebIdentity,
    PodIdentity,
    Instance,
    None,
}

impl Source {
    /// The source that the settings name, or the first whose variables are set.
    pub(super) fn chosen(wanted: CredentialSource, variables: &Variables) -> Result<Self, StorageError> {
        let source = match wanted {
            CredentialSource::Auto => Self::by_variables(variables),
            CredentialSource::Env => Self::Env,
            CredentialSource::WebIdentity => Self::WebIdentity,
            CredentialSource::PodIdentity => Self::PodIdentity,
            CredentialSource::Instance => Self::Instance,
            CredentialSource::None => Self::None,
        };
        let missing = source.missing(variables);
        if missing.is_empty() {
            return Ok(source);
        }
        Err(StorageError::NoCredentials {
            source_name: source.name(),
            missing,
        })
    }

    /// One variable of a source is enough to choose it; what else it needs is asked for then.
    fn by_variables(variables: &Variables) -> Self {
        let set = |key| variables.get(key).is_some();
        let unsigned = |value: &str| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on");
        if variables.get(Key::SkipSignature).is_some_and(unsigned) {
            Self::None
        } else if set(Key::AccessKeyId) || set(Key::SecretAccessKey) {
            Self::Env
        } else if set(Key::WebIdentityTokenFile) {
            Self::WebIdentity
        } else if set(Key::ContainerCredentialsRelativeUri) || set(Key::ContainerCredentialsFullUri) {
            Self::PodIdentity
        } else {
            Self::Instance
        }
    }

    /// Variables that the source needs and that are not set.
    fn missing(self, variables: &Variables) -> Vec<&'static str> {
        let needed: &[(Key, &str)] = match self {
            Self::Env => &[
                (Key::AccessKeyId, "AWS_ACCESS_KEY_ID"),
                (Key::SecretAccessKey, "AWS_SECRET_ACCESS_KEY"),
            ],
            Self::WebIdentity => &[
                (Key::WebIdentityTokenFile, "AWS_WEB_IDENTITY_TOKEN_FILE"),
                (Key::RoleArn, "AWS_ROLE_ARN"),
            ],
            Self::PodIdentity if variables.get(Key::ContainerCredentialsRelativeUri).is_some() => &[],
            Self::PodIdentity => &[
                (Key::ContainerCredentialsFullUri, "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
                (
                    Key::ContainerAuthorizationTokenFile,
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                ),
            ],
            Self::Instance | Self::None => &[],
        };
        let missing = needed.iter().filter(|(key, _)| variables.get(*key).is_none());
        missing.map(|(_, name)| *name).collect()
    }

    /// Keys that only this source sees.
    fn keys(self) -> &'static [Key] {
        match self {
            Self::Env => &[Key::AccessKeyId, Key::SecretAccessKey, Key::Token],
            Self::WebIdentity => &[
                Key::WebIdentityTokenFile,
                Key::RoleArn,
                Key::RoleSessionName,
                Key::StsEndpoint,
            ],
            Self::PodIdentity => &[
                Key::ContainerCredentialsRelativeUri,
                Key::ContainerCredentialsFullUri,
                Key::ContainerAuthorizationTokenFile,
            ],
            Self::Instance => &[Key::MetadataEndpoint, Key::ImdsV1Fallback],
            Self::None => &[],
        }
    }

    /// As the settings write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::WebIdentity => "web_identity",
            Self::PodIdentity => "pod_identity",
            Self::Instance => "instance",
            Self::None => "none",
        }
    }

    /// Gives credentials, and new ones before they expire; `None` where requests are not signed.
    pub(super) fn provider(
        self,
        variables: &Variables,
        region: Option<String>,
        options: ClientOptions,
    ) -> Result<Option<AwsCredentialProvider>, StorageError> {
        if self == Self::None {
            return Ok(None);
        }
        // The library makes its providers only inside of a store, and from whatever keys that store has.
        let mut builder = AmazonS3Builder::new().with_bucket_name("none");
        for key in self.keys() {
            if let Some(value) = variables.get(*key) {
                builder = builder.with_config(*key, value);
            }
        }
        if let Some(region) = region {
            builder = builder.with_region(region);
        }
        let options = options
            .with_connect_timeout(Duration::from_secs(3))
            .with_timeout(Duration::from_secs(10));
        let store = builder
            .with_client_options(options)
            .with_retry(RetryConfig {
                max_retries: 4,
                retry_timeout: Duration::from_secs(20),
                ..RetryConfig::default()
            })
            .build();
        let store =
            store.map_err(|source| StorageError::unusable(&format!("credentials of `{}`", self.name()), source))?;
        Ok(Some(Arc::new(Named {
            source: self,
            provider: Arc::clone(store.credentials()),
        })))
    }
}

/// A provider whose errors say which source failed.
#[derive(Debug)]
struct Named {
    source: Source,
    provider: AwsCredentialProvider,
}

#[async_trait]
impl CredentialProvider for Named {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let got = self.provider.get_credential().await;
        got.map_err(|cause| object_store::Error::Generic {
            store: "S3",
            source: Box::new(CredentialsError {
                source: self.source,
                cause,
            }),
        })
    }
}

/// A source gave no credentials.
#[derive(Debug)]
pub(super) struct CredentialsError {
    source: Source,
    cause: object_store::Error,
}

impl CredentialsError {
    /// True where a source that is there would have answered: a machine without a role has nobody who could.
    pub(super) fn nobody_there(&self) -> bool {
        self.source == Source::Instance
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no credentials from `{}`", self.source.name())
    }
}

impl std::error::Error for CredentialsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(test)]
mod tests;
