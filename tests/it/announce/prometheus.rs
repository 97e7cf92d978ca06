//! Metrics in the hands of Prometheus: its own check, a real Pushgateway and a real server, where they are installed.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use batch_infer::exit::ExitCode;
use serde_json::Value;

use super::{with_input_again, without_input};
use crate::support::{JobFixture, Listener};

/// Looks at a service that starts, 100 ms apart.
const LOOKS: u32 = 300;

/// Value of a metric in a text.
fn value(text: &str, metric: &str) -> Option<f64> {
    let line = text
        .lines()
        .find(|line| line.starts_with(metric) && !line.starts_with('#'))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The program, or a loud word that something was not tried.
pub(crate) fn installed(program: &'static str) -> Option<&'static str> {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_ok_and(|status| status.success()) {
        return Some(program);
    }
    eprintln!(
        "SKIPPED: {program} is not installed (Debian: prometheus, prometheus-pushgateway), so metrics were not tried with it"
    );
    None
}

/// What promtool has to say about the form of metrics.
#[track_caller]
pub(crate) fn expect_well_formed(text: &str) {
    let Some(promtool) = installed("promtool") else {
        return;
    };
    let mut process = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}

/// A service that ends with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Service {
    fn start(program: &str, arguments: &[&str], folder: &Path) -> Self {
        let mut command = Command::new(program);
        let command = command
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

/// The answer of a service, once it is there and says what is wanted.
#[track_caller]
fn until(url: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut last = String::new();
    for _ in 0..LOOKS {
        let output = Command::new("curl")
            .args(["-s", "--max-time", "5", url])
            .output()
            .unwrap();
        last = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && wanted(&last) {
            return last;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("{url} says {last}");
}

const SUCCESS: &str = "batch_infer_last_success_timestamp_seconds{";

#[test]
fn node_exporter_finds_a_whole_file_that_remembers_the_last_success() {
    let fixture = JobFixture::new().setting("metrics.textfile", "metrics");
    fs::create_dir(fixture.path("metrics")).unwrap();
    fixture.run().expect_rows(100);
    let file = fixture.path("metrics/batch_infer_fraud_detector.prom");
    let text = fs::read_to_string(&file).unwrap();
    expect_well_formed(&text);
    let of = "job_name=\"fraud-detector\",model=\"fraud-detector\"";
    for (metric, expected) in [
        (format!("batch_infer_rows{{{of},result=\"read\"}}"), 100.0),
        (format!("batch_infer_rows{{{of},result=\"scored\"}}"), 100.0),
        (format!("batch_infer_rows{{{of},result=\"rejected\"}}"), 0.0),
        (format!("batch_infer_last_exit_code{{{of}}}"), 0.0),
        ("batch_infer_model_info{".to_owned(), 1.0),
    ] {
        assert_eq!(value(&text, &metric), Some(expected), "{metric} in\n{text}");
    }
    for metric in ["batch_infer_output_bytes", "batch_infer_run_duration_seconds", SUCCESS] {
        assert!(value(&text, metric) > Some(0.0), "{metric} in\n{text}");
    }
    for stage in ["fetch", "decode", "preprocess", "infer", "encode", "publish"] {
        assert!(text.contains(&format!("stage=\"{stage}\"")), "{stage} in\n{text}");
    }
    without_input(&fixture);
    fixture.run().expect_exit(ExitCode::InputNotReady);
    let failed = fs::read_to_string(&file).unwrap();
    assert_eq!(value(&failed, "batch_infer_last_exit_code"), Some(14.0));
    assert_eq!(
        value(&failed, SUCCESS),
        value(&text, SUCCESS),
        "a failure forgets no success"
    );
    assert_eq!(value(&failed, "batch_infer_rows{"), None, "and has no rows");
    assert_eq!(fs::read_dir(fixture.path("metrics")).unwrap().count(), 1);
}

#[test]
fn group_of_a_push_is_the_job_and_the_model() {
    let listener = Listener::start();
    let fixture = JobFixture::new().setting("metrics.pushgateway", &listener.url);
    fixture.run().expect_success();
    let heard = listener.take();
    assert_eq!(
        heard[0].line,
        "PUT /metrics/job/fraud%2Ddetector/model/fraud%2Ddetector"
    );
    assert!(heard[0].body.contains(SUCCESS), "{heard:?}");
}

#[test]
fn real_pushgateway_and_server_take_the_metrics() {
    let (Some(gateway), Some(server), Some(_)) = (
        installed("prometheus-pushgateway"),
        installed("prometheus"),
        installed("curl"),
    ) else {
        return;
    };
    let (push, query) = (free_address(), free_address());
    let fixture = JobFixture::new().setting("metrics.pushgateway", &format!("http://{push}"));
    let folder = fixture.path("");
    let _gateway = Service::start(gateway, &[&format!("--web.listen-address={push}")], &folder);
    until(&format!("http://{push}/-/ready"), |_| true);
    fixture.run().expect_rows(100);
    without_input(&fixture);
    fixture.run().expect_exit(ExitCode::InputNotReady);
    with_input_again(&fixture);
    let held = until(&format!("http://{push}/metrics"), |text| text.contains(SUCCESS));
    assert_eq!(value(&held, "batch_infer_last_exit_code{"), Some(14.0), "{held}");
    assert!(!held.contains("batch_infer_rows{"), "PUT replaces the whole group");

    let config = format!(
        "scrape_configs:\n- job_name: pushgateway\n  honor_labels: true\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  static_configs:\n  - targets: ['{push}']\n"
    );
    fs::write(folder.join("prometheus.yml"), config).unwrap();
    let listen = format!("--web.listen-address={query}");
    let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", &listen];
    let _server = Service::start(server, &arguments, &folder);
    let url = format!(
        "http://{query}/api/v1/query?query=time()-batch_infer_last_success_timestamp_seconds%7Bjob=%22fraud-detector%22%7D"
    );
    let answer = until(&url, |text| text.contains("\"job_name\":\"fraud-detector\""));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let age: f64 = answer["data"]["result"][0]["value"][1]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((-5.0..600.0).contains(&age), "{answer:#}");
}
