//! What a store's error says, read once and said shortly: the request, the status, the store's own code and message.
//!
//! `object_store` keeps the type of its request error to itself and repeats it in every text around it. So what has no
//! variant of its own is read from the texts here, and nowhere else. What follows from it is decided in `error`.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use http::{StatusCode, Uri};
use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use super::credentials::CredentialsError;
use super::traffic::QuotaUsedUp;

/// Longest message of a store that is repeated.
const LONGEST_MESSAGE: usize = 300;

/// A store's error and what it means.
#[derive(Debug)]
pub struct Failure {
    error: Error,
    said: Said,
    answer: Answer,
}

/// What a store's error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// No such object.
    Missing,
    /// The object is there already, or somebody else is writing it.
    Exists,
    /// The object is not the one that the request was for.
    Changed,
    /// No such bucket.
    NoBucket,
    /// Something in the request can never be right: a path, a key of the configuration.
    Invalid,
    /// The bucket is in another region.
    OtherRegion,
    /// The endpoint is plain HTTP, and the client was not told that this is in order.
    PlainHttp,
    /// Access is refused.
    Refused(Refusal),
    /// The store cannot do this at all.
    Unsupported,
    /// The store asks for fewer requests.
    Throttled,
    /// The store says that it failed.
    ServerError,
    /// There was no answer in time.
    TimedOut,
    /// The connection could not be made, or broke.
    Connection,
    /// Requests are no longer sent, since too many have failed.
    QuotaUsedUp,
    /// The local file system, with its own kind of error.
    Local(io::ErrorKind),
    /// Anything else.
    Other,
}

/// Why access is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The store knows who asks and does not allow it, or does not say why.
    Forbidden,
    /// The source of credentials gave none.
    NoCredentials,
    /// The store does not know the key.
    UnknownKey,
    /// The secret does not belong to the key.
    WrongSecret,
    /// The credentials were valid once.
    Expired,
    /// The clocks of this machine and of the store differ too much.
    Clock,
}

/// The parts of an error's texts.
#[derive(Debug, Default)]
struct Said {
    /// `GET at store.example:443`, with the number of retries.
    request: Option<String>,
    status: Option<StatusCode>,
    code: Option<String>,
    message: Option<String>,
    /// The first cause, for what was no request.
    first: String,
    /// The last cause, for a request without an answer.
    last: String,
}

impl Failure {
    /// Reads an error of a store, either a bucket or the local file system.
    pub(super) fn of(error: Error, in_bucket: bool) -> Self {
        let said = Said::by(&error);
        let answer = if in_bucket {
            Answer::of_bucket(&error, &said)
        } else {
            Answer::of_disk(&error)
        };
        Self { error, said, answer }
    }

    /// What it means.
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// The error as the library gave it.
    pub fn error(&self) -> &Error {
        &self.error
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said {
            request,
            status,
            code,
            message,
            first,
            last,
        } = &self.said;
        if let Some(credentials) = within::<CredentialsError>(&self.error) {
            write!(f, "{credentials}: ")?;
        }
        let Some(request) = request else {
            return f.write_str(if self.said.status.is_some() { last } else { first });
        };
        write!(f, "{request}: ")?;
        match (status, code, message) {
            (Some(status), None, _) => write!(f, "{status}"),
            (Some(status), Some(code), None) => write!(f, "{status}, {code}"),
            (Some(status), Some(code), Some(message)) => write!(f, "{status}, {code}: {message}"),
            (None, ..) => f.write_str(last),
        }
    }
}

// It is its own and only cause: what is below it repeats what it says.
impl StdError for Failure {}

impl Answer {
    fn of_disk(error: &Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::Missing,
            Error::AlreadyExists { .. } => Self::Exists,
            Error::Precondition { .. } => Self::Changed,
            Error::InvalidPath { .. } => Self::Invalid,
            Error::NotImplemented { .. } | Error::NotSupported { .. } => Self::Unsupported,
            error => Self::Local(within::<io::Error>(error).map_or(io::ErrorKind::Other, io::Error::kind)),
        }
    }

    fn of_bucket(error: &Error, said: &Said) -> Self {
        match error {
            Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => return Self::Invalid,
            Error::NotImplemented { .. } | Error::NotSupported { .. } => return Self::Unsupported,
            _ => {}
        }
        // Memory for what is received is this machine's.
        if within::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory) {
            return Self::Local(io::ErrorKind::OutOfMemory);
        }
        let answer = said
            .code
            .as_deref()
            .and_then(Self::of_code)
            .or_else(|| Self::of_variant(error))
            .or_else(|| said.status.and_then(Self::of_status))
            .or_else(|| Self::of_transport(error, said))
            .unwrap_or(Self::Other);
        match (within::<CredentialsError>(error), answer) {
            (None, answer) => answer,
            (Some(credentials), Self::TimedOut | Self::Connection) if credentials.nobody_there() => {
                Self::Refused(Refusal::NoCredentials)
            }
            (Some(_), Self::Throttled | Self::ServerError | Self::TimedOut | Self::Connection) => answer,
            (Some(_), _) => Self::Refused(Refusal::NoCredentials),
        }
    }

    /// By the store's own code, which says most.
    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "NoSuchBucket" => Self::NoBucket,
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "InvalidPayer" | "NotSignedUp" => {
                Self::Refused(Refusal::Forbidden)
            }
            "InvalidAccessKeyId" | "InvalidToken" | "InvalidClientTokenId" => Self::Refused(Refusal::UnknownKey),
            "SignatureDoesNotMatch" => Self::Refused(Refusal::WrongSecret),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Self::Refused(Refusal::Expired),
            "RequestTimeTooSkewed" | "RequestExpired" => Self::Refused(Refusal::Clock),
            "NotImplemented" => Self::Unsupported,
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "TemporaryRedirect"
            | "IllegalLocationConstraintException" => Self::OtherRegion,
            "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequests" => {
                Self::Throttled
            }
            "InternalError" | "ServiceUnavailable" => Self::ServerError,
            "RequestTimeout" => Self::TimedOut,
            // The object is not what is missing.
            "NoSuchUpload" => Self::Other,
            _ => return None,
        })
    }

    fn of_variant(error: &Error) -> Option<Self> {
        match error {
            Error::NotFound { .. } => Some(Self::Missing),
            Error::AlreadyExists { .. } => Some(Self::Exists),
            Error::Precondition { .. } | Error::NotModified { .. } => Some(Self::Changed),
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Some(Self::Refused(Refusal::Forbidden)),
            _ => None,
        }
    }

    fn of_status(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(Self::Refused(Refusal::Forbidden)),
            StatusCode::NOT_FOUND => Some(Self::Missing),
            StatusCode::CONFLICT => Some(Self::Exists),
            StatusCode::PRECONDITION_FAILED => Some(Self::Changed),
            StatusCode::NOT_IMPLEMENTED => Some(Self::Unsupported),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some(Self::Throttled),
            StatusCode::REQUEST_TIMEOUT => Some(Self::TimedOut),
            status if status.is_redirection() => Some(Self::OtherRegion),
            status if status.is_server_error() => Some(Self::ServerError),
            _ => None,
        }
    }

    /// Where no answer came.
    fn of_transport(error: &Error, said: &Said) -> Option<Self> {
        if within::<QuotaUsedUp>(error).is_some() {
            return Some(Self::QuotaUsedUp);
        }
        if said.last.contains("URL scheme is not allowed") {
            return Some(Self::PlainHttp);
        }
        if said.last.contains("redirect without LOCATION") {
            return Some(Self::OtherRegion);
        }
        match within::<HttpError>(error)?.kind() {
            HttpErrorKind::Timeout => Some(Self::TimedOut),
            HttpErrorKind::Connect | HttpErrorKind::Request | HttpErrorKind::Interrupted | HttpErrorKind::Decode => {
                Some(Self::Connection)
            }
            _ => None,
        }
    }
}

impl Said {
    fn by(error: &Error) -> Self {
        let mut said = Self::default();
        for (depth, error) in chain(error).enumerate() {
            let text = error.to_string();
            if depth == 1 || said.first.is_empty() {
                said.first = line(&text);
            }
            if let Some(request) = request(&text) {
                said.request = Some(request);
            }
            if let Some(answer) = text.strip_prefix("Server returned non-2xx status code: ") {
                said.status = answer.get(..3).and_then(|status| status.parse().ok());
                said.by_store(answer);
            } else if let Some(answer) = text.strip_prefix("Server returned error response: ") {
                // A status of 200 whose body says that it failed after all.
                said.status = Some(StatusCode::OK);
                said.by_store(answer);
            }
            said.last = line(&text);
        }
        said
    }

    /// Takes the code and the message out of the XML that a store answers with.
    fn by_store(&mut self, answer: &str) {
        self.code = element(answer, "Code").map(line);
        self.message = element(answer, "Message").map(line);
    }
}

/// The error and its causes.
fn chain(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| (*error).source())
}

/// The first of that type among the error and its causes.
fn within<T: StdError + 'static>(error: &Error) -> Option<&T> {
    chain(error).find_map(|error| error.downcast_ref::<T>())
}

/// `Error performing GET https://store.example/lake?... in 2s, after 3 retries, ...` as `GET at store.example after 3 retries`.
fn request(text: &str) -> Option<String> {
    let mut words = text.strip_prefix("Error performing ")?.split_whitespace();
    let method = words.next()?;
    let uri = words.next()?;
    if words.next() != Some("in") || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let uri = uri.parse::<Uri>().ok();
    // Where the address is kept secret there is none.
    let host = uri.as_ref().and_then(Uri::authority);
    // The user-info of an address is none of a reader's business.
    let host = host.map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default());
    let host = host.map(|host| format!(" at {host}")).unwrap_or_default();
    let tries = text.split_once(", after ").and_then(|(_, rest)| rest.split_once(','));
    let tries = tries.map(|(tries, _)| match tries {
        "1 retries" => " after 1 retry".to_owned(),
        tries => format!(" after {tries}"),
    });
    Some(format!("{method}{host}{}", tries.unwrap_or_default()))
}

/// The text of the first element of that name.
fn element<'t>(xml: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// One line of bounded length.
fn line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let text = words.join(" ");
    match text.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
