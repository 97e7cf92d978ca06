//! Canaries: secrets in the environment, in URLs, in files and in the mouth of a store. None of them is in anything that a run writes or says.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use batch_infer::exit::ExitCode;
use tempfile::TempDir;

use crate::support::{DATE, JobFixture, command, repository};

/// Part of each secret, by which all are found.
const CANARY: &str = "cAnArY";

/// Variables with secrets, as they are set in every run here. The last is none that the program knows.
const SECRETS: [(&str, &str); 6] = [
    ("AWS_ACCESS_KEY_ID", "AKIAcAnArY00KEY0000000"),
    ("AWS_SECRET_ACCESS_KEY", "cAnArY/secret+access=key"),
    ("AWS_SESSION_TOKEN", "cAnArY-session-token//=="),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "cAnArY-container-token"),
    (
        "AWS_SSE_CUSTOMER_KEY_BASE64",
        "cAnArY1zc2Uta2V5LW9mLXRoZS1jdXN0b21lcg==",
    ),
    ("DATABASE_PASSWORD", "cAnArY-of-somebody-else"),
];

/// Files that the test itself wrote, with canaries in them.
const GIVEN: [&str; 4] = ["job.toml", "here.toml", "token", "broken.toml"];

/// Answers that stores have given.
static ANSWERS: AtomicUsize = AtomicUsize::new(0);

/// A store that refuses every request, and repeats in its answer whatever it was told.
fn tactless_store() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the test process.
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(answer(stream))));
    address
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut heard = String::new();
    let mut lines = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? <= 2 {
            break;
        }
        heard.push_str(&line);
    }
    let heard = heard.replace("\r\n", " | ").replace('&', "&amp;");
    // So that one of them stands where the message is too long and is cut.
    let number = ANSWERS.fetch_add(1, Ordering::Relaxed);
    let padding = "-".repeat(number * 7 % 300);
    let secrets: Vec<_> = SECRETS[..5].iter().map(|(_, value)| *value).collect();
    let known = format!("I know {} and was told {heard}", secrets.join(" and "));
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>{padding}{known}</Message></Error>");
    write!(
        stream,
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A job in an environment full of secrets, which says as much as it can.
fn job() -> JobFixture {
    let fixture = JobFixture::new()
        .rows(50)
        .setting("log.level", "trace")
        .setting("log.format", "json")
        .setting("log.progress", "lines")
        .setting("storage.region", "us-east-1");
    SECRETS
        .into_iter()
        .fold(fixture, |fixture, (name, value)| fixture.variable(name, value))
}

/// Nothing that the process said or wrote holds a canary.
#[track_caller]
fn expect_silence(home: &Path, output: &[u8], story: &str) {
    assert!(!holds(output), "{story}: {}", String::from_utf8_lossy(output));
    let mut folders = vec![home.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !GIVEN.contains(&path.file_name().unwrap().to_str().unwrap()) {
                files += 1;
                assert!(!holds(&fs::read(&path).unwrap()), "{story}: {}", path.display());
                assert!(!holds(path.to_str().unwrap().as_bytes()), "{story}: {}", path.display());
            }
        }
    }
    assert!(files > 0, "{story}: nothing was looked at");
}

/// True where a canary stands in the bytes as it is, or as URLs and base64 spell it.
fn holds(bytes: &[u8]) -> bool {
    let spellings: [&[u8]; 4] = [CANARY.as_bytes(), b"Y0FuQXJZ", b"NBbkFyW", b"jQW5Bclk"];
    spellings
        .iter()
        .any(|spelling| bytes.windows(spelling.len()).any(|window| window == *spelling))
}

/// Runs the job in both forms of output.
#[track_caller]
fn expect_silent(story: &str, exit: ExitCode, fixture: JobFixture) {
    let run = fixture.run();
    run.expect_exit(exit);
    expect_silence(&fixture.path(""), run.said().as_slice(), story);
    let fixture = fixture
        .setting("log.format", "text")
        .argument("--format")
        .argument("text");
    let mut command = fixture.command("run");
    let output = command.args(["--date", DATE]).output().unwrap();
    expect_silence(&fixture.path(""), &both(&output), story);
}

fn both(output: &Output) -> Vec<u8> {
    [output.stdout.as_slice(), output.stderr.as_slice()].concat()
}

#[test]
fn run_that_succeeds_says_no_secret() {
    expect_silent("a local run", ExitCode::Success, job());
    let rejecting = job()
        .features(|features| features.rows(500))
        .job("rows.max_bad_rows", "500")
        .job("rows.max_bad_fraction", "1.0")
        .job("rows.on.NAN_FEATURE", "'reject'");
    expect_silent("a run with rejects", ExitCode::Success, rejecting);
}

#[test]
fn run_that_a_store_refuses_says_no_secret() {
    let store = tactless_store();
    let at = |endpoint: &str| {
        job()
            .job("model.registry", "'s3://lake/models'")
            .variable("AWS_ENDPOINT_URL", endpoint)
            .variable("AWS_ALLOW_HTTP", "true")
    };
    let plain = format!("http://{store}");
    expect_silent("refused models", ExitCode::StoragePermission, at(&plain));
    let user = format!("http://user:cAnArY-password@{store}");
    expect_silent(
        "refused, with a user in the URL",
        ExitCode::StoragePermission,
        at(&user),
    );
    let query = format!("http://{store}/base?token=cAnArY-token");
    let asked = at(&query);
    let run = asked.run();
    expect_silence(
        &asked.path(""),
        run.said().as_slice(),
        "refused, with a query in the URL",
    );
    let everything = at(&plain)
        .job("input.path", "'s3://lake/features/date={date}'")
        .job("output.path", "'s3://lake/predictions'");
    expect_silent("refused everything", ExitCode::StoragePermission, everything);
    let output = at(&plain)
        .job("model.registry", "'models'")
        .job("output.path", "'s3://lake/predictions'");
    expect_silent("refused output", ExitCode::StoragePermission, output);
}

#[test]
fn tokens_in_files_are_secrets_too() {
    let store = tactless_store();
    let fixture = JobFixture::new().file("token", b"cAnArY.web.identity\n");
    let token = fixture.path("token").to_str().unwrap().to_owned();
    let fixture = fixture
        .job("model.registry", "'s3://lake/models'")
        .setting("log.level", "trace")
        .setting("storage.credentials", "web_identity")
        .setting("storage.region", "us-east-1")
        .variable("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .variable("AWS_ROLE_ARN", "arn:aws:iam::0:role/reader")
        .variable("AWS_ENDPOINT_URL_STS", &format!("http://{store}"))
        .variable("AWS_ENDPOINT_URL", &format!("http://{store}"))
        .variable("AWS_ALLOW_HTTP", "true");
    let run = fixture.run();
    run.expect_exit(ExitCode::StoragePermission);
    expect_silence(&fixture.path(""), run.said().as_slice(), "a refused web identity");
}

#[test]
fn files_with_secrets_are_refused_without_showing_them() {
    let settings = |text: &str| {
        let fixture = job().file("here.toml", text.as_bytes());
        fixture.argument("--config").argument("here.toml")
    };
    let texts = [
        "[storage]\nsecret_access_key = \"cAnArY\"\n",
        "[storage]\nAWS-Secret-Access-Key = \"cAnArY\"\n",
        "[storage]\napi-key = \"cAnArY\"\n",
        "[storage]\npasswd = 'cAnArY'\nendpoint = \"localhost\"\n",
        "[storage]\nendpoint = \"https://user:cAnArY@s3.example.org\"\n",
        "[storage]\nendpoint = \"https://s3.example.org/?token=cAnArY\"\n",
        "[storage.login]\npassword = \"cAnArY\"\n",
        "[storage]\npassword = \"\"\"\ncAnArY\n\"\"\"\nendpoint = 7\n",
        // Not even a parser that stumbles shows the line.
        "[storage]\npassword = \"cAnArY\nendpoint = \"\n",
        "[storage]\ntoken = cAnArY\nregion = [\n",
        "[storage\nsecret = \"cAnArY\"\n",
    ];
    for text in texts {
        let fixture = settings(text);
        let run = fixture.run();
        run.expect_exit(ExitCode::Config);
        expect_silence(&fixture.path(""), run.said().as_slice(), text);
        let output = fixture.command("config show").arg("--config").arg("here.toml").output();
        let _ = output.map(|output| expect_silence(&fixture.path(""), &both(&output), text));
    }
    let sets = [
        "output.secret=cAnArY",
        "storage.password=cAnArY",
        "input.path=s3://user:cAnArY@lake/x",
        "input.path=s3://lake/x?X-Amz-Signature=cAnArY",
        "model.registry=https://user:cAnArY@example.org/models?token=cAnArY",
        "output.path=s3://cAnArY:cAnArY@lake/x",
    ];
    for set in sets {
        let fixture = job().argument("--set").argument(set);
        let run = fixture.run();
        run.expect_exit(ExitCode::Config);
        expect_silence(&fixture.path(""), run.said().as_slice(), set);
    }
    let fixture = job().job("output.access_token", "'cAnArY'");
    let run = fixture.run();
    run.expect_exit(ExitCode::Config);
    expect_silence(&fixture.path(""), run.said().as_slice(), "a token in the job file");
}

#[cfg(feature = "failpoints")]
#[test]
fn panic_says_no_secret() {
    let (_, secret) = SECRETS[1];
    let panics =
        format!("log.create.before=panic(refused Bearer cAnArY-bearer, {secret}, http://u:cAnArY@h/?a=cAnArY)");
    let fixture = job().variable("FAILPOINTS", &panics);
    let run = fixture.run();
    run.expect_exit(ExitCode::Internal);
    let said = run.said();
    assert!(
        String::from_utf8_lossy(&said).contains("panicked at"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    expect_silence(&fixture.path(""), &said, "a panic");
}

#[test]
fn commands_that_show_things_show_no_secret() {
    let fixture = job();
    fixture.run().expect_success();
    let settings = [("BATCH_INFER_STORAGE_ENDPOINT", "https://s3.example.org")];
    for name in ["validate", "plan", "doctor", "runs list", "verify", "gc"] {
        let mut command = fixture.command(name);
        if name != "runs list" && name != "gc" {
            command.args(["--date", DATE]);
        }
        let output = command.envs(settings).output().unwrap();
        expect_silence(&fixture.path(""), &both(&output), name);
    }
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("placeholder"), b"").unwrap();
    let registry = repository().join("sample_data/models");
    for arguments in [
        vec!["config", "show"],
        vec!["model", "list", "--registry", registry.to_str().unwrap()],
    ] {
        let output = command(folder.path()).args(arguments).envs(SECRETS).output().unwrap();
        expect_silence(folder.path(), &both(&output), "a look");
    }
}
