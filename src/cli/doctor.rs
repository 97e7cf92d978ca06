//! `doctor`: checks this machine, and a job on it, and says what each finding means.

use std::fmt::Write;

use bytesize::ByteSize;
use chrono::NaiveDate;
use serde::Serialize;

use super::args::{DoctorArgs, JobFile};
use super::context::{Context, Terminal, device_flag};
use crate::error::Error;
use crate::exit::ExitCode;
use crate::infer::device::{libtorch_folder, resolve};
use crate::infer::{TORCH_VERSION, runtime_versions};
use crate::machine::Machine;
use crate::run;
use crate::settings::{DeviceRequest, Settings};
use crate::storage::Place;

/// One finding.
#[derive(Debug, Serialize)]
struct Finding {
    subject: String,
    state: State,
    found: String,
    #[serde(skip)]
    exit: ExitCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Note,
    Fail,
}

pub(super) fn doctor(args: &DoctorArgs, context: &Context) -> Result<ExitCode, Error> {
    let settings = context.settings(&device_flag(args.device.as_deref()))?;
    let terminal = context.terminal(&settings)?;
    let mut findings = machine(&Machine::here());
    findings.extend(libtorch());
    findings.push(device(&settings));
    findings.push(spool(&settings));
    if let Some(path) = &args.job {
        let file = JobFile {
            job: path.clone(),
            set: Vec::new(),
        };
        findings.extend(job(&file, args.date, &settings, context, &terminal));
    }
    context.print(&findings, &text(&findings));
    let failed = findings.iter().find(|finding| finding.state == State::Fail);
    Ok(failed.map_or(ExitCode::Success, |finding| finding.exit))
}

fn machine(machine: &Machine) -> Vec<Finding> {
    let cpu = machine.cpu();
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), |bytes| ByteSize(bytes).to_string());
    vec![
        ok("program", format!("batch-infer {}", env!("CARGO_PKG_VERSION"))),
        ok(
            "cores",
            format!(
                "{} usable, {}",
                machine.cores(),
                cpu.model.unwrap_or_else(|| "unknown model".to_owned())
            ),
        ),
        ok(
            "memory",
            format!(
                "limit {}, available {}",
                size(machine.memory_limit()),
                size(machine.memory_available())
            ),
        ),
    ]
}

fn libtorch() -> Vec<Finding> {
    let folder = libtorch_folder().map_or_else(|| "unknown folder".to_owned(), |folder| folder.display().to_string());
    let versions = runtime_versions()
        .into_iter()
        .map(|(name, value)| format!("{name} {value}"));
    vec![
        ok("libtorch", format!("{TORCH_VERSION} in {folder}")),
        ok("torch", versions.collect::<Vec<_>>().join(", ")),
    ]
}

/// With `auto` a machine without CUDA is in order; with `cuda` it is not.
fn device(settings: &Settings) -> Finding {
    match resolve(settings.device.kind) {
        Ok(device) if settings.device.kind == DeviceRequest::Auto => {
            let why = resolve(DeviceRequest::Cuda(0)).err().map(|error| format!(" ({error})"));
            note("device", format!("auto uses {device}{}", why.unwrap_or_default()))
        }
        Ok(device) => ok("device", device.to_string()),
        Err(error) => failed("device", &error.into()),
    }
}

fn spool(settings: &Settings) -> Finding {
    let folder = settings.spool.path.clone().unwrap_or_else(std::env::temp_dir);
    match tempfile::NamedTempFile::new_in(&folder) {
        Ok(_) => ok("spool", format!("{} can be written", folder.display())),
        Err(error) => Finding {
            subject: "spool".to_owned(),
            state: State::Fail,
            found: format!("{} cannot be written: {error}", folder.display()),
            exit: ExitCode::Disk,
        },
    }
}

fn job(
    file: &JobFile,
    date: Option<NaiveDate>,
    settings: &Settings,
    context: &Context,
    terminal: &Terminal<'_>,
) -> Vec<Finding> {
    let shown = date.unwrap_or_default();
    let job = match context.job(file, shown) {
        Ok(job) => job,
        Err(error) => return vec![failed("job", &error)],
    };
    let mut findings = vec![ok("job", format!("{} is valid", file.job.display()))];
    let model = terminal.around(settings, |around| {
        let artifact = run::artifact(&job, around)?;
        run::load(&artifact, run::device(settings)?, around)?;
        Ok(artifact)
    });
    findings.push(match model {
        Ok(artifact) => ok(
            "model",
            format!(
                "{} version {} loads and runs",
                artifact.contract.name, artifact.contract.version
            ),
        ),
        Err(error) => failed("model", &error),
    });
    if let Some(date) = date {
        let ready = terminal.around(settings, |around| run::ready(&job, around));
        findings.push(match ready {
            Ok(ready) => ok("input", format!("{} rows for {date} fit the contract", ready.plan.rows)),
            Err(error) => failed("input", &error),
        });
    }
    for (subject, location) in [("output", &job.output), ("state", &job.state)] {
        let reached = Place::open(location, &settings.storage).map_err(Error::from);
        let listed = reached.and_then(|place| Ok(context.runtime()?.block_on(place.folders())?));
        findings.push(match listed {
            Ok(folders) => ok(subject, format!("{location} can be reached, {} folders", folders.len())),
            Err(error) => failed(subject, &error),
        });
    }
    findings
}

fn ok(subject: &str, found: String) -> Finding {
    finding(subject, State::Ok, found)
}

fn note(subject: &str, found: String) -> Finding {
    finding(subject, State::Note, found)
}

fn finding(subject: &str, state: State, found: String) -> Finding {
    Finding {
        subject: subject.to_owned(),
        state,
        found,
        exit: ExitCode::Success,
    }
}

fn failed(subject: &str, error: &Error) -> Finding {
    Finding {
        subject: subject.to_owned(),
        state: State::Fail,
        found: error.to_string(),
        exit: error.exit(),
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let state = match finding.state {
            State::Ok => "ok  ",
            State::Note => "note",
            State::Fail => "FAIL",
        };
        let _ = writeln!(
            text,
            "{state}  {:<9} {}",
            finding.subject,
            finding.found.replace('\n', "\n                ")
        );
    }
    text
}
