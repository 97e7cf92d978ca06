//! Metrics of runs, in the text form that Prometheus, its Pushgateway and the node exporter read.
//!
//! Gauges of the last run, as batch jobs have them: time of the last success first, seconds and bytes, few labels and never the run. Nothing
//! is sent or served here.

mod daemon;

use prometheus::core::Collector;
use prometheus::{Encoder, GaugeVec, Opts, Registry, TextEncoder};
use serde_json::Value;

pub use daemon::{JobFacts, of_daemon};

use crate::ending::{Ended, Ending};
use crate::infer::TORCH_VERSION;

/// Labels of every metric of a run. Not `job`: that name is taken by whoever scrapes.
const LABELS: [&str; 2] = ["job_name", "model"];

/// The metrics of a run as text.
pub fn of_ending(ended: &Ended, ending: &Ending) -> String {
    let mut gauges = Gauges::new();
    let job = ending.job.as_deref().unwrap_or_default();
    let model = ending.model.as_deref().unwrap_or_default();
    gauges.add_run(job, model, ended, ending.seconds, &ending.printed);
    gauges.text()
}

/// Gauges of runs, by job and model.
struct Gauges {
    registry: Registry,
    last_success: GaugeVec,
    last_run: GaugeVec,
    last_exit: GaugeVec,
    duration: GaugeVec,
    stages: GaugeVec,
    rows: GaugeVec,
    stand_ins: GaugeVec,
    input_bytes: GaugeVec,
    output_bytes: GaugeVec,
    model: GaugeVec,
}

impl Gauges {
    fn new() -> Self {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let labels: Vec<_> = LABELS.iter().chain(labels).copied().collect();
            let gauge = GaugeVec::new(Opts::new(name, help), &labels).expect("a name and labels of the right form");
            register(&registry, gauge)
        };
        Self {
            last_success: gauge(
                "batch_infer_last_success_timestamp_seconds",
                "When a run of the job last succeeded.",
                &[],
            ),
            last_run: gauge(
                "batch_infer_last_run_timestamp_seconds",
                "When the last run of the job ended.",
                &[],
            ),
            last_exit: gauge("batch_infer_last_exit_code", "How the last run of the job ended.", &[]),
            duration: gauge("batch_infer_run_duration_seconds", "What the last run took.", &[]),
            stages: gauge(
                "batch_infer_stage_duration_seconds",
                "What each stage of the last run took, summed over threads.",
                &["stage"],
            ),
            rows: gauge(
                "batch_infer_rows",
                "Rows of the last run by what became of them.",
                &["result"],
            ),
            stand_ins: gauge(
                "batch_infer_stand_in_rows",
                "Rows of the last run in which the model got something else for a feature than the input has.",
                &["feature", "kind"],
            ),
            input_bytes: gauge("batch_infer_input_bytes", "Bytes of the input of the last run.", &[]),
            output_bytes: gauge("batch_infer_output_bytes", "Bytes that the last run published.", &[]),
            model: gauge(
                "batch_infer_model_info",
                "The model that scored the last run; always 1.",
                &["version", "sha256", "torch"],
            ),
            registry,
        }
    }

    /// Adds what is known of the last run. What it did not come to do is left out.
    fn add_run(&mut self, job: &str, model: &str, ended: &Ended, seconds: f64, report: &Value) {
        let of = [job, model];
        let with = |further: &[&'_ str]| of.iter().chain(further).map(ToString::to_string).collect::<Vec<_>>();
        if let Some(at) = ended.success_at {
            self.last_success.with_label_values(&of).set(timestamp(at));
        }
        self.last_run.with_label_values(&of).set(timestamp(ended.at));
        self.last_exit.with_label_values(&of).set(ended.exit_code.into());
        self.duration.with_label_values(&of).set(seconds);
        for stage in report["stages"].as_array().into_iter().flatten() {
            if let (Some(name), Some(seconds)) = (stage["stage"].as_str(), stage["wall_seconds"].as_f64()) {
                self.stages.with_label_values(&with(&[name])).set(seconds);
            }
        }
        for (result, key) in [("read", "in"), ("scored", "out"), ("rejected", "rejected")] {
            if let Some(rows) = report["rows"][key].as_f64() {
                self.rows.with_label_values(&with(&[result])).set(rows);
            }
        }
        for (feature, counts) in report["rows"]["stand_ins"].as_object().into_iter().flatten() {
            for kind in ["unknown", "imputed", "precision_loss"] {
                if let Some(rows) = counts[kind].as_f64().filter(|rows| *rows > 0.0) {
                    self.stand_ins
                        .with_label_values(&with(&[feature.as_str(), kind]))
                        .set(rows);
                }
            }
        }
        for (gauge, table) in [(&self.input_bytes, "input"), (&self.output_bytes, "output")] {
            if let Some(bytes) = report[table]["bytes"].as_f64() {
                gauge.with_label_values(&of).set(bytes);
            }
        }
        let scored = &report["model"];
        if let (Some(version), Some(sha256)) = (scored["version"].as_str(), scored["sha256"].as_str()) {
            self.model
                .with_label_values(&with(&[version, sha256, TORCH_VERSION]))
                .set(1.0);
        }
    }

    fn text(&self) -> String {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.expect("metrics become text");
        String::from_utf8(text).expect("metrics become text")
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    registry
        .register(Box::new(metric.clone()))
        .expect("each name is registered once");
    metric
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of this age have fewer digits than a float"
)]
fn timestamp(at: chrono::DateTime<chrono::Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1_000.0
}
