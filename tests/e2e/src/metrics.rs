//! What a process measures, as a scraper sees it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use http::Request;
use kube::{Client, Config};
use lws_harness::system::{Component, System};

/// The series of a process, each with its value: `name{label="value"}`.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The type of each metric.
    types: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

/// A client for the process whose metrics are at this URL, such as `http://127.0.0.1:8080/metrics`.
pub fn client(metrics_url: &str) -> Result<Client> {
    let server = metrics_url.strip_suffix("/metrics").context("another path")?.parse()?;
    Ok(Client::try_from(Config::new(server))?)
}

impl Scrape {
    /// What `component` measures now.
    pub async fn of(component: &Component) -> Result<Self> {
        Self::through(&client(&component.metrics_url())?).await
    }

    /// What the process measures now that a [`client`] asks.
    pub async fn through(client: &Client) -> Result<Self> {
        let request = Request::get("/metrics").body(Vec::new())?;
        Self::parse(&client.request_text(request).await?)
    }

    /// What the first controller of `system` measures now.
    pub async fn of_controller(system: &mut System) -> Result<Self> {
        Self::of(system.controllers().first().context("no controller runs")?).await
    }

    /// What the text says.
    pub fn parse(text: &str) -> Result<Self> {
        let (mut types, mut series) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                let (name, kind) = declared.split_once(' ').context("no type")?;
                types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').context("no value")?;
                series.insert(name.to_owned(), value.parse()?);
            }
        }
        Ok(Self { types, series })
    }

    /// The value of one series; `None` when there is none.
    #[must_use]
    pub fn value(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    /// The series whose text begins so.
    pub fn starting_with<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.series
            .iter()
            .map(|(it, value)| (&**it, *value))
            .filter(move |(it, _)| it.starts_with(text))
    }

    /// The values of these series, added up.
    #[must_use]
    pub fn sum(&self, text: &str) -> f64 {
        self.starting_with(text).map(|(_, value)| value).sum()
    }

    /// Every metric with its type and the names of its labels.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let described = |(name, kind): (&String, &String)| {
            let of_name = |series: &&String| {
                let family = series.split('{').next().unwrap_or_default();
                let parts = ["", "_bucket", "_sum", "_count"];
                let parts = if kind == "histogram" { &parts[1..] } else { &parts[..1] };
                parts.iter().any(|part| family == format!("{name}{part}"))
            };
            let series = self.series.keys().filter(of_name);
            let labels = series.flat_map(|it| labels(it)).filter(|label| label != "le");
            (name.clone(), (kind.clone(), labels.collect()))
        };
        self.types.iter().map(described).collect()
    }
}

/// The names of the labels of a series. Values with quotes in them are not expected.
fn labels(series: &str) -> Vec<String> {
    let Some((_, labels)) = series.split_once('{') else { return Vec::new() };
    let names = labels.split("=\"").filter_map(|it| it.rsplit(['"', ',']).next());
    names.filter(|it| !it.is_empty() && *it != "}").map(str::to_owned).collect()
}
