//! What a store says, what follows from it, and what people read of it: answers go through the real client.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::executor::block_on;
use http::StatusCode;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutMode, RetryConfig};

use super::{Answer, Failure, Refusal};
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::storage::StorageError;
use crate::storage::traffic::QuotaUsedUp;

/// A store that always says the same.
#[derive(Debug, Clone)]
enum Says {
    Status(u16, String),
    Nothing(HttpErrorKind, &'static str),
    QuotaUsedUp,
}

impl Says {
    fn code(status: u16, code: &str) -> Self {
        let xml = "<?xml version=\"1.0\"?>\n<Error>\n<Code>CODE</Code>\n<Message>It is so.</Message>\
                   <AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE</AWSAccessKeyId><RequestId>1</RequestId></Error>";
        Self::Status(status, xml.replace("CODE", code))
    }

    fn store(self) -> AmazonS3 {
        let builder = AmazonS3Builder::new().with_bucket_name("lake").with_region("eu-1");
        builder
            .with_endpoint("https://store.example:9000")
            .with_access_key_id("a")
            .with_secret_access_key("b")
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            })
            .with_http_connector(self)
            .build()
            .unwrap()
    }

    /// What the client makes of it when an object is read.
    fn when_read(self) -> StorageError {
        let error = block_on(self.store().get(&Path::from("a/b"))).unwrap_err();
        StorageError::from_store("s3://lake/a/b", error)
    }

    fn when_listed(self) -> StorageError {
        let error = block_on(self.store().list(None).try_collect::<Vec<_>>()).unwrap_err();
        StorageError::from_store("s3://lake", error)
    }

    fn when_created(self) -> StorageError {
        let put = self.store();
        let path = Path::from("a/b");
        let error = block_on(put.put_opts(&path, "x".into(), PutMode::Create.into())).unwrap_err();
        StorageError::from_store("s3://lake/a/b", error)
    }
}

impl HttpConnector for Says {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Says {
    async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        match self {
            Self::Status(status, body) => {
                let mut answer = HttpResponse::new(HttpResponseBody::from(body.clone()));
                *answer.status_mut() = StatusCode::from_u16(*status).unwrap();
                Ok(answer)
            }
            Self::Nothing(kind, text) => Err(HttpError::new(*kind, io::Error::other(*text))),
            Self::QuotaUsedUp => Err(HttpError::new(HttpErrorKind::Unknown, QuotaUsedUp)),
        }
    }
}

/// Whatever was asked, it means the same.
#[track_caller]
fn expect(says: &Says, answer: Answer, exit: ExitCode) {
    for error in [
        says.clone().when_read(),
        says.clone().when_listed(),
        says.clone().when_created(),
    ] {
        assert_eq!((error.answer(), error.exit()), (Some(answer), exit), "{says:?}");
    }
}

#[test]
fn answers_of_a_bucket_are_sorted_by_what_is_to_be_done() {
    use Answer as A;
    use ExitCode as E;
    let table = [
        (404, "NoSuchKey", A::Missing, E::InputNotReady),
        (404, "NoSuchUpload", A::Other, E::StorageTransient),
        (404, "NoSuchBucket", A::NoBucket, E::Config),
        (400, "AuthorizationHeaderMalformed", A::OtherRegion, E::Config),
        (301, "PermanentRedirect", A::OtherRegion, E::Config),
        (409, "ConditionalRequestConflict", A::Exists, E::StorageTransient),
        (429, "TooManyRequests", A::Throttled, E::StorageTransient),
        (503, "SlowDown", A::Throttled, E::StorageTransient),
        (503, "ServiceUnavailable", A::ServerError, E::StorageTransient),
        (500, "InternalError", A::ServerError, E::StorageTransient),
        (400, "RequestTimeout", A::TimedOut, E::StorageTransient),
        (418, "Teapot", A::Other, E::StorageTransient),
        (501, "NotImplemented", A::Unsupported, E::StorageConditions),
    ];
    for (status, code, answer, exit) in table {
        expect(&Says::code(status, code), answer, exit);
    }
    let table = [
        (403, "AccessDenied", Refusal::Forbidden),
        (403, "InvalidAccessKeyId", Refusal::UnknownKey),
        (403, "SignatureDoesNotMatch", Refusal::WrongSecret),
        (400, "ExpiredToken", Refusal::Expired),
        (403, "RequestTimeTooSkewed", Refusal::Clock),
    ];
    for (status, code, refusal) in table {
        expect(&Says::code(status, code), A::Refused(refusal), E::StoragePermission);
    }
}

#[test]
fn status_decides_where_there_is_no_code() {
    let refused = Answer::Refused(Refusal::Forbidden);
    for (status, answer, exit) in [
        (401, refused, ExitCode::StoragePermission),
        (403, refused, ExitCode::StoragePermission),
        (404, Answer::Missing, ExitCode::InputNotReady),
        (408, Answer::TimedOut, ExitCode::StorageTransient),
        (409, Answer::Exists, ExitCode::StorageTransient),
        (429, Answer::Throttled, ExitCode::StorageTransient),
        (501, Answer::Unsupported, ExitCode::StorageConditions),
        (502, Answer::ServerError, ExitCode::StorageTransient),
        (503, Answer::Throttled, ExitCode::StorageTransient),
    ] {
        for body in ["", "<html>A proxy's page</html>"] {
            expect(&Says::Status(status, body.to_owned()), answer, exit);
        }
    }
}

#[test]
fn store_that_does_not_answer_is_worth_another_try() {
    for (kind, answer) in [
        (HttpErrorKind::Timeout, Answer::TimedOut),
        (HttpErrorKind::Connect, Answer::Connection),
        (HttpErrorKind::Request, Answer::Connection),
        (HttpErrorKind::Interrupted, Answer::Connection),
        (HttpErrorKind::Unknown, Answer::Other),
    ] {
        expect(&Says::Nothing(kind, "nothing"), answer, ExitCode::StorageTransient);
    }
    expect(&Says::QuotaUsedUp, Answer::QuotaUsedUp, ExitCode::StorageTransient);
}

#[test]
fn condition_that_does_not_hold_means_another_thing_to_who_reads_and_who_creates() {
    let says = Says::code(412, "PreconditionFailed");
    let read = says.clone().when_read();
    assert_eq!(
        (read.answer(), read.exit()),
        (Some(Answer::Changed), ExitCode::InputNotReady)
    );
    let create = says.when_created();
    assert_eq!(
        (create.answer(), create.exit()),
        (Some(Answer::Exists), ExitCode::StorageTransient)
    );
}

#[test]
fn each_refusal_says_what_to_look_at() {
    let hint = |status, code| Says::code(status, code).when_read().hint().unwrap();
    assert!(hint(403, "RequestTimeTooSkewed").contains("clock"));
    assert!(hint(400, "ExpiredToken").contains("temporary credentials"));
    assert!(hint(403, "SignatureDoesNotMatch").contains("AWS_SECRET_ACCESS_KEY"));
    assert!(hint(403, "InvalidAccessKeyId").contains("AWS_ACCESS_KEY_ID"));
    assert!(hint(403, "AccessDenied").contains("role"));
}

#[test]
fn people_read_one_line_of_what_the_store_says() {
    let report = |error: StorageError| Error::from(error).to_string();
    insta::assert_snapshot!(report(Says::code(403, "SignatureDoesNotMatch").when_read()), @r"
    error: reach `s3://lake/a/b`
      caused by: GET at store.example:9000: 403 Forbidden, SignatureDoesNotMatch: It is so.
      hint: check AWS_SECRET_ACCESS_KEY: it does not belong to AWS_ACCESS_KEY_ID
    ");
    insta::assert_snapshot!(report(Says::Status(502, "<html>A proxy's page</html>".to_owned()).when_listed()), @r"
    error: reach `s3://lake`
      caused by: GET at store.example:9000: 502 Bad Gateway
    ");
    insta::assert_snapshot!(report(Says::Nothing(HttpErrorKind::Connect, "Connection refused").when_created()), @r"
    error: reach `s3://lake/a/b`
      caused by: PUT at store.example:9000: Connection refused
    ");
    insta::assert_snapshot!(report(Says::QuotaUsedUp.when_read()), @r"
    error: reach `s3://lake/a/b`
      caused by: GET at store.example:9000: the store has failed so often that the retry quota is used up
      hint: the store is down or overloaded; start again when it is well
    ");
}

#[test]
fn retries_are_told_and_addresses_are_not() {
    let said = "Error performing PUT https://me:secret@store.example/lake/a?X-Amz-Signature=1 in 2.5s, after 1 retries, \
                max_retries: 3, retry_timeout: 10s  - HTTP error: x";
    assert_eq!(super::request(said).unwrap(), "PUT at store.example after 1 retry");
    assert_eq!(
        super::request("Error performing POST REDACTED in 1ms - x").unwrap(),
        "POST at REDACTED"
    );
    assert_eq!(
        super::request("Error performing list request: Error performing GET https://a in 1s"),
        None
    );
}

#[test]
fn long_messages_are_cut() {
    let long = format!("<Error><Code>A</Code><Message>{}</Message></Error>", "ä".repeat(1_000));
    let text = Says::Status(400, long).when_read();
    let text = std::error::Error::source(&text).unwrap().to_string();
    assert!(text.chars().count() < 400 && text.ends_with("..."), "{text}");
}

/// An error as the local file system of the library gives it.
fn local(kind: io::ErrorKind) -> StorageError {
    let source = Arc::new(io::Error::from(kind));
    StorageError::from_store(
        "predictions/x",
        object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::new(kind, source)),
        },
    )
}

#[test]
fn troubles_of_the_disk_say_which() {
    for (kind, hint) in [
        (io::ErrorKind::StorageFull, Some("space")),
        (io::ErrorKind::ReadOnlyFilesystem, Some("read-only")),
        (io::ErrorKind::PermissionDenied, Some("owns")),
        (io::ErrorKind::Other, None),
    ] {
        let disk = StorageError::Disk {
            path: "predictions/x".into(),
            source: kind.into(),
        };
        for error in [local(kind), disk] {
            assert_eq!(error.exit(), ExitCode::Disk, "{error:?}");
            let said = error.hint();
            assert_eq!(said.is_some(), hint.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(hint.unwrap_or_default()), "{error:?}");
        }
    }
}

#[test]
fn real_folder_that_cannot_be_read_is_a_matter_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let store = object_store::local::LocalFileSystem::new();
    let below = Path::from_absolute_path(file.join("below")).unwrap();
    let failure = block_on(store.put(&below, "x".into())).unwrap_err();
    let failure = Failure::of(failure, false);
    assert!(matches!(failure.answer(), Answer::Local(_)), "{failure:?}");
    assert!(failure.to_string().contains("file"), "{failure}");
    assert_eq!(failure.to_string().matches("os error").count(), 1, "{failure}");
}
