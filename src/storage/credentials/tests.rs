//! Which source is chosen by which variables, and that no other is asked.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use futures::executor::block_on;
use object_store::ClientOptions;

use super::{CredentialSource, Source};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::storage::client::Variables;
use crate::storage::{Answer, Refusal, StorageError};

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "canary")];
const WEB: [(&str, &str); 2] = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn")];
const POD: [(&str, &str); 2] = [
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t"),
];

fn variables(variables: &[(&str, &str)]) -> Variables {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Variables::new(variables.iter().map(text).collect())
}

fn chosen(wanted: CredentialSource, set: &[&[(&str, &str)]]) -> Result<Source, StorageError> {
    Source::chosen(wanted, &variables(&set.concat()))
}

#[test]
fn first_source_whose_variables_are_set_is_chosen() {
    let auto = |set: &[&[(&str, &str)]]| chosen(CredentialSource::Auto, set).unwrap();
    assert_eq!(auto(&[&KEYS, &WEB, &POD]), Source::Env);
    assert_eq!(auto(&[&WEB, &POD]), Source::WebIdentity);
    assert_eq!(auto(&[&POD]), Source::PodIdentity);
    assert_eq!(
        auto(&[&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")]]),
        Source::PodIdentity
    );
    assert_eq!(
        auto(&[&[("AWS_ROLE_ARN", "arn"), ("AWS_REGION", "eu-1")]]),
        Source::Instance
    );
    assert_eq!(auto(&[&[("AWS_SKIP_SIGNATURE", "true")], &KEYS]), Source::None);
    assert_eq!(auto(&[&[("AWS_SKIP_SIGNATURE", "false")], &KEYS]), Source::Env);
}

#[test]
fn named_source_wins_over_what_is_set() {
    assert_eq!(
        chosen(CredentialSource::PodIdentity, &[&KEYS, &POD]).unwrap(),
        Source::PodIdentity
    );
    assert_eq!(
        chosen(CredentialSource::Instance, &[&KEYS, &WEB]).unwrap(),
        Source::Instance
    );
    assert_eq!(chosen(CredentialSource::None, &[&KEYS]).unwrap(), Source::None);
}

#[test]
fn half_a_source_is_refused_and_no_other_takes_its_place() {
    for (wanted, set, missing) in [
        (CredentialSource::Auto, &KEYS[..1], &["AWS_SECRET_ACCESS_KEY"][..]),
        (CredentialSource::Auto, &KEYS[1..], &["AWS_ACCESS_KEY_ID"]),
        (CredentialSource::Auto, &WEB[..1], &["AWS_ROLE_ARN"]),
        (
            CredentialSource::Auto,
            &POD[..1],
            &["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
        ),
        (
            CredentialSource::WebIdentity,
            &KEYS,
            &["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"],
        ),
        (
            CredentialSource::Env,
            &WEB,
            &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
        ),
    ] {
        let error = chosen(wanted, &[set]).unwrap_err();
        assert_eq!(error.exit(), ExitCode::Config);
        let said = error.to_string();
        for name in missing {
            assert!(said.contains(name), "{said}");
        }
        assert_eq!(said.matches("AWS_").count(), missing.len(), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn keys_are_handed_on_and_shown_to_nobody() {
    let set = [&KEYS[..], &WEB, &[("AWS_SESSION_TOKEN", "canary")]].concat();
    let provider = Source::Env
        .provider(&variables(&set), None, ClientOptions::new())
        .unwrap()
        .unwrap();
    let credentials = block_on(provider.get_credential()).unwrap();
    assert_eq!(
        (credentials.key_id.as_str(), credentials.secret_key.as_str()),
        ("a", "canary")
    );
    assert_eq!(credentials.token.as_deref(), Some("canary"));
    assert!(!format!("{provider:?}").contains("canary"));
    let none = Source::None
        .provider(&variables(&set), None, ClientOptions::new())
        .unwrap();
    assert!(none.is_none());
}

/// An endpoint of a pod identity that gives this answer once.
fn pod_identity(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4_096];
        let read = stream.read(&mut request).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    (format!("http://{address}/v1/credentials"), server)
}

fn ask_pod_identity(uri: &str, token: &std::path::Path) -> Result<String, StorageError> {
    let token = token.to_str().unwrap();
    let set = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
    ];
    let provider = Source::PodIdentity
        .provider(&variables(&set), None, ClientOptions::new())
        .unwrap()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let credentials = runtime.block_on(provider.get_credential());
    let credentials = credentials.map_err(|source| StorageError::from_store("s3://lake", source))?;
    Ok(credentials.key_id.clone())
}

#[test]
fn pod_identity_is_asked_with_its_token() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "letter-of-the-pod").unwrap();
    let body = r#"{"AccessKeyId":"pod","SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z"}"#;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (uri, server) = pod_identity(answer.leak());
    assert_eq!(ask_pod_identity(&uri, token.path()).unwrap(), "pod");
    assert!(server.join().unwrap().contains("letter-of-the-pod"));
}

#[test]
fn source_that_gives_nothing_is_named() {
    let token = tempfile::NamedTempFile::new().unwrap();
    let (uri, _server) = pod_identity("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let no_token = std::path::Path::new("/nowhere/token");
    for error in [ask_pod_identity(&uri, token.path()), ask_pod_identity(&uri, no_token)] {
        let error = error.unwrap_err();
        assert_eq!(
            error.answer(),
            Some(Answer::Refused(Refusal::NoCredentials)),
            "{error:?}"
        );
        let said = std::error::Error::source(&error).unwrap().to_string();
        assert!(said.starts_with("no credentials from `pod_identity`: "), "{said}");
    }
}
