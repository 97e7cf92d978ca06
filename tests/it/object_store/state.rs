//! What is kept beside the data set, in a bucket.

use bytes::Bytes;

use super::{OUTPUT, job, lake};
use crate::state::{ask, expect_sound, flipped, subjects, verify};
use crate::support::DATE;

const RECORDS: &str = "predictions.batch-infer/v1/fraud-detector/date=2026-11-19";

#[test]
fn publications_in_a_bucket_are_listed_and_shown() {
    let Some(service) = lake() else { return };
    job(&service).run().expect_success();
    let second = job(&service).job("model.version", "'challenger'");
    second.run().expect_success();
    let (code, found) = ask(&second, "runs list", &[]);
    assert_eq!(code, 0);
    let publications = found["publications"].as_array().unwrap();
    let seen: Vec<_> = publications
        .iter()
        .map(|found| {
            (
                found["seq"].as_u64(),
                found["model_version"].as_str(),
                found["current"].as_bool(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [(Some(4), Some("1"), Some(true)), (Some(2), Some("2"), Some(false))]
    );
    let shown = ask(&second, "runs show", &["--date", DATE]).1;
    assert_eq!(shown["record"]["commit"]["n"], 4);
    assert_eq!(shown["held_by"], serde_json::Value::Null, "the lease was given back");
    assert_eq!(shown["log"].as_array().unwrap().len(), 4);
}

#[test]
fn altered_object_is_published_again_under_a_new_number() {
    let Some(service) = lake() else { return };
    let fixture = job(&service);
    fixture.run().expect_success();
    expect_sound(&fixture, 2);
    let before = service.partition(OUTPUT);
    // Whoever writes it again drops the metadata; the footer still says whose it is.
    service.put(OUTPUT, Bytes::from(flipped(service.read(OUTPUT).to_vec())));
    let (code, found) = verify(&fixture, &[]);
    assert_eq!(
        (code, subjects(&found)),
        (70, vec!["error file".to_owned(), "warning record".to_owned()])
    );
    let (code, found) = verify(&fixture, &["--repair"]);
    assert_eq!(code, 0, "{found:#}");
    expect_sound(&fixture, 4);
    service.partition(OUTPUT).expect_predictions_of(&before);
}

#[test]
fn rubbish_in_a_bucket_is_removed() {
    let Some(service) = lake() else { return };
    job(&service).run().expect_success();
    let second = job(&service)
        .job("model.version", "'challenger'")
        .setting("state.retention", "0s");
    second.run().expect_success();
    let announced = r#"{"seq": 2, "nonce": "abc", "name": "part-00000.parquet", "upload_id": "gone"}"#;
    let upload = format!("{RECORDS}/uploads/00000000000000000002-abc-part-00000.parquet-0.json");
    service.put(&upload, Bytes::from(announced));
    service.put("predictions.batch-infer/v1/.probe/left", Bytes::from("1"));
    let (code, planned) = ask(&second, "gc", &["--dry-run"]);
    assert_eq!(code, 0, "{planned:#}");
    for (kind, objects) in [("plans", 3), ("uploads", 1), ("probes", 1)] {
        assert_eq!(planned["removed"][kind]["objects"], objects, "{planned:#}");
    }
    let (code, found) = ask(&second, "gc", &[]);
    assert_eq!((code, &found["removed"]), (0, &planned["removed"]));
    assert_eq!(service.keys(&format!("{RECORDS}/uploads/")), [""; 0]);
    assert_eq!(service.keys("predictions.batch-infer/v1/.probe/"), [""; 0]);
    assert_eq!(service.keys(&format!("{RECORDS}/plans/")).len(), 3);
    expect_sound(&second, 4);
}
