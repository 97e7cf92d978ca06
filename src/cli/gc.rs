//! `gc`: removes from the state folder what no run will ask for again.

use std::fmt::Write;

use bytesize::ByteSize;

use super::args::GcArgs;
use super::context::Context;
use super::validate::ANY_DATE;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::gc::{self, Amounts, Collected};

pub(super) fn gc(args: &GcArgs, context: &Context) -> Result<ExitCode, Error> {
    let settings = context.settings(&[])?;
    let terminal = context.terminal(&settings)?;
    let job = context.job(&args.file, args.date.unwrap_or(ANY_DATE))?;
    let collected = terminal.around(&settings, |around| gc::collect(&job, args.date, args.dry_run, around))?;
    context.print(&collected, &text(&collected));
    Ok(ExitCode::Success)
}

fn text(collected: &Collected) -> String {
    let Collected {
        job, dates, removed, ..
    } = collected;
    let verb = if collected.dry_run { "would remove" } else { "removed" };
    let mut text = String::new();
    for swept in dates {
        if !swept.removed.is_empty() {
            let _ = writeln!(text, "{job} for {}: {verb} {}", swept.date, amounts(&swept.removed));
        }
        if let Some(why) = &swept.skipped {
            let _ = writeln!(text, "{job} for {}: skipped, {why}", swept.date);
        }
    }
    let _ = writeln!(text, "{job}: {verb} {} in {} dates", amounts(removed), dates.len());
    text
}

fn amounts(removed: &Amounts) -> String {
    if removed.is_empty() {
        return "nothing".to_owned();
    }
    let kinds = removed.iter().map(|(kind, amount)| {
        let objects = if amount.objects == 1 { "object" } else { "objects" };
        format!(
            "{} ({} {objects}, {})",
            kind.name(),
            amount.objects,
            ByteSize(amount.bytes)
        )
    });
    kinds.collect::<Vec<_>>().join(", ")
}
