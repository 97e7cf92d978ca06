//! Settings from a file, the environment and flags: which wins, and what is said of wrong ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{DeviceRequest, LogFormat, ProgressMode};
use super::{Flag, Settings, SettingsSpec, Shown, lay_over, read, variable_of};
use crate::document::{Document, Origin};
use crate::error::Error;
use crate::schema;

fn document(text: &str, variables: &[(&str, &str)], flags: &[Flag<'_>]) -> Document {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let mut document = Document::new("settings file", "configs/here.toml", text);
    lay_over(
        &mut document,
        |name| variables.get(name).map(|&value| value.to_owned()),
        flags,
    );
    document
}

fn settings(text: &str, variables: &[(&str, &str)], flags: &[Flag<'_>]) -> Result<Settings, Error> {
    let (_, settings) = read(&document(text, variables, flags))?;
    Ok(settings)
}

fn configs(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(file);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn nothing_said_means_that_the_machine_decides() {
    let settings = settings("", &[], &[]).unwrap();
    assert_eq!(settings.device.kind, DeviceRequest::Auto);
    assert_eq!((settings.line.chunk_rows, settings.line.memory), (0, None));
    assert_eq!((settings.log.format, settings.log.progress), (None, ProgressMode::Auto));
    assert_eq!(settings.log.interval, Duration::from_secs(10));
}

#[test]
fn short_texts_are_read() {
    let text = "[device]\nkind = \"cuda:1\"\n[line]\nmemory = \"2GiB\"\n[log]\nformat = \"json\"\ninterval = \"1m 30s\"\nlevel = \"info,x=debug\"\n";
    let settings = settings(text, &[], &[]).unwrap();
    assert_eq!(settings.device.kind, DeviceRequest::Cuda(1));
    assert_eq!(settings.line.memory, Some(2 << 30));
    assert_eq!(settings.log.format, Some(LogFormat::Json));
    assert_eq!(settings.log.interval, Duration::from_secs(90));
    assert_eq!(settings.log.level, "info,x=debug");
}

#[test]
fn flag_wins_over_variable_over_file_over_default() {
    let file = "[device]\nkind = \"cuda\"\n[line]\nmemory = \"1GiB\"\nbatch_rows = 64\n";
    let variables = [
        ("BATCH_INFER_DEVICE_KIND", "cuda:1"),
        ("BATCH_INFER_LINE_MEMORY", "2GiB"),
    ];
    let document = document(file, &variables, &[("--device", "device.kind", "cpu")]);
    let (spec, settings) = read(&document).map_err(Error::from).unwrap();
    assert_eq!(settings.device.kind, DeviceRequest::Cpu);
    assert_eq!(settings.line.memory, Some(2 << 30));
    assert_eq!(settings.line.batch_rows, 64);
    let shown = Shown::new(&spec, &document);
    let origin = |key: &str| {
        shown
            .settings()
            .iter()
            .find(|setting| setting.key == key)
            .unwrap()
            .origin
            .clone()
    };
    assert_eq!(origin("device.kind"), Origin::Flag("--device".to_owned()));
    assert_eq!(
        origin("line.memory"),
        Origin::Environment("BATCH_INFER_LINE_MEMORY".to_owned())
    );
    assert_eq!(origin("line.batch_rows"), Origin::File);
    assert_eq!(origin("log.level"), Origin::Default);
}

#[test]
fn every_variable_belongs_to_one_key() {
    let keys = schema::keys(&schema::of_toml::<SettingsSpec>());
    let variables: std::collections::BTreeSet<_> = keys.iter().map(|key| variable_of(key)).collect();
    assert_eq!(variables.len(), keys.len());
    assert!(variables.contains("BATCH_INFER_LINE_CHUNK_ROWS"));
}

#[test]
fn problems_of_file_variables_and_flags_come_in_one_answer() {
    let file = "[device]\nkind = \"gpu\"\n[log]\nlevel = \"inof\"\nprogress = \"line\"\n[storage]\nendpoint = \"localhost:9000\"\n";
    let variables = [
        ("BATCH_INFER_LINE_MEMORY", "2 gigs"),
        ("BATCH_INFER_STORAGE_ALLOW_HTTP", "1"),
    ];
    let error = settings(file, &variables, &[("--log-interval", "log.interval", "10")]);
    insta::assert_snapshot!(error.unwrap_err(), @r#"
    error: settings file `configs/here.toml` has 7 problems

      × `device.kind` is `gpu`, expected `auto`, `cpu`, `cuda` or `cuda:N`
       ╭─[configs/here.toml:2:8]
     1 │ [device]
     2 │ kind = "gpu"
       ·        ─────
     3 │ [log]
       ╰────

      × `log.level` is `inof`, expected `off`, `error`, `warn`, `info`, `debug` or `trace`
       ╭─[configs/here.toml:4:9]
     3 │ [log]
     4 │ level = "inof"
       ·         ──────
     5 │ progress = "line"
       ╰────
      help: did you mean `info`?

      × `log.progress` is `line`, expected `auto`, `bar`, `lines` or `off`
       ╭─[configs/here.toml:5:12]
     4 │ level = "inof"
     5 │ progress = "line"
       ·            ──────
     6 │ [storage]
       ╰────
      help: did you mean `lines`?

      × `storage.endpoint` is not a URL that starts with https:// or http://
       ╭─[configs/here.toml:7:12]
     6 │ [storage]
     7 │ endpoint = "localhost:9000"
       ·            ────────────────
       ╰────

      × `line.memory` is `2 gigs`, expected `auto` or a size such as `2GiB`
       ╭─[environment:1:25]
     1 │ BATCH_INFER_LINE_MEMORY=2 gigs
       ·                         ──────
       ╰────

      × `storage.allow_http` is an integer, expected true or false
       ╭─[environment:1:32]
     1 │ BATCH_INFER_STORAGE_ALLOW_HTTP=1
       ·                                ─
       ╰────

      × `log.interval` is `10`, expected a time such as `10s` or `1m 30s`
       ╭─[--log-interval:1:16]
     1 │ --log-interval=10
       ·                ──
       ╰────
    "#);
}

#[test]
fn password_in_an_endpoint_is_refused_and_not_shown() {
    let error = settings(
        "[storage]\nendpoint = \"https://me:ge/heim@s3.example.org\"\n",
        &[],
        &[],
    );
    insta::assert_snapshot!(error.unwrap_err(), @r#"
    error: settings file `configs/here.toml` has a problem

      × `storage.endpoint` holds a user or a password
       ╭─[configs/here.toml:2:12]
     1 │ [storage]
     2 │ endpoint = "https://**********@s3.example.org"
       ·            ───────────────────────────────────
       ╰────
      help: credentials come from the environment only, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    "#);
}

#[test]
fn shown_settings_name_their_origins() {
    let document = document(
        "[line]\nchunk_rows = 1000\n",
        &[("BATCH_INFER_LOG_LEVEL", "debug")],
        &[],
    );
    let (spec, _) = read(&document).map_err(Error::from).unwrap();
    insta::assert_snapshot!(Shown::new(&spec, &document).text(), @r#"
    [daemon]
    listen = "127.0.0.1:8735"    # default
    max_parallel_runs = 1        # default

    [device]
    kind = "auto"                # default

    [infer]
    batch_timeout = "30m"        # default
    freeze = true                # default

    [lease]
    busy_timeout = "5m"          # default
    enabled = true               # default
    on_busy = "wait"             # default
    ttl = "60s"                  # default

    [line]
    batch_rows = 0               # default
    chunk_rows = 1000            # file
    max_decoded = "auto"         # default
    memory = "auto"              # default
    tune = "auto"                # default

    [log]
    format = "auto"              # default
    interval = "10s"             # default
    level = "debug"              # environment BATCH_INFER_LOG_LEVEL
    progress = "auto"            # default

    [metrics]
    # pushgateway is not set     # default
    # textfile is not set        # default

    [publish]
    single_put_max = "1GiB"      # default

    [run]
    # key is not set             # default
    # max_runtime is not set     # default
    shards = 1                   # default
    shutdown_grace = "20s"       # default

    [spool]
    # path is not set            # default

    [state]
    allow_network_fs = false     # default
    retention = "7d"             # default
    unsafe_single_writer = false # default

    [storage]
    allow_http = false           # default
    credentials = "auto"         # default
    # endpoint is not set        # default
    # region is not set          # default

    [task]
    # summary_file is not set    # default
    termination_log = "/dev/termination-log" # default
    xcom = "/airflow/xcom"       # default

    [threads]
    intra_op = 0                 # default
    score = 0                    # default
    "#);
}

#[test]
fn full_toml_holds_the_defaults() {
    let document = Document::new("settings file", "configs/full.toml", configs("full.toml"));
    let (spec, problems) = document.read::<SettingsSpec>();
    assert_eq!(problems, []);
    assert_eq!(spec.unwrap(), SettingsSpec::default());
}

#[test]
fn full_toml_holds_every_key() {
    // A key without a default stands there as a comment.
    let text = configs("full.toml")
        .replace("\n# endpoint", "\nendpoint")
        .replace("\n# region", "\nregion")
        .replace("\n# path", "\npath")
        .replace("\n# key", "\nkey")
        .replace("\n# max_runtime", "\nmax_runtime")
        .replace("\n# summary_file", "\nsummary_file")
        .replace("\n# textfile", "\ntextfile")
        .replace("\n# pushgateway", "\npushgateway");
    let document = Document::new("settings file", "configs/full.toml", text);
    for key in schema::keys(&schema::of_toml::<SettingsSpec>()) {
        assert_eq!(document.origin(&key), Origin::File, "{key}");
    }
    assert_eq!(document.read::<SettingsSpec>().1, []);
}

#[test]
fn shipped_settings_can_be_used() {
    for file in ["full.toml", "local.toml", "vm.toml", "k8s.toml"] {
        assert!(settings(&configs(file), &[], &[]).is_ok(), "{file}");
    }
}

#[test]
fn secrets_in_urls_are_known_by_themselves() {
    let secrets = super::secrets_of_url("https://me:ge/heim@s3.example.org/base?token=abc&x=");
    assert_eq!(secrets, ["me:ge/heim", "ge/heim", "abc", ""]);
    assert_eq!(super::secrets_of_url("https://s3.example.org:9000/base"), [""; 0]);
    assert_eq!(super::secrets_of_url("us-east-1"), [""; 0]);
}

#[test]
fn trace_is_that_of_a_sound_traceparent() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for sound in [
        format!("00-{trace}-b7ad6b7169203331-01"),
        format!(" 00-{trace}-b7ad6b7169203331-00 "),
        format!("01-{trace}-b7ad6b7169203331-01-more"),
    ] {
        assert_eq!(super::trace_id(&sound).as_deref(), Some(trace), "{sound}");
    }
    for unsound in [
        String::new(),
        trace.to_owned(),
        format!("00-{trace}-b7ad6b7169203331"),
        format!("00-{trace}-b7ad6b7169203331-01-more"),
        format!("ff-{trace}-b7ad6b7169203331-01"),
        format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()),
        format!("00-{trace}-0000000000000000-01"),
        format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
    ] {
        assert_eq!(super::trace_id(&unsound), None, "{unsound}");
    }
}

#[test]
fn address_of_the_pages_is_an_address_or_off() {
    let listen =
        |text: &str| settings(&format!("daemon.listen = '{text}'"), &[], &[]).map(|settings| settings.daemon.listen);
    assert_eq!(listen("off").unwrap(), None);
    assert_eq!(listen("[::1]:80").unwrap().unwrap().port(), 80);
    for text in ["localhost:80", "8735", "", "127.0.0.1"] {
        assert!(listen(text).is_err(), "{text}");
    }
    assert!(settings("daemon.max_parallel_runs = 0", &[], &[]).is_err());
    assert!(settings("metrics.pushgateway = 'http://me:secret@host'", &[], &[]).is_err());
    assert!(settings("metrics.pushgateway = 'host:9091'", &[], &[]).is_err());
}
