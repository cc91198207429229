//! The dashboard: rows of panels, and what each asks Prometheus for.

use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Deserialize;

use super::prometheus::{Prometheus, Series};

#[derive(Debug)]
pub(super) struct Dashboard {
    pub(super) rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) title: String,
    pub(super) panels: Vec<Panel>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Panel {
    pub(super) title: String,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) grid_pos: Place,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    field_config: FieldConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Row,
    Stat,
    Table,
    TimeSeries,
}

/// Where a panel is, of 24 columns.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Place {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) w: u32,
    pub(super) h: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    expr: String,
    #[serde(default)]
    legend_format: String,
}

#[derive(Debug, Default, Deserialize)]
struct FieldConfig {
    #[serde(default)]
    defaults: Defaults,
}

#[derive(Debug, Default, Deserialize)]
struct Defaults {
    #[serde(default)]
    unit: String,
    #[serde(default)]
    custom: Custom,
}

#[derive(Debug, Default, Deserialize)]
struct Custom {
    #[serde(default)]
    stacking: Option<serde_json::Value>,
}

/// Something that a panel shows, under its name.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) legend: String,
    pub(super) points: Vec<(f64, f64)>,
}

impl Dashboard {
    pub(super) fn read(file: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Stored {
            panels: Vec<Panel>,
        }
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let Stored { panels } = serde_json::from_str(&text)?;
        let mut rows: Vec<Row> = Vec::new();
        for panel in panels {
            if panel.kind == Kind::Row {
                rows.push(Row { title: panel.title, panels: Vec::new() });
            } else {
                rows.last_mut().context("a panel in no row")?.panels.push(panel);
            }
        }
        Ok(Self { rows })
    }
}

impl Row {
    /// Its name in names of files.
    pub(super) fn slug(&self) -> String {
        self.title.to_lowercase().replace(' ', "-")
    }
}

impl Panel {
    pub(super) fn unit(&self) -> &str {
        &self.field_config.defaults.unit
    }

    pub(super) fn is_stacked(&self) -> bool {
        self.field_config.defaults.custom.stacking.is_some()
    }

    /// What it shows of a run, lines from its begin to its end, the rest at one moment.
    pub(super) async fn ask(
        &self,
        prometheus: &Prometheus,
        run: (Timestamp, Timestamp),
        moment: Timestamp,
    ) -> Result<Vec<Shown>> {
        let mut all = Vec::new();
        for target in &self.targets {
            let expression = of_run(&target.expr);
            let series = match self.kind {
                Kind::TimeSeries => prometheus.range(&expression, run).await?,
                Kind::Row | Kind::Stat | Kind::Table => prometheus.at(&expression, moment).await?,
            };
            all.extend(
                series.into_iter().map(|it| Shown {
                    legend: legend(&target.legend_format, &it),
                    points: it.points,
                }),
            );
        }
        Ok(all)
    }
}

/// The expression for a run that takes minutes, not hours.
fn of_run(expression: &str) -> String {
    expression.replace("$job", ".+").replace("[5m]", "[30s]").replace("[1h]", "[2m]")
}

/// The legend with the labels filled in; without one, all labels.
fn legend(format: &str, series: &Series) -> String {
    if format.is_empty() {
        let labels: Vec<_> = series.labels.iter().map(|(key, it)| format!("{key}={it}")).collect();
        return labels.join("  ");
    }
    let known = |text: String, (label, value): (&String, &String)| {
        text.replace(&format!("{{{{{label}}}}}"), value)
    };
    let text = series.labels.iter().fold(format.to_owned(), known);
    // Labels that this series has not got.
    let rest = text.split("{{").map(|it| it.split_once("}}").map_or(it, |(_, rest)| rest));
    rest.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legends_are_filled_in() {
        let labels = [("pod", "p"), ("state", "ready")];
        let labels = labels.map(|(key, it)| (key.to_owned(), it.to_owned())).into();
        let series = Series { labels, points: Vec::new() };
        for (format, expected) in [
            ("{{state}} of {{pod}}{{instance}}", "ready of p"),
            ("p99", "p99"),
            ("", "pod=p  state=ready"),
        ] {
            assert_eq!(legend(format, &series), expected, "{format}");
        }
        assert_eq!(of_run("rate(a{job=~\"$job\"}[5m])"), "rate(a{job=~\".+\"}[30s])");
    }
}
