//! The text of one log line, in either layout.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
    },
    registry::LookupSpan,
};

use super::{Encoder, TimeEncoding};

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) encoder: Encoder,
    pub(super) time: TimeEncoding,
}

/// One line, in the order in which its parts are written.
#[derive(Serialize)]
struct Line<'a> {
    level: &'static str,
    ts: Value,
    logger: &'a str,
    msg: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for Layout {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        for span in context.event_scope().into_iter().flatten().collect::<Vec<_>>().iter().rev() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            // A span without fields has no text.
            if let Some(Ok(fields)) = fields.map(|text| serde_json::from_str(&text.fields)) {
                parts.fields.extend::<Map<String, Value>>(fields);
            }
        }
        event.record(&mut parts);
        let metadata = event.metadata();
        let line = Line {
            level: level(*metadata.level()),
            ts: self.time.encode(Timestamp::now()),
            logger: metadata.target(),
            msg: parts.message,
            fields: parts.fields,
        };
        match self.encoder {
            Encoder::Json => {
                writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
            }
            Encoder::Console => line.write_console(&mut writer),
        }
    }
}

impl Line<'_> {
    fn write_console(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let time = self.ts.as_str().map_or_else(|| self.ts.to_string(), str::to_owned);
        let level = self.level.to_ascii_uppercase();
        write!(writer, "{time}\t{level}\t{}\t{}", self.logger, self.msg)?;
        if !self.fields.is_empty() {
            let fields = serde_json::to_string(&self.fields).map_err(|_| fmt::Error)?;
            write!(writer, "\t{fields}")?;
        }
        writeln!(writer)
    }
}

impl TimeEncoding {
    fn encode(self, time: Timestamp) -> Value {
        match self {
            Self::Epoch => time.as_duration().as_secs_f64().into(),
            Self::Millis => time.as_duration().as_millis_f64().into(),
            Self::Nanos => i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX).into(),
            Self::Iso8601 | Self::Rfc3339 => format!("{time:.3}").into(),
            Self::Rfc3339nano => format!("{time:.9}").into(),
        }
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::TRACE => "trace",
        Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warn",
        Level::ERROR => "error",
    }
}

/// The message and the fields of an event.
#[derive(Default)]
struct Parts {
    message: String,
    fields: Map<String, Value>,
}

impl Parts {
    fn set(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.fields.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing::{info, info_span};
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Memory {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn written(encoder: Encoder, log: impl FnOnce()) -> String {
        let memory = Memory::default();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(Layout { encoder, time: TimeEncoding::Rfc3339 })
            .with_writer(memory.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    fn two_lines() {
        let outer = info_span!("reconcile", namespace = "default", name = "a").entered();
        let inner = info_span!("group", index = 2).entered();
        info!(target: "lws", ready = true, name = "b", "Group\tcreated");
        drop((inner, outer));
        info!(target: "controller-runtime.metrics", "Serving metrics server");
    }

    #[test]
    fn console_lines_are_separated_by_tabs() {
        let text = written(Encoder::Console, two_lines);
        let mut lines = text.lines();
        let (time, rest) = lines.next().unwrap().split_once('\t').unwrap();
        assert!(time.parse::<Timestamp>().is_ok() && time.len() == 24, "{time}");
        assert_eq!(
            rest,
            "INFO\tlws\tGroup\tcreated\t{\"index\":2,\"name\":\"b\",\"namespace\":\"default\",\"ready\":true}"
        );
        let second = lines.next().unwrap();
        assert!(second.ends_with("Z\tINFO\tcontroller-runtime.metrics\tServing metrics server"));
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn json_lines_are_objects_with_the_known_names() {
        let text = written(Encoder::Json, two_lines);
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut first = lines[0].clone();
        let ts = first.as_object_mut().unwrap().remove("ts").unwrap();
        assert!(ts.as_str().unwrap().parse::<Timestamp>().is_ok());
        assert_eq!(
            first,
            serde_json::json!({
                "level": "info", "logger": "lws", "msg": "Group\tcreated",
                "namespace": "default", "name": "b", "index": 2, "ready": true,
            })
        );
        assert_eq!(lines[1]["msg"], "Serving metrics server");
    }

    #[test]
    fn times_are_encoded_as_asked() {
        let time: Timestamp = "2026-03-04T05:06:07.123456789Z".parse().unwrap();
        for (encoding, expected) in [
            (TimeEncoding::Nanos, serde_json::json!(1_772_600_767_123_456_789_i64)),
            (TimeEncoding::Iso8601, serde_json::json!("2026-03-04T05:06:07.123Z")),
            (TimeEncoding::Rfc3339, serde_json::json!("2026-03-04T05:06:07.123Z")),
            (TimeEncoding::Rfc3339nano, serde_json::json!("2026-03-04T05:06:07.123456789Z")),
        ] {
            assert_eq!(encoding.encode(time), expected, "{encoding:?}");
        }
        let seconds = TimeEncoding::Epoch.encode(time).as_f64().unwrap();
        assert!((seconds - 1_772_600_767.123_456).abs() < 1e-3, "{seconds}");
        let millis = TimeEncoding::Millis.encode(time).as_f64().unwrap();
        assert!((millis - 1_772_600_767_123.456).abs() < 1.0, "{millis}");
    }
}
