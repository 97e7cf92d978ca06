//! `model`: looks into a registry.

use std::fmt::Write;

use serde_json::json;

use super::args::{ModelArgs, ModelCommand, VerifyArgs, VersionArgs};
use super::context::{Context, device_flag};
use crate::contract::{Contract, Feature, Verdict};
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::golden;
use crate::preprocess::Preprocessor;
use crate::registry::{ModelArtifact, Registry};
use crate::run::{self, Loaded};
use crate::settings::DeviceRequest;
use crate::storage::Place;
use crate::validate::Location;

pub(super) fn model(args: &ModelArgs, context: &Context) -> Result<ExitCode, Error> {
    match &args.command {
        ModelCommand::List { registry } => list(registry, context),
        ModelCommand::Show(args) => show(args, context),
        ModelCommand::Verify(args) => verify(args, context),
    }
}

fn registry(path: &str, context: &Context) -> Result<Registry, Error> {
    let settings = context.settings(&[])?;
    let location = Location::parse("registry", path).map_err(|problem| RegistryPath {
        path: path.to_owned(),
        reason: problem.to_string(),
    })?;
    Ok(Registry::new(Place::open(&location, &settings.storage)?))
}

fn list(path: &str, context: &Context) -> Result<ExitCode, Error> {
    let models = context.runtime()?.block_on(registry(path, context)?.list())?;
    let mut text = String::new();
    for model in &models {
        let versions = model.versions.iter().map(|version| {
            let aliases = model.aliases.iter().filter(|(_, stands_for)| *stands_for == version);
            let aliases: Vec<_> = aliases.map(|(alias, _)| alias.as_str()).collect();
            if aliases.is_empty() {
                version.clone()
            } else {
                format!("{version} ({})", aliases.join(", "))
            }
        });
        let _ = writeln!(text, "{:<24} {}", model.name, versions.collect::<Vec<_>>().join(", "));
    }
    if models.is_empty() {
        let _ = writeln!(text, "no models at {path}");
    }
    context.print(&models, &text);
    Ok(ExitCode::Success)
}

fn artifact(args: &VersionArgs, context: &Context) -> Result<ModelArtifact, Error> {
    let registry = registry(&args.registry, context)?;
    context.runtime()?.block_on(async {
        let version = registry.resolve(&args.name, &args.version).await?;
        Ok(registry.load(&args.name, &version).await?)
    })
}

fn show(args: &VersionArgs, context: &Context) -> Result<ExitCode, Error> {
    let artifact = artifact(args, context)?;
    let contract = &artifact.contract;
    let facts = json!({
        "name": contract.name,
        "version": contract.version,
        "sha256": contract.sha256,
        "torch_version": contract.torch_version,
        "created_at": contract.created_at,
        "metrics": contract.metrics,
        "bytes": artifact.model.len(),
        "path": artifact.place.location().to_string(),
        "features": contract.features.iter().map(Feature::name).collect::<Vec<_>>(),
        "inputs": contract.inputs.iter().map(|input| &input.name).collect::<Vec<_>>(),
        "outputs": contract.outputs.iter().map(|output| &output.column).collect::<Vec<_>>(),
    });
    context.print(&facts, &described(&artifact));
    Ok(ExitCode::Success)
}

fn described(artifact: &ModelArtifact) -> String {
    let contract = &artifact.contract;
    let mut text = format!("{} version {}\n", contract.name, contract.version);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<11}{value}");
    };
    line("path", artifact.place.location().to_string());
    line("sha256", contract.sha256.clone());
    line(
        "torch",
        contract
            .torch_version
            .clone()
            .unwrap_or_else(|| "not stated".to_owned()),
    );
    for (name, value) in &contract.metrics {
        line("metric", format!("{name} = {value}"));
    }
    for derived in &contract.derived {
        line("derived", format!("{} = {}", derived.name, derived.sql));
    }
    for feature in &contract.features {
        line("feature", format!("{} ({})", feature.name(), kind(feature)));
    }
    for input in &contract.inputs {
        line("input", format!("{} {} {:?}", input.name, input.dtype, input.shape));
    }
    for output in &contract.outputs {
        line(
            "output",
            format!("{} {} {:?}", output.column, output.dtype, output.shape),
        );
    }
    line("decision", decision(contract));
    text
}

fn kind(feature: &Feature) -> &'static str {
    match feature {
        Feature::Numeric(_) => "numeric",
        Feature::Categorical(_) => "categorical",
        Feature::Text(_) => "text",
        Feature::Vector(_) => "vector",
        Feature::Raw(_) => "raw",
    }
}

fn decision(contract: &Contract) -> String {
    let Some(decision) = &contract.decision else {
        return "none".to_owned();
    };
    match decision.verdict() {
        Some(Verdict::Threshold(threshold)) => format!("{} = {} >= {threshold}", decision.column, decision.source),
        Some(Verdict::Labels(labels)) => format!(
            "{} = greatest of {} among {}",
            decision.column,
            decision.source,
            labels.join(", ")
        ),
        None => "none".to_owned(),
    }
}

fn verify(args: &VerifyArgs, context: &Context) -> Result<ExitCode, Error> {
    let mut settings = context.settings(&device_flag(args.device.as_deref()))?;
    if args.device.is_none() {
        settings.device.kind = DeviceRequest::Cpu;
    }
    let artifact = artifact(&args.version, context)?;
    let device = run::device(&settings)?;
    let terminal = context.terminal(&settings)?;
    let compared = terminal.around(&settings, |around| {
        let Loaded { model, watch, .. } = run::load(&artifact, device, around)?;
        let preprocessor = Preprocessor::new(&artifact)?;
        let Some(bytes) = around.wait(artifact.place.join("golden.parquet").read())? else {
            return Ok(None);
        };
        let compared = around.attend(&watch, move || golden::compare(model.as_ref(), &preprocessor, bytes))?;
        compared.map(Some)
    })?;
    let facts = json!({
        "name": artifact.contract.name,
        "version": artifact.contract.version,
        "digest": "ok",
        "probe": "ok",
        "device": device.to_string(),
        "golden": compared,
    });
    let mut text = format!(
        "{} version {} on {device}\n  digest     ok\n  probe      ok\n",
        artifact.contract.name, artifact.contract.version
    );
    let _ = match &compared {
        Some(compared) => writeln!(
            text,
            "  golden     ok, {} rows, largest difference {:.1e}",
            compared.rows, compared.largest_difference
        ),
        None => writeln!(text, "  golden     no golden.parquet beside the model"),
    };
    context.print(&facts, &text);
    Ok(ExitCode::Success)
}

/// A registry that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("the registry `{path}` {reason}")]
struct RegistryPath {
    path: String,
    reason: String,
}

impl Seam for RegistryPath {
    fn exit(&self) -> ExitCode {
        ExitCode::Usage
    }
}
