//! The webhook under load: a real process with TLS on 127.0.0.1, keep-alive clients, one review after another.

mod client;
pub(crate) mod load;
pub(crate) mod reviews;
pub(crate) mod webhook;

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::Result;

use crate::report::{self, Figure, say};
use reviews::Review;
use webhook::Webhook;

/// How many requests go before those that are measured: caches and buffers have their final size afterwards.
const WARM_UP: usize = 2000;

/// Latency under load, in milliseconds at the 99th percentile.
const P99_TARGET: f64 = 8.0;

/// Resident memory after all requests of a scenario, in MiB.
const MEMORY_TARGET: f64 = 16.0;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Scenarios to run; all when none is given.
    #[arg(value_enum)]
    scenarios: Vec<Review>,
    /// How many requests are measured for each number of connections.
    #[arg(long, default_value = "50000")]
    requests: NonZeroUsize,
    /// Numbers of connections, each of which has one request in flight.
    #[arg(long, value_delimiter = ',', default_values = ["1", "32"])]
    connections: Vec<NonZeroUsize>,
}

/// What was measured with one number of connections.
struct Load {
    connections: usize,
    requests_per_second: f64,
    p50: Duration,
    p99: Duration,
    processor_per_request: Duration,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let scenarios = match arguments.scenarios.as_slice() {
        [] => Review::ALL.as_slice(),
        chosen => chosen,
    };
    say(report::machine(None)?)?;
    let mut all = Vec::new();
    for review in scenarios {
        all.extend(scenario(*review, arguments).await?);
    }
    say(report::verdict(&all))
}

/// Runs one scenario on a process of its own, and tells its figures.
async fn scenario(review: Review, arguments: &Arguments) -> Result<Vec<Figure>> {
    let webhook = Webhook::start().await?;
    let mut loads = Vec::new();
    let [mut request_bytes, mut answer_bytes] = [0; 2];
    for connections in &arguments.connections {
        let connections = connections.get();
        let mut clients = load::Clients::connect(&webhook, connections, review).await?;
        request_bytes = clients.request_bytes();
        answer_bytes = clients.answer_bytes();
        clients.send(WARM_UP).await?;
        let before = webhook.measured().processor_time()?;
        let sent = clients.send(arguments.requests.get()).await?;
        let used = webhook.measured().processor_time()?.saturating_sub(before);
        let count = sent.latencies.count();
        loads.push(Load {
            connections,
            requests_per_second: report::count(count) / sent.took.as_secs_f64(),
            p50: sent.latencies.percentile(50),
            p99: sent.latencies.percentile(99),
            processor_per_request: used.div_f64(report::count(count.max(1))),
        });
    }
    let mut figures: Vec<Figure> =
        loads.iter().flat_map(|load| load_figures(review, load)).collect();
    let memory = webhook.measured().memory()?;
    figures.extend([
        Figure::at_most("resident memory, MiB", memory.resident_mebibytes(), MEMORY_TARGET)
            .existing("56–73"),
        Figure::at_most("peak of it, MiB", memory.peak_mebibytes(), MEMORY_TARGET),
    ]);
    webhook.stop().await?;
    say(format!(
        "### {}\n\nA review of {request_bytes} bytes is answered with {answer_bytes} bytes; {} requests for each number of connections.\n\n{}",
        review.title(),
        arguments.requests,
        report::figures(&figures)
    ))?;
    for figure in &mut figures {
        figure.name = format!("{}: {}", review.title(), figure.name);
    }
    Ok(figures)
}

fn load_figures(review: Review, load: &Load) -> [Figure; 4] {
    let name = |what: &str| match load.connections {
        1 => format!("{what}, 1 connection"),
        connections => format!("{what}, {connections} connections"),
    };
    let microseconds = |duration: Duration| duration.as_secs_f64() * 1e6;
    let p99 = microseconds(load.p99) / 1e3;
    let processor = microseconds(load.processor_per_request);
    [
        Figure::plain(name("requests/s"), load.requests_per_second),
        Figure::plain(name("p50, ms"), microseconds(load.p50) / 1e3),
        Figure::at_most(name("p99, ms"), p99, P99_TARGET).existing(match load.connections {
            32 => "84–208",
            _ => "",
        }),
        match review.processor_target() {
            Some((target, existing)) => {
                Figure::at_most(name("CPU per request, µs"), processor, target).existing(existing)
            }
            None => Figure::plain(name("CPU per request, µs"), processor),
        },
    ]
}
