//! Why a store did not do what it was asked, how the process ends for it, and what to do about it.

use std::io;
use std::path::PathBuf;

use super::failure::{Answer, Failure, Refusal};
use crate::error::Seam;
use crate::exit::ExitCode;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store answered with an error, or not at all.
    #[error("reach `{place}`")]
    Store {
        /// The object or prefix.
        place: String,
        /// What the store says.
        source: Box<Failure>,
    },
    /// The answer was shorter or longer than what was asked for.
    #[error("`{place}` gave {found} bytes from offset {start}, expected {expected}")]
    WrongLength {
        /// The object.
        place: String,
        /// First byte asked for.
        start: u64,
        /// Bytes asked for.
        expected: u64,
        /// Bytes that came.
        found: u64,
    },
    /// A local file could not be read or written.
    #[error("use the local file `{}`", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A link leads out of the folder that a job named.
    #[error("`{}` is a link to `{}`, outside of `{}`", link.display(), target.display(), root.display())]
    LeadsOut {
        /// The link.
        link: PathBuf,
        /// What it says.
        target: PathBuf,
        /// The folder.
        root: PathBuf,
    },
    /// A link among the files that are read leads back to a folder on the way to it.
    #[error("`{}` is a link that leads back to where it stands, so that files behind it have no end", link.display())]
    Loop {
        /// The link.
        link: PathBuf,
    },
    /// Settings and variables with which no client can be made.
    #[error("make a client for `{place}`")]
    Unusable {
        /// The bucket, or the source of credentials.
        place: String,
        /// What is wrong with them.
        source: Box<Failure>,
    },
    /// The source of credentials lacks what it needs.
    #[error("take credentials from `{source_name}`: {} not set", names(missing))]
    NoCredentials {
        /// The source.
        source_name: &'static str,
        /// Variables that are not set.
        missing: Vec<&'static str>,
    },
}

impl StorageError {
    /// An error of the store at that place.
    pub(super) fn from_store(place: &str, source: object_store::Error) -> Self {
        Self::Store {
            place: place.to_owned(),
            source: Box::new(Failure::of(source, place.starts_with("s3://"))),
        }
    }

    /// An error that came before anything was sent.
    pub(super) fn unusable(place: &str, source: object_store::Error) -> Self {
        Self::Unusable {
            place: place.to_owned(),
            source: Box::new(Failure::of(source, true)),
        }
    }

    /// True when a write was refused because its condition does not hold, or so the store says.
    pub fn is_refusal(&self) -> bool {
        matches!(self.answer(), Some(Answer::Exists | Answer::Changed | Answer::Missing))
    }

    /// What the store's error means, where there is one.
    pub fn answer(&self) -> Option<Answer> {
        match self {
            Self::Store { source, .. } => Some(source.answer()),
            Self::WrongLength { .. }
            | Self::Disk { .. }
            | Self::LeadsOut { .. }
            | Self::Loop { .. }
            | Self::Unusable { .. }
            | Self::NoCredentials { .. } => None,
        }
    }
}

impl Seam for StorageError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Store { source, .. } => exit_of(source.answer()),
            Self::WrongLength { .. } => ExitCode::StorageTransient,
            Self::Disk { .. } => ExitCode::Disk,
            Self::LeadsOut { .. } | Self::Loop { .. } | Self::Unusable { .. } | Self::NoCredentials { .. } => {
                ExitCode::Config
            }
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store { source, .. } => hint_of(source.answer())?,
            Self::Disk { source, .. } => hint_of(Answer::Local(source.kind()))?,
            Self::LeadsOut { .. } => {
                "what a job writes stays below `output.path` and `output.state`: remove the link, or name the folder that it leads to in the job"
            }
            Self::Loop { .. } => "remove the link, or name the files by a pattern that does not go through it",
            Self::NoCredentials { .. } => {
                "set the variables, or name another source as [storage] credentials: env, web_identity, pod_identity, \
                 instance or none"
            }
            Self::Unusable { .. } => "check [storage] of the settings and the AWS_ variables",
            Self::WrongLength { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

fn exit_of(answer: Answer) -> ExitCode {
    match answer {
        // Replaced or removed while it was being read: its writer has not finished.
        Answer::Missing | Answer::Changed => ExitCode::InputNotReady,
        Answer::NoBucket | Answer::Invalid | Answer::OtherRegion | Answer::PlainHttp => ExitCode::Config,
        Answer::Refused(_) => ExitCode::StoragePermission,
        Answer::Unsupported => ExitCode::StorageConditions,
        Answer::Local(io::ErrorKind::OutOfMemory) => ExitCode::HostMemory,
        Answer::Local(_) => ExitCode::Disk,
        Answer::Exists
        | Answer::Throttled
        | Answer::ServerError
        | Answer::TimedOut
        | Answer::Connection
        | Answer::QuotaUsedUp
        | Answer::Other => ExitCode::StorageTransient,
    }
}

fn hint_of(answer: Answer) -> Option<&'static str> {
    Some(match answer {
        Answer::Changed => "the object was replaced while it was being read; run again once its writer has finished",
        Answer::NoBucket => "check the bucket's name, and the endpoint and region that it is looked for at",
        Answer::OtherRegion => "set [storage] region or AWS_REGION to the region of the bucket",
        Answer::PlainHttp => {
            "an endpoint without TLS is used only with [storage] allow_http = true or AWS_ALLOW_HTTP=true"
        }
        Answer::Refused(refusal) => match refusal {
            Refusal::Forbidden => {
                "allow it to the role or key, or use another: credentials come from AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, a web identity, a pod identity, or the machine's role"
            }
            Refusal::NoCredentials => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod or machine a role; profiles in ~/.aws \
                 are not read, and [storage] credentials = \"none\" sends no signature"
            }
            Refusal::UnknownKey => {
                "the store does not know this AWS_ACCESS_KEY_ID or its session token; check that they belong to the \
                 endpoint"
            }
            Refusal::WrongSecret => "check AWS_SECRET_ACCESS_KEY: it does not belong to AWS_ACCESS_KEY_ID",
            Refusal::Expired => "take new temporary credentials, with their AWS_SESSION_TOKEN, and start again",
            Refusal::Clock => "check the machine's clock: it differs from the store's by more than the store allows",
        },
        Answer::Unsupported => {
            "the store lacks what publishing needs, such as writes on a condition; use another store"
        }
        Answer::Throttled => "the store asks for fewer requests; start again later, or run fewer jobs at a time",
        Answer::QuotaUsedUp => "the store is down or overloaded; start again when it is well",
        Answer::Local(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            "free some space, or choose a folder on another disk"
        }
        Answer::Local(io::ErrorKind::ReadOnlyFilesystem) => {
            "the file system is read-only; choose a folder that can be written"
        }
        Answer::Local(io::ErrorKind::PermissionDenied) => "check who owns the folder and may read and write it",
        Answer::Local(io::ErrorKind::NotADirectory) => "a part of the path is a file; choose another folder",
        Answer::Missing
        | Answer::Exists
        | Answer::Invalid
        | Answer::ServerError
        | Answer::TimedOut
        | Answer::Connection
        | Answer::Local(_)
        | Answer::Other => return None,
    })
}

fn names(missing: &[&str]) -> String {
    match missing {
        [one] => format!("{one} is"),
        several => format!("{} are", several.join(" and ")),
    }
}
