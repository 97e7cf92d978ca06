//! What becomes of bad rows and bad columns: by reason and by policy, with isolation, rejects, and rows that are scored again.

mod folders;
mod instants;
mod integers;
mod isolation;
mod picky;
mod policy;
mod property;
mod rescore;
mod schema;
mod stand_ins;
