//! `verify`: whether what readers see is what was decided.

use std::fmt::Write;

use bytesize::ByteSize;
use uuid::Uuid;

use super::args::VerifyDateArgs;
use super::context::Context;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::run::{Desk, Options};
use crate::verify::{self, Finding, Severity, Verified};

pub(super) fn verify(args: &VerifyDateArgs, context: &Context) -> Result<ExitCode, Error> {
    let settings = context.settings(&[])?;
    let terminal = context.terminal(&settings)?;
    let job = context.job(&args.file, args.date)?;
    let verified = terminal.around(&settings, |around| {
        let id = Uuid::new_v4().to_string();
        let options = Options::default();
        let mut desk = Desk::open(&job, &options, &settings, around.machine, &around.clock, &id)?;
        around.wait(desk.belongs())?;
        if args.repair {
            verify::repair(&job, &mut desk, around)
        } else {
            verify::verify(&desk, &job.name, around)
        }
    })?;
    context.print(&verified, &text(&verified));
    Ok(exit(&verified))
}

/// A date of which nothing is there to compare is not one that is as it was decided.
fn exit(verified: &Verified) -> ExitCode {
    match (verified.sound, verified.seq) {
        (false, _) => ExitCode::Invariant,
        (true, None) => ExitCode::NotPublished,
        (true, Some(_)) => ExitCode::Success,
    }
}

fn text(verified: &Verified) -> String {
    let Verified { job, date, path, .. } = verified;
    let mut text = String::new();
    for done in &verified.repaired {
        let _ = writeln!(text, "repaired: {done}");
    }
    let head = match (verified.sound, verified.seq) {
        (true, None) => format!("nothing is published in {path}"),
        (true, Some(seq)) => format!(
            "publication {seq} in {path} is what was decided ({} files, {} rows, {})",
            verified.files,
            verified.rows,
            ByteSize(verified.bytes)
        ),
        (false, _) => format!("what readers see in {path} is not what was decided"),
    };
    let _ = writeln!(text, "{job} for {date}: {head}");
    for finding in &verified.findings {
        let _ = writeln!(text, "  {}", line(finding));
    }
    if let Some(seat) = &verified.held_by {
        let _ = writeln!(text, "  note     {} works on this date now", seat.who);
    }
    if exit(verified) == ExitCode::NotPublished {
        let _ = writeln!(
            text,
            "  `runs show` says whether a run began; exit code: {}",
            exit(verified)
        );
    }
    text
}

/// A finding on one line.
fn line(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "warning",
    };
    let mut text = format!("{severity:<7}  {}: {}", finding.place, finding.what);
    if let (Some(expected), Some(found)) = (&finding.expected, &finding.found) {
        let _ = write!(text, "; expected {expected}, found {found}");
    }
    if let Some(hint) = &finding.hint {
        let _ = write!(text, "; hint: {hint}");
    }
    text
}
