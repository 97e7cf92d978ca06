//! The places of a job: input, output and state, each on its own ground.

use chrono::NaiveDate;

use super::{Location, template};
use crate::problem::{Problem, kept};
use crate::spec::{InputSpec, OutputSpec};

/// What is put behind the output's path to name its state when the job does not.
pub const STATE_SUFFIX: &str = ".batch-infer";

/// Where a job reads and writes.
pub(super) struct Places {
    pub(super) input: Location,
    pub(super) output: Location,
    pub(super) state: Location,
}

impl Places {
    /// Input, output and state must not lie in one another, or one of them would be read as the other.
    fn apart(&self, found: &mut Vec<Problem>) {
        let Self { input, output, state } = self;
        if output.overlaps(input) {
            let fault = format!("is `{output}`, which overlaps with `input.path`: `{input}`");
            let hint = "predictions there would be read as features; choose separate folders";
            found.push(Problem::new("output.path", fault).hint(hint));
        }
        if state.overlaps(output) {
            let fault = format!("is `{state}`, which overlaps with `output.path`: `{output}`");
            let hint = format!("readers would take its files for predictions; the default is `{output}{STATE_SUFFIX}`");
            found.push(Problem::new("output.state", fault).hint(hint));
        }
        if state.overlaps(input) {
            let fault = format!("is `{state}`, which overlaps with `input.path`: `{input}`");
            found.push(Problem::new("output.state", fault).hint("choose separate folders"));
        }
        if matches!((output, state), (Location::S3 { .. }, Location::Local(_))) {
            let fault = format!("is `{state}`, a local folder, and `output.path` is in a bucket: `{output}`");
            let hint = format!(
                "the records that keep writers apart lie where every writer sees them; the default is `{output}{STATE_SUFFIX}`"
            );
            found.push(Problem::new("output.state", fault).hint(hint));
        }
        if matches!((output, state), (Location::Local(_), Location::S3 { .. })) {
            let fault = format!("is `{state}`, and `output.path` is a local folder: `{output}`");
            let hint = "publishing is a rename, so the state of a local data set lies on the same file system";
            found.push(Problem::new("output.state", fault).hint(hint));
        }
    }
}

/// Checks each place and that none lies in another.
pub(super) fn check(from: &InputSpec, to: &OutputSpec, date: NaiveDate, found: &mut Vec<Problem>) -> Option<Places> {
    let input = kept(input(&from.path, date), found);
    let output = kept(output(to), found)?;
    let state = kept(state(to, &output), found)?;
    let places = Places {
        input: input?,
        output,
        state,
    };
    places.apart(found);
    Some(places)
}

/// The input of a date.
pub(super) fn input(path: &str, date: NaiveDate) -> Result<Location, Problem> {
    let path = template::render("input.path", path, date)?;
    let location = Location::parse("input.path", &path)?;
    match location.pattern_error() {
        Some(error) => Err(Problem::new("input.path", format!("is not a valid pattern: {error}"))),
        None => Ok(location),
    }
}

fn output(spec: &OutputSpec) -> Result<Location, Problem> {
    template::refuse("output.path", &spec.path).map_err(|problem| {
        problem.hint("date=YYYY-MM-DD is added below `output.path`, so write it without the date")
    })?;
    let location = Location::parse("output.path", &spec.path)?;
    location.refuse_pattern("output.path")?;
    Ok(location)
}

fn state(spec: &OutputSpec, output: &Location) -> Result<Location, Problem> {
    let Some(path) = &spec.state else {
        return output.with_suffix(STATE_SUFFIX).ok_or_else(|| {
            Problem::new(
                "output.state",
                format!("is missing, and nothing can stand beside `{output}`"),
            )
            .hint("put the data set into a folder or prefix of its own, or name `output.state`")
        });
    };
    template::refuse("output.state", path)
        .map_err(|problem| problem.hint("one state serves all dates, so write it without the date"))?;
    let location = Location::parse("output.state", path)?;
    location.refuse_pattern("output.state")?;
    Ok(location)
}
