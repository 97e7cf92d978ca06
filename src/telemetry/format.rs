//! The form of a log line, for people and for machines.
//!
//! Both forms are those of `tracing-subscriber` with a small change each. They take the time from a [`Clock`] and know no
//! field by name except the first three of a JSON line.

use std::fmt;
use std::sync::Arc;

use chrono::SecondsFormat;
use serde::Serializer as _;
use serde::ser::SerializeMap;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Compact, Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;

/// Fields that open a JSON line, so that a person who reads one finds them.
const FIRST: [&str; 3] = ["timestamp", "level", "message"];

/// Wall time in UTC, RFC 3339.
struct Time {
    clock: Arc<dyn Clock>,
    precision: SecondsFormat,
}

impl FormatTime for Time {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&self.clock.now().to_rfc3339_opts(self.precision, true))
    }
}

/// One line of text: time, level, message, fields, fields of the spans. Other people's code is named before the message.
pub(super) struct TextLine {
    ours: Format<Compact, Time>,
    foreign: Format<Compact, Time>,
}

impl TextLine {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        let form = |with_target| {
            let time = Time {
                clock: Arc::clone(clock),
                precision: SecondsFormat::Secs,
            };
            Format::default().compact().with_timer(time).with_target(with_target)
        };
        Self {
            ours: form(false),
            foreign: form(true),
        }
    }
}

impl<S, N> FormatEvent<S, N> for TextLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let target = event.metadata().target();
        let name = target.split("::").next();
        let form = if name == Some(env!("CARGO_CRATE_NAME")) {
            &self.ours
        } else {
            &self.foreign
        };
        form.format_event(context, writer, event)
    }
}

/// One flat JSON object: time, level, message, then the fields of the event and of its spans. Where two have one name, the
/// event wins over its spans and an inner span over an outer one.
pub(super) struct JsonLine {
    event: Format<Json, Time>,
}

impl JsonLine {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        let time = Time {
            clock: Arc::clone(clock),
            precision: SecondsFormat::Millis,
        };
        let event = Format::default().json().with_timer(time).flatten_event(true);
        Self {
            event: event.with_current_span(false).with_span_list(false),
        }
    }
}

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut own = String::new();
        self.event.format_event(context, Writer::new(&mut own), event)?;
        let mut fields: Map<String, Value> = serde_json::from_str(&own).map_err(|_| fmt::Error)?;
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let Some(of_span) = extensions.get::<FormattedFields<JsonFields>>() else {
                continue;
            };
            let of_span: Map<String, Value> = serde_json::from_str(of_span).unwrap_or_default();
            for (name, value) in of_span {
                fields.entry(name).or_insert(value);
            }
        }
        writeln!(writer, "{}", in_order(fields).map_err(|_| fmt::Error)?)
    }
}

fn in_order(mut fields: Map<String, Value>) -> serde_json::Result<String> {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut map = serializer.serialize_map(None)?;
    for name in FIRST {
        if let Some(value) = fields.remove(name) {
            map.serialize_entry(name, &value)?;
        }
    }
    for (name, value) in &fields {
        map.serialize_entry(name, value)?;
    }
    map.end()?;
    Ok(String::from_utf8(line).expect("a JSON serializer writes UTF-8"))
}
