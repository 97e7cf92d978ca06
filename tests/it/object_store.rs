//! The same runs with input, models and output in a bucket, against an S3 service on this machine.

mod listing;
mod service;
mod state;
mod upgrade;

use batch_infer::exit::ExitCode;

use crate::support::{DATE, JobFixture, assert_close, parquet_files, repository};
use service::Service;

const BUCKET: &str = "lake";
const OUTPUT: &str = "predictions/date=2026-11-19/part-00000.parquet";

/// A bucket with the sample's features of the date and the models; `None` where no service can be started here.
fn lake() -> Option<Service> {
    let service = Service::start()?;
    service.create_bucket(BUCKET);
    let sample = repository().join("sample_data");
    for file in parquet_files(&sample.join(format!("features/fraud-detector/date={DATE}"))) {
        service.upload(&sample, &file);
    }
    for file in [
        "1/metadata.json",
        "1/model.pt",
        "2/metadata.json",
        "2/model.pt",
        "aliases/champion",
        "aliases/challenger",
    ] {
        service.upload(&sample, &sample.join("models/fraud-detector").join(file));
    }
    Some(service)
}

/// The fraud-detector with everything in the bucket.
fn job(service: &Service) -> JobFixture {
    let fixture = JobFixture::of("fraud-detector", "transaction_id")
        .job("input.path", "'s3://lake/features/fraud-detector/date={date}'")
        .job("model.registry", "'s3://lake/models'")
        .job("output.path", "'s3://lake/predictions'");
    reaching(fixture, &service.endpoint()).setting("storage.allow_http", "true")
}

fn reaching(fixture: JobFixture, endpoint: &str) -> JobFixture {
    fixture
        .setting("storage.endpoint", endpoint)
        .setting("storage.region", "us-east-1")
        .variable("AWS_ACCESS_KEY_ID", "reader")
        .variable("AWS_SECRET_ACCESS_KEY", "not-a-secret")
}

#[test]
fn run_between_buckets_publishes_what_a_local_run_does() {
    let Some(service) = lake() else { return };
    let run = job(&service).run();
    let report = run.expect_success().report();
    assert_eq!(report["output"]["path"], format!("s3://lake/{OUTPUT}"));
    let local = JobFixture::of("fraud-detector", "transaction_id").run();
    let (found, expected) = (service.partition(OUTPUT), local.expect_success().partition());
    found.expect_predictions_of(&expected);
    assert_eq!(found.columns(), expected.columns());
    assert_eq!(
        report["output"]["sha256"][0],
        batch_infer::digest::sha256(&service.read(OUTPUT))
    );
}

#[test]
fn bucket_holds_the_file_of_the_date_and_the_report_beside_it() {
    let Some(service) = lake() else { return };
    let run = job(&service).run();
    let plan = run.expect_success().report()["plan_id"].as_str().unwrap().to_owned();
    assert_eq!(
        service.keys("predictions/"),
        ["predictions/date=2026-11-19/_SUCCESS", OUTPUT]
    );
    let records = service.keys("predictions.batch-infer/v1/fraud-detector/date=2026-11-19/");
    let records: Vec<_> = records.iter().filter(|key| !key.contains("/chunks/")).collect();
    let folder = "predictions.batch-infer/v1/fraud-detector/date=2026-11-19";
    let expected = [
        format!("{folder}/lease.json"),
        format!("{folder}/log/00000000000000000001.json"),
        format!("{folder}/log/00000000000000000002.json"),
        format!("{folder}/plans/{plan}/plan.json"),
        format!("{folder}/published/00000000000000000002.json"),
    ];
    assert_eq!(records, expected.iter().collect::<Vec<_>>());
    let tried = service.keys("predictions.batch-infer/v1/.probe/");
    assert_eq!(tried, [""; 0], "what was written to try the store stayed behind");
    assert_eq!(run.temporary_files(), [""; 0], "the spool stayed behind");
}

#[test]
fn partition_in_a_bucket_is_replaced_whole_or_not_at_all() {
    let Some(service) = lake() else { return };
    job(&service).run().expect_success();
    let first = service.read(OUTPUT);
    let refused = job(&service).job("input.keys", "['order_id']").run();
    refused.expect_refusal(ExitCode::Schema);
    assert_eq!(service.read(OUTPUT), first);
    job(&service)
        .job("model.version", "'challenger'")
        .run()
        .expect_success();
    assert_eq!(
        service.keys("predictions/"),
        ["predictions/date=2026-11-19/_SUCCESS", OUTPUT]
    );
    assert_eq!(service.partition(OUTPUT).texts("model_version")[0], "1");
}

#[test]
fn huge_row_group_in_a_bucket_is_read_in_pieces() {
    let Some(service) = lake() else { return };
    let written = JobFixture::new()
        .rows(5_000)
        .features(crate::support::Features::without_page_index);
    let local = written.run();
    service.upload(
        &written.path(""),
        &written.path("features/date=2026-11-19/part-00000.parquet"),
    );
    let fixture = job(&service).job("input.path", "'s3://lake/features/date={date}/*.parquet'");
    let report = fixture
        .setting("line.chunk_rows", "700")
        .run()
        .expect_success()
        .report();
    assert_eq!(report["line"]["chunks"], 8);
    let (found, expected) = (service.partition(OUTPUT), local.partition());
    assert_close(
        &found.numbers("probability"),
        &expected.numbers("probability"),
        "probability",
    );
    found.expect_input_order();
}

#[test]
fn bucket_that_does_not_exist_is_a_mistake_in_the_job() {
    let Some(service) = lake() else { return };
    let run = job(&service)
        .job("input.path", "'s3://pond/features/date={date}'")
        .run();
    run.expect_refusal(ExitCode::Config)
        .expect_said(&["s3://pond/features/date=2026-11-19", "NoSuchBucket"]);
    assert_eq!(service.keys("predictions"), [""; 0]);
}

#[test]
fn prefix_without_objects_is_input_that_is_not_ready() {
    let Some(service) = lake() else { return };
    let run = job(&service)
        .job("input.path", "'s3://lake/features/fraud-detector/date={year}'")
        .run();
    run.expect_refusal(ExitCode::InputNotReady)
        .expect_said(&["s3://lake/features/fraud-detector/date=2026"]);
    assert_eq!(service.keys("predictions"), [""; 0], "of what is asked beside the plan");
}

#[test]
fn run_with_nothing_to_do_writes_nothing_to_a_bucket() {
    let Some(service) = lake() else { return };
    let fixture = job(&service);
    fixture.run().expect_success();
    let before = service.objects("predictions");
    fixture.run().expect_success();
    assert_eq!(service.objects("predictions"), before);
}

#[test]
fn credentials_that_are_refused_are_a_matter_of_permission() {
    let Some(service) = lake() else { return };
    service.refuse_strangers();
    let run = job(&service).run();
    run.expect_refusal(ExitCode::StoragePermission)
        .expect_said(&["403", "AWS_ACCESS_KEY_ID"]);
    assert!(!run.message().contains("not-a-secret"), "a secret is in the message");
}

#[test]
fn nothing_in_a_bucket_holds_a_secret() {
    let Some(service) = lake() else { return };
    let before = service.keys("");
    let run = job(&service)
        .setting("log.level", "trace")
        .variable("AWS_ACCESS_KEY_ID", "AKIAcAnArY00KEY0000000")
        .variable("AWS_SECRET_ACCESS_KEY", "cAnArY/secret+access=key")
        .variable("AWS_SESSION_TOKEN", "cAnArY-session-token")
        .run();
    let said = run.expect_success().said();
    assert!(!String::from_utf8_lossy(&said).contains("cAnArY"), "{}", run.message());
    let made: Vec<_> = service
        .keys("")
        .into_iter()
        .filter(|key| !before.contains(key))
        .collect();
    assert!(made.iter().any(|key| key.contains("/published/")), "{made:?}");
    for key in made {
        let bytes = service.read(&key);
        assert!(!bytes.windows(6).any(|window| window == b"cAnArY"), "{key}");
    }
}

#[test]
fn source_of_credentials_that_lacks_something_is_a_mistake_in_the_settings() {
    let fixture = JobFixture::new().job("model.registry", "'s3://lake/models'");
    let fixture = reaching(fixture, "http://127.0.0.1:1").setting("storage.credentials", "web_identity");
    let run = fixture.run();
    run.expect_refusal(ExitCode::Config).expect_said(&[
        "web_identity",
        "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not set",
    ]);
}

#[test]
fn service_that_does_not_answer_is_worth_another_try() {
    // Nothing listens on the first of all ports.
    let fixture = JobFixture::new()
        .job("model.registry", "'s3://lake/models'")
        .setting("storage.allow_http", "true");
    let run = reaching(fixture, "http://127.0.0.1:1").run();
    run.expect_refusal(ExitCode::StorageTransient)
        .expect_said(&["s3://lake/models", "127.0.0.1:1"]);
}

#[test]
fn service_without_tls_needs_leave() {
    let fixture = JobFixture::new().job("model.registry", "'s3://lake/models'");
    let run = reaching(fixture, "http://store.example:9000").run();
    run.expect_refusal(ExitCode::Config).expect_said(&["allow_http"]);
}
