//! Secrets in texts of many forms, none of which comes through, and harmless texts, which do.

use std::borrow::Cow;
use std::io::Write;

use super::{RedactingWriter, Redactor};

#[track_caller]
fn cleans(table: &[(&str, &str)]) {
    let redactor = Redactor::default();
    for (text, clean) in table {
        assert_eq!(redactor.clean(text), *clean, "{text}");
    }
}

#[test]
fn user_info_of_urls_is_masked() {
    cleans(&[
        ("get https://me:pass@host/x failed", "get https://***@host/x failed"),
        ("https://token@host", "https://***@host"),
        ("s3://AKIA:with/slash+sign@bucket/key", "s3://***@bucket/key"),
        (
            "http://me:p@ss@host:80/a and ftp://you:x@other",
            "http://***@host:80/a and ftp://***@other",
        ),
        (
            r#"{"url":"http://u:p@h/é","next":1}"#,
            r#"{"url":"http://***@h/é","next":1}"#,
        ),
    ]);
}

#[test]
fn query_strings_are_masked() {
    cleans(&[
        ("(https://host/x?sig=abc&t=1)", "(https://host/x?***)"),
        ("GET https://host?secret, then", "GET https://host?***, then"),
        ("s3://bucket/key?versionId=abc.", "s3://bucket/key?***."),
        ("\u{1b}[3mhttp://h/?a=b\u{1b}[0m", "\u{1b}[3mhttp://h/?***\u{1b}[0m"),
        (r#"Some("http://h/?a=b\n")"#, r#"Some("http://h/?***\n")"#),
    ]);
}

#[test]
fn amazon_values_are_masked() {
    cleans(&[
        (
            "/key?X-Amz-Credential=a/b&X-Amz-Signature=ff00&x=1",
            "/key?X-Amz-Credential=***&X-Amz-Signature=***&x=1",
        ),
        ("x-amz-security-token: FwoG/+=", "x-amz-security-token: ***"),
        (
            r#"{"x-amz-security-token": "FwoG", "host": "h"}"#,
            r#"{"x-amz-security-token": "***", "host": "h"}"#,
        ),
        (r#"{\"X-AMZ-Token\":\"FwoG\"}"#, r#"{\"X-AMZ-Token\":\"***\"}"#),
        ("https://h/k?X-Amz-Signature=ff00#end", "https://h/k?***"),
    ]);
}

#[test]
fn bearer_tokens_are_masked() {
    cleans(&[
        ("authorization: Bearer abc.DEF-123_x=", "authorization: Bearer ***"),
        (
            r#""authorization": "bearer abcdefgh""#,
            r#""authorization": "bearer ***""#,
        ),
        ("BEARER  a1b2 rest", "BEARER  *** rest"),
    ]);
}

#[test]
fn key_ids_are_masked() {
    cleans(&[
        ("key AKIAIOSFODNN7EXAMPLE is old", "key AKIA*** is old"),
        (
            "Credential=ASIAIOSFODNN7EXAMPLE/20261119",
            "Credential=ASIA***/20261119",
        ),
    ]);
}

#[test]
fn ordinary_text_passes_unchanged() {
    let redactor = Redactor::new(["hunter2hunter2".to_owned()]);
    for text in [
        "",
        "scored rows=65536 rows_total=4000000 percent=1.6",
        "2026-11-19T02:00:05Z  INFO run: published job=fraud-detector date=2026-11-19",
        "read `s3://bucket/features/date=2026-11-19/part-?.parquet`: not found",
        "open `file:///tmp/a@b/c`, http://host:9000/path@v1, http://[::1]:9000/a@b and s3://bucket/a:b@c",
        "is this a question? yes: 1 @ 2",
        "store lacks header x-amz-checksum-crc32, bearer of bad news, ASIA PACIFIC, AKIA",
        "column `größe` of Straße № 5 … ok",
        r#"{"timestamp":"2026-11-19T02:00:05.123Z","level":"INFO","rows":1}"#,
    ] {
        assert!(
            matches!(redactor.clean(text), Cow::Borrowed(same) if same == text),
            "{text}"
        );
    }
}

#[test]
fn known_secrets_are_masked_in_every_spelling() {
    let secrets = ["wJalr/XUtn\"FEMI", "wJalr", "no", ""];
    let redactor = Redactor::new(secrets.map(str::to_owned));
    assert_eq!(redactor.clean("no: wJalr/XUtn\"FEMI, wJalrX"), "no: ***, ***X");
    let json = serde_json::json!({ "secret": "wJalr/XUtn\"FEMI" }).to_string();
    assert_eq!(redactor.clean(&json), r#"{"secret":"***"}"#);
}

#[test]
fn secrets_that_touch_share_one_mask() {
    let redactor = Redactor::new(["first-secret".to_owned(), "secretsecond".to_owned()]);
    assert_eq!(redactor.clean("first-secretsecond!"), "***!");
    assert_eq!(redactor.clean("first-secretfirst-secret"), "***");
}

#[test]
fn writer_says_that_it_took_all_bytes() {
    let redactor = Redactor::default();
    let mut written = Vec::new();
    let mut writer = RedactingWriter {
        inner: &mut written,
        redactor: &redactor,
    };
    let line = b"get https://me:pass@host/\n";
    assert_eq!(writer.write(line).unwrap(), line.len());
    writer.write_all(b"caf\xe9\n").unwrap();
    assert_eq!(
        String::from_utf8(written).unwrap(),
        "get https://***@host/\ncaf\u{fffd}\n"
    );
}

#[test]
fn secrets_that_are_cut_off_are_masked_too() {
    let redactor = Redactor::new(["wJalrXUtnFEMI".to_owned(), "größe-überall".to_owned()]);
    assert_eq!(redactor.clean("the store said wJalrXUt..."), "the store said ***...");
    assert_eq!(redactor.clean("the store said größe-ü..."), "the store said ***...");
    assert_eq!(redactor.clean("wJal..."), "***...");
    assert_eq!(redactor.clean("..."), "...");
    assert_eq!(redactor.clean("the store said wJa..."), "the store said wJa...");
}
