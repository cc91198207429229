//! Prometheus: the process, and questions to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Request;
use jiff::Timestamp;
use kube::{Client, Config};
use lws_harness::free_ports;
use lws_harness::processes::{Process, ProcessSpec};
use serde_json::{Value, json};

/// How long it may take to be ready.
const DEADLINE: Duration = Duration::from_mins(1);

/// Seconds between two points of a line.
const STEP: u64 = 2;

pub(super) struct Prometheus {
    client: Client,
    _process: Process,
}

/// A line, or a cell of a table: its labels and its values in the course of time.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    pub(super) labels: BTreeMap<String, String>,
    /// Seconds since 1970, and the value.
    pub(super) points: Vec<(f64, f64)>,
}

impl Prometheus {
    /// Starts the program in `programs`, which scrapes `targets` every second.
    pub(super) async fn start(
        programs: &Path,
        directory: &Path,
        targets: &[(&str, String)],
    ) -> Result<Self> {
        let [port] = free_ports()?;
        let scraped = |(pod, url): &(&str, String)| -> Result<Value> {
            let address = url.strip_prefix("http://").and_then(|it| it.strip_suffix("/metrics"));
            Ok(json!({"targets": [address.context("another address")?], "labels": {"pod": pod}}))
        };
        let configuration = json!({
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{
                "job_name": "lws",
                "honor_labels": true,
                "static_configs": targets.iter().map(scraped).collect::<Result<Vec<_>>>()?,
            }],
        });
        let file = directory.join("prometheus.yaml");
        std::fs::write(&file, configuration.to_string())?;
        let spec = ProcessSpec::new("prometheus", &programs.join("prometheus")).args([
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", directory.join("prometheus").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--log.level=warn".to_owned(),
        ]);
        let process = Process::start(&spec, directory).await?;
        let url = format!("http://127.0.0.1:{port}");
        process.wait_until_ready(&format!("{url}/-/ready"), DEADLINE).await?;
        Ok(Self { client: Client::try_from(Config::new(url.parse()?))?, _process: process })
    }

    /// The values of an expression from one moment to another.
    pub(super) async fn range(
        &self,
        expression: &str,
        (begin, end): (Timestamp, Timestamp),
    ) -> Result<Vec<Series>> {
        let (begin, end) = (begin.as_second(), end.as_second());
        let query = format!("query_range?start={begin}&end={end}&step={STEP}");
        self.ask(&query, expression, "values").await
    }

    /// The values of an expression at one moment.
    pub(super) async fn at(&self, expression: &str, moment: Timestamp) -> Result<Vec<Series>> {
        self.ask(&format!("query?time={}", moment.as_second()), expression, "value").await
    }

    async fn ask(&self, query: &str, expression: &str, field: &str) -> Result<Vec<Series>> {
        let encoded: Vec<_> = expression.bytes().map(|it| format!("%{it:02X}")).collect();
        let encoded = encoded.concat();
        let request = Request::get(format!("/api/v1/{query}&query={encoded}")).body(Vec::new())?;
        let answer: Value =
            self.client.request(request).await.with_context(|| expression.to_owned())?;
        ensure!(answer.get("status") == Some(&json!("success")), "{expression}: {answer}");
        let result = answer.pointer("/data/result").and_then(Value::as_array);
        result.context("no result")?.iter().map(|it| series(it, field)).collect()
    }
}

fn series(answer: &Value, field: &str) -> Result<Series> {
    let labels = answer.get("metric").cloned().unwrap_or_default();
    let values = answer.get(field).cloned().unwrap_or_default();
    let values = if field == "value" { json!([values]) } else { values };
    let values: Vec<(f64, String)> = serde_json::from_value(values)?;
    let mut points = Vec::new();
    for (time, value) in values {
        let value: f64 = value.parse()?;
        if value.is_finite() {
            points.push((time, value));
        }
    }
    Ok(Series { labels: serde_json::from_value(labels)?, points })
}
