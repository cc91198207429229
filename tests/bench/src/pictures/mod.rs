//! The dashboard as Grafana would show it: the system runs on a control plane of its own, Prometheus scrapes it while sets
//! are made, updated and hindered, and what its panels ask Prometheus for is drawn.
//!
//! | module | owns |
//! |---|---|
//! | `scene` | what happens |
//! | `prometheus` | the process, and questions to it |
//! | `dashboard` | rows, panels and what they ask for |
//! | `draw` | a row as a picture |

mod dashboard;
mod draw;
mod prometheus;
mod scene;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use lws_harness::system::{System, SystemOptions};
use lws_harness::{Cluster, ClusterOptions};

use crate::report::say;
use dashboard::Dashboard;
use prometheus::Prometheus;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The dashboard.
    #[arg(long, default_value = "deploy/components/dashboard/lws.json")]
    dashboard: PathBuf,
    /// Directory of the program `prometheus`.
    #[arg(long)]
    prometheus: PathBuf,
    /// Where the pictures are written to.
    #[arg(long, default_value = "docs/images")]
    into: PathBuf,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let dashboard = Dashboard::read(&arguments.dashboard)?;
    let cluster = Cluster::start(ClusterOptions {
        nodes: 12,
        ready_delay: Duration::from_secs(3),
        ..ClusterOptions::default()
    })
    .await?;
    let mut system = System::install(&cluster, &SystemOptions::default()).await?;
    let controller = system.controllers().first().context("no controller runs")?.metrics_url();
    let targets =
        [("lws-controller", controller), ("lws-webhook", system.webhook()?.metrics_url())];
    let prometheus = Prometheus::start(&arguments.prometheus, cluster.dir(), &targets).await?;
    let begin = Timestamp::now();
    let moment = scene::play(&cluster).await?;
    let end = Timestamp::now();

    std::fs::create_dir_all(&arguments.into)?;
    for row in &dashboard.rows {
        let mut drawn = Vec::new();
        for panel in &row.panels {
            let answers = panel.ask(&prometheus, (begin, end), moment).await?;
            let is_empty = answers.iter().all(|it| it.points.is_empty());
            if is_empty {
                say(format!("{}: nothing to show", panel.title))?;
            }
            drawn.push((panel, answers));
        }
        let file = arguments.into.join(format!("dashboard-{}.svg", row.slug()));
        let run = (begin.as_duration().as_secs_f64(), end.as_duration().as_secs_f64());
        draw::row(&file, row, &drawn, run)?;
        say(format!("{}", file.display()))?;
    }
    drop(system);
    Ok(cluster.stop().await?)
}
