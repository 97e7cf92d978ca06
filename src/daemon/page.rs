//! Pages for people: all jobs at a glance, and what was published of one date. Made here as text, without scripts, for any width.

use std::fmt::{self, Write};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::status::{JobStatus, Published, RunStatus, Status};
use crate::exit::ExitCode;
use crate::history::DateHistory;
use crate::schedule::Cause;

const STYLE: &str = include_str!("page.css");

/// Seconds after which a browser asks again.
const REFRESH_SECONDS: u32 = 15;

/// Runs that are shown of a job.
const RUNS: usize = 8;

/// Text as HTML shows it.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// All jobs.
pub(super) fn overview(status: &Status) -> String {
    let mut body = String::new();
    let running = status.jobs.iter().filter(|job| job.running.is_some()).count();
    let waiting: usize = status.jobs.iter().map(|job| job.waiting.len()).sum();
    let failing = status
        .jobs
        .iter()
        .filter(|job| last_exit(job).is_some_and(|code| code != 0))
        .count();
    let tile = |body: &mut String, number: usize, what: &str, kind: &str| {
        let _ = write!(
            body,
            "<div class=\"tile {kind}\"><b>{number}</b><span>{what}</span></div>"
        );
    };
    body.push_str("<section class=\"tiles\">");
    tile(&mut body, status.jobs.len(), "jobs", "");
    tile(&mut body, running, "running", if running > 0 { "busy" } else { "" });
    tile(&mut body, waiting, "dates waiting", "");
    tile(&mut body, failing, "failed last", if failing > 0 { "bad" } else { "" });
    body.push_str("</section>");
    if let Some(refused) = &status.refused {
        let _ = write!(
            body,
            "<section class=\"notice\"><h2>The job files were refused</h2><p>Those from before stay in force.</p><pre>{}</pre></section>",
            Escaped(refused)
        );
    }
    for job in &status.jobs {
        push_job(&mut body, job, status.now);
    }
    let state = match (status.stopping, status.started) {
        (true, _) => "stopping",
        (false, true) => "watching",
        (false, false) => "starting",
    };
    let foot = format!(
        "version {} · zone data {} · since {} · <a href=\"/status\">status as JSON</a> · <a href=\"/metrics\">metrics</a>",
        status.version,
        status.zone_data,
        moment(status.started_at)
    );
    page(
        "batch-infer",
        &format!("{state} · {}", moment(status.now)),
        &body,
        &foot,
        true,
    )
}

fn push_job(body: &mut String, job: &JobStatus, now: DateTime<Utc>) {
    let (kind, state) = match (&job.running, last_exit(job)) {
        _ if job.kept_by.is_some() => ("bad", "kept by another daemon".to_owned()),
        (Some(_), _) => ("busy", "running".to_owned()),
        (None, Some(0)) => ("good", "ok".to_owned()),
        (None, Some(code)) => ("bad", format!("failed, exit code {code}")),
        (None, None) => ("", "idle".to_owned()),
    };
    let _ = write!(
        body,
        "<section class=\"job\"><header><h2>{}</h2><span class=\"chip {kind}\">{state}</span></header><dl>",
        Escaped(&job.name)
    );
    let mut fact = |name: &str, value: String| {
        let _ = write!(body, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    match &job.schedule {
        None => fact("schedule", "none; it is never started".to_owned()),
        Some(schedule) => {
            fact(
                "schedule",
                format!(
                    "<code>{}</code> {}",
                    Escaped(&schedule.cron),
                    Escaped(schedule.timezone)
                ),
            );
            let next = schedule.coming.first().map(|fire| {
                let local = fire.local.replace('T', " ");
                let wait = wait(fire.at - now);
                format!(
                    "<span class=\"keep\">{local}</span> · {wait} · <span class=\"keep\">for {}</span>",
                    fire.date
                )
            });
            fact("next", next.unwrap_or_else(|| "never".to_owned()));
        }
    }
    if let Some(task) = &job.running {
        let since = job
            .running_since
            .map_or_else(String::new, |since| format!(", for {}", span(now - since)));
        fact("running", format!("{}{since}, start {}", task.date, task.attempts));
    }
    if !job.waiting.is_empty() {
        let dates: Vec<_> = job.waiting.iter().map(|task| task.date.to_string()).collect();
        fact("waiting", dates.join(", "));
    }
    if let Some(mark) = job.mark.filter(|mark| *mark > now) {
        fact("seen until", format!("{}: the clock was set back", moment(mark)));
    }
    if let Some(who) = &job.kept_by {
        fact("kept by", format!("{}, until it ends", Escaped(who)));
    }
    if job.dropped > 0 {
        fact("given up", format!("{} fires since the start", job.dropped));
    }
    fact("model", Escaped(&job.model).to_string());
    fact("output", Escaped(&job.output).to_string());
    body.push_str("</dl>");
    push_runs(body, &job.name, &job.runs);
    push_published(body, &job.name, &job.published);
    body.push_str("</section>");
}

fn push_runs(body: &mut String, job: &str, runs: &[RunStatus]) {
    if runs.is_empty() {
        return;
    }
    body.push_str("<h3>Last runs</h3>");
    push_head(body, &["date", "started", "took", "rows out", "rejected", "outcome"]);
    for run in runs.iter().take(RUNS) {
        let not_there = ExitCode::InputNotReady.code();
        let (kind, outcome) = match (run.exit_code, run.cause) {
            (0, _) => ("good", run.outcome.replace('_', " ")),
            // An earlier date that was looked at once more may well have no input.
            (code, Cause::Reconcile) if code == not_there => ("", format!("looked at again: {} ({code})", run.outcome)),
            (code, _) => ("bad", format!("{} ({code})", run.outcome)),
        };
        push_row(
            body,
            &[
                ("date", link(job, run.date)),
                ("started", moment(run.started_at)),
                ("took", seconds(run.seconds)),
                ("rows out", number(run.rows_out)),
                ("rejected", number(run.rows_rejected)),
                (
                    "outcome",
                    format!("<span class=\"{kind}\">{}</span>", Escaped(&outcome)),
                ),
            ],
        );
    }
    body.push_str("</tbody></table>");
}

fn push_published(body: &mut String, job: &str, published: &[Published]) {
    if published.is_empty() {
        return;
    }
    body.push_str("<h3>Published</h3>");
    push_head(body, &["date", "when", "took", "rows", "rejected", "model"]);
    for found in published {
        let current = if found.current { "" } else { " <small>replaced</small>" };
        push_row(
            body,
            &[
                ("date", format!("{}{current}", link(job, found.date))),
                ("when", moment(found.at)),
                ("took", found.seconds.map_or_else(|| "–".to_owned(), seconds)),
                ("rows", number(Some(found.rows_out))),
                ("rejected", number(Some(found.rows_rejected))),
                (
                    "model",
                    format!(
                        "version {}",
                        Escaped(found.model_version.as_deref().unwrap_or("unknown"))
                    ),
                ),
            ],
        );
    }
    body.push_str("</tbody></table>");
}

fn push_head(body: &mut String, names: &[&str]) {
    body.push_str("<table><thead><tr>");
    for name in names {
        let _ = write!(body, "<th>{name}</th>");
    }
    body.push_str("</tr></thead><tbody>");
}

fn push_row(body: &mut String, cells: &[(&str, String)]) {
    body.push_str("<tr>");
    for (name, value) in cells {
        let _ = write!(body, "<td data-name=\"{name}\">{value}</td>");
    }
    body.push_str("</tr>");
}

/// One date: who sees what, and the report of its run.
pub(super) fn date(found: &DateHistory) -> String {
    let mut body = String::from("<section class=\"job\"><dl>");
    let mut fact = |name: &str, value: String| {
        let _ = write!(body, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    let seq = |seq: Option<u64>, none: &str| seq.map_or_else(|| none.to_owned(), |seq| format!("publication {seq}"));
    fact("visible", seq(found.visible, "nothing"));
    if found.pending.is_some() {
        fact("decided, not visible yet", seq(found.pending, ""));
    }
    if let Some(seat) = &found.held_by {
        fact("held by", Escaped(&seat.who).to_string());
    }
    for plan in &found.unfinished {
        let of = plan.chunks.map_or_else(|| "?".to_owned(), |chunks| chunks.to_string());
        fact("unfinished", format!("{} of {of} chunks", plan.done));
    }
    body.push_str("</dl>");
    match &found.record {
        None => body.push_str("<p>No run of this date has published.</p>"),
        Some(record) => {
            let report = serde_json::to_string_pretty(&record.report).unwrap_or_default();
            let commit = serde_json::to_string_pretty(&record.commit).unwrap_or_default();
            let _ = write!(
                body,
                "<h3>Report of publication {}, {} by {}</h3><pre>{}</pre><details><summary>Its record</summary><pre>{}</pre></details>",
                record.commit.n,
                moment(record.at),
                Escaped(&record.holder),
                Escaped(&report),
                Escaped(&commit)
            );
        }
    }
    body.push_str("</section>");
    page(&format!("{} · {}", found.job, found.date), BACK, &body, "", false)
}

/// A date that cannot be shown.
pub(super) fn failure(job: &str, date: NaiveDate, why: &str) -> String {
    let body = format!(
        "<section class=\"notice\"><h2>Not to be had</h2><pre>{}</pre></section>",
        Escaped(why)
    );
    page(&format!("{job} · {date}"), BACK, &body, "", false)
}

const BACK: &str = "<a href=\"/\">all jobs</a>";

fn page(title: &str, under: &str, body: &str, foot: &str, refresh: bool) -> String {
    let refresh = if refresh {
        format!("<meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">")
    } else {
        String::new()
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         {refresh}<style>{STYLE}</style></head><body><header class=\"top\"><h1>{title}</h1><p>{under}</p></header>\
         <main>{body}</main><footer>{foot}</footer></body></html>\n",
        title = Escaped(title)
    )
}

fn last_exit(job: &JobStatus) -> Option<u8> {
    job.runs.first().map(|run| run.exit_code)
}

fn link(job: &str, date: NaiveDate) -> String {
    format!("<a href=\"/jobs/{}/{date}\">{date}</a>", Escaped(job))
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "–".to_owned(), |number| number.to_string())
}

fn seconds(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let time = Duration::try_from_secs_f64(seconds).ok();
    let time = time.and_then(|time| TimeDelta::from_std(time).ok());
    span(time.unwrap_or(TimeDelta::MAX))
}

fn wait(time: TimeDelta) -> String {
    if time <= TimeDelta::zero() {
        "now".to_owned()
    } else {
        format!("in {}", span(time))
    }
}

/// A time in its two greatest units.
fn span(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::{Cause, Escaped, RunStatus, push_runs, seconds, span, wait};

    fn run(exit_code: u8, cause: Cause, outcome: &str) -> String {
        let run = RunStatus {
            date: "2026-11-19".parse().unwrap(),
            scheduled: DateTime::UNIX_EPOCH,
            cause,
            attempt: 1,
            started_at: DateTime::UNIX_EPOCH,
            seconds: 1.0,
            exit_code,
            outcome: outcome.to_owned(),
            rows_in: None,
            rows_out: None,
            rows_rejected: None,
        };
        let mut body = String::new();
        push_runs(&mut body, "job", &[run]);
        body
    }

    #[test]
    fn what_a_run_said_is_shown_as_it_said_it() {
        let missing = "no files at `sample_data/date=2026-11-19`";
        assert!(run(0, Cause::Fire, "already_published").contains("<span class=\"good\">already published</span>"));
        assert!(run(14, Cause::Fire, missing).contains(&format!("<span class=\"bad\">{missing} (14)</span>")));
        assert!(
            run(14, Cause::Reconcile, missing).contains(&format!("<span class=\"\">looked at again: {missing} (14)"))
        );
        assert!(run(11, Cause::Reconcile, "no model").contains("<span class=\"bad\">no model (11)</span>"));
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        assert_eq!(
            Escaped("<script>\"a\" & 'b'</script>").to_string(),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;"
        );
    }

    #[test]
    fn times_are_said_in_two_units() {
        for (time, text) in [(5, "5 s"), (65, "1 min 5 s"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(span(TimeDelta::seconds(time)), text);
        }
        assert_eq!(wait(TimeDelta::seconds(-1)), "now");
        assert_eq!((seconds(1.25).as_str(), seconds(61.0).as_str()), ("1.2 s", "1 min 1 s"));
    }
}
