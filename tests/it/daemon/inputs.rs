//! What the daemon says of dates that are published, and whose input is not what was scored.

use crate::support::{Features, Watch};

/// What it warns of.
const WARNING: &str = "the input of this date is not what was scored";

#[test]
fn earlier_date_whose_input_has_changed_is_named_once_and_not_scored() {
    let watch = Watch::at("2026-11-18T01:59:58Z").job("nightly", "0 2 * * *", "UTC", -1, "reconcile_days = 2");
    let watch = watch.input("2026-11-15", "2026-11-20").started();
    watch.until_published("nightly", 3);
    assert!(!watch.log().contains(WARNING), "{}", watch.log());
    Features::new().rows(20).write(&watch.path("features/date=2026-11-17"));
    watch.set_clock("2026-11-19T01:59:58Z", 1.0);
    watch.until("warning", |watch| watch.log().contains(WARNING).then_some(()));
    watch.until_published("nightly", 4);
    watch.set_clock("2026-11-20T01:59:58Z", 1.0);
    watch.until_published("nightly", 5);
    let log = watch.log();
    let said: Vec<_> = log.lines().filter(|line| line.contains(WARNING)).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("2026-11-17") && said[0].contains("nightly"),
        "{said:?}"
    );
    let dates = ["2026-11-15", "2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19"];
    watch.expect_published_once("nightly", &dates);
}
