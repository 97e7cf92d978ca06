//! Which files on a disk count as the same; whole dates are compared in `tests/it/backfill/changed.rs`.

use super::written;

#[test]
fn file_on_a_disk_is_known_by_its_time_and_size() {
    // Copied back with its time, it has another inode; written again, another time.
    let scored = "4f1a2b-5f0c3d2e1a0b9-1c8";
    assert_eq!(written(scored), written("77-5f0c3d2e1a0b9-1c8"));
    assert_eq!(written(scored), written("\"4f1a2b-5f0c3d2e1a0b9-1c8\""));
    assert_ne!(written(scored), written("4f1a2b-5f0c3d2e1a0ba-1c8"));
    assert_ne!(written(scored), written("4f1a2b-5f0c3d2e1a0b9-1c9"));
}
