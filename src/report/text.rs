//! A run report as a few aligned lines.

use std::cmp::Reverse;
use std::fmt::Write;

use bytesize::ByteSize;

use super::{Rows, RunReport};
use crate::batch::{StandIns, StandInsByFeature};

/// Digits of a digest that tell two models apart.
const DIGEST_DIGITS: usize = 12;

/// Writes the report.
pub(super) fn render(report: &RunReport) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<11}{value}");
    };
    let rows = &report.rows;
    line("rows", counts(rows));
    let digest = report.model.sha256.get(..DIGEST_DIGITS).unwrap_or(&report.model.sha256);
    line(
        "model",
        format!(
            "{} version {} (sha256 {digest})",
            report.model.name, report.model.version
        ),
    );
    if !rows.stand_ins.is_empty() {
        line("stand-ins", stand_ins(&rows.stand_ins));
    }
    line(
        "input",
        format!(
            "{} ({} files, {})",
            report.input.path,
            report.input.files,
            ByteSize(report.input.bytes)
        ),
    );
    if !report.input.passed_over.is_empty() {
        line("not read", report.input.passed_over.to_string());
    }
    line(
        "output",
        format!("{} ({})", report.output.path, ByteSize(report.output.bytes)),
    );
    if let Some(rejects) = &report.output.rejects {
        line("rejects", rejects.clone());
    }
    line(
        "line",
        format!(
            "{}{}, {} threads x {} intra-op, {} chunks{}, batches of {}{}",
            report.line.device,
            match (report.line.precision, report.line.deviation) {
                ("float32", _) => String::new(),
                (precision, None) => format!(" in {precision}"),
                (precision, Some(deviation)) =>
                    format!(" in {precision} (up to {deviation:.1e} from float32 on the first batch)"),
            },
            report.line.threads,
            report.line.intra_op_threads,
            report.line.chunks,
            match report.line.resumed_chunks {
                0 => String::new(),
                resumed => format!(" ({resumed} finished before)"),
            },
            match report.line.batch_tokens {
                Some(tokens) => format!("{tokens} tokens"),
                None => format!("{} rows", report.line.batch_rows),
            },
            match report.line.tuning.len() {
                0 => String::new(),
                sizes => format!(" (the best of {sizes} sizes)"),
            },
        ),
    );
    for stage in &report.stages {
        let name = stage.stage.name();
        line(
            if name == "fetch" { "stages" } else { "" },
            format!(
                "{name:<11}{:>9.3} s wall {:>9.3} s cpu",
                stage.wall_seconds, stage.cpu_seconds
            ),
        );
    }
    line(
        "total",
        format!(
            "{:.2} s, {:.2} s cpu, {} rows/s, peak memory {}",
            report.seconds,
            report.cpu_seconds,
            rate(report.rows_per_second),
            ByteSize(report.peak_memory_bytes)
        ),
    );
    format!(
        "published {} for {} (run {})\n{text}",
        report.job, report.date, report.run_id
    )
}

/// Rows by what became of them.
fn counts(rows: &Rows) -> String {
    let mut counts = format!(
        "{} in, {} out, {} rejected",
        grouped(rows.read),
        grouped(rows.written),
        grouped(rows.rejected)
    );
    if !rows.rejected_by_reason.is_empty() {
        let reasons = rows
            .rejected_by_reason
            .iter()
            .map(|(reason, rows)| format!("{reason} {}", grouped(*rows)));
        let _ = write!(counts, " ({})", reasons.collect::<Vec<_>>().join(", "));
    }
    counts
}

/// Features that are named; of a wide model there may be hundreds.
const NAMED_FEATURES: usize = 3;

/// What stood for values, of the features with most of it.
fn stand_ins(all: &StandInsByFeature) -> String {
    let total = |counts: &StandIns| counts.unknown + counts.imputed + counts.precision_loss;
    let mut features: Vec<_> = all.iter().collect();
    features.sort_by_key(|(_, counts)| Reverse(total(counts)));
    let named = features.iter().take(NAMED_FEATURES).map(|(feature, counts)| {
        let counts = [
            ("unknown", counts.unknown),
            ("imputed", counts.imputed),
            ("not held exactly", counts.precision_loss),
        ];
        let counts = counts.iter().filter(|(_, rows)| *rows > 0);
        let counts: Vec<_> = counts
            .map(|(what, rows)| format!("{} {what}", grouped(*rows)))
            .collect();
        format!("{feature} {}", counts.join(" and "))
    });
    let mut text = named.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = features.len().checked_sub(NAMED_FEATURES) {
        let _ = write!(text, ", and {more} more features");
    }
    text
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and digits after the point say nothing"
)]
fn rate(per_second: f64) -> String {
    grouped(per_second.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_come_in_groups_of_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }
}
