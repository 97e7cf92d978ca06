//! The identities that earlier versions of this program gave to the same work.
//!
//! What such a version has published stays published: another version is no reason to score a date again. So the identity of a plan is also
//! computed as each of them computed it. A version joins the list when the minor version is raised. Keys that a version did not know are left
//! out of the identity by all versions where they have their defaults; where they have not, the identity is one that it never gave.

use super::identity;
use crate::plan::{InputFile, Plan};
use crate::registry::ModelArtifact;
use crate::validate::Job;

/// An earlier version, and how it described a file.
struct Form {
    version: &'static str,
    /// The Arrow types of a file's columns as it decoded them.
    schema: fn(&InputFile) -> &str,
}

/// The newest first.
const FORMS: [Form; 1] = [Form {
    version: "0.1",
    schema: of_0_1,
}];

/// What an earlier version called a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// The version: major and minor.
    pub version: &'static str,
    /// The plan's identity there.
    pub base_id: String,
}

/// The identities of a plan in earlier versions, the newest first.
pub fn earlier(job: &Job, artifact: &ModelArtifact, plan: &Plan, max_decoded: u64) -> Vec<Earlier> {
    let of = |form: &Form| Earlier {
        version: form.version,
        base_id: identity(job, artifact, plan, max_decoded, form.version, form.schema),
    };
    FORMS.iter().map(of).collect()
}

/// Version 0.1 decoded `INT96` to nanoseconds without a zone, and `ENUM` to bytes.
fn of_0_1(file: &InputFile) -> &str {
    file.earlier_schema_text.as_deref().unwrap_or(&file.schema_text)
}
