//! The dashboard and the alerts in `deploy/` ask for metrics that there are, by labels that these have, and every alert
//! says what to do.
//!
//! What there is stands in a generated page, which other tests hold against what both processes export.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use lws_documentation::{cells, messages};
use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};
use serde_json::Value;

const REFERENCE: &str = include_str!("../../../docs/metrics-reference.md");
/// Where the values of labels are documented.
const METRICS: [&str; 3] = [
    REFERENCE,
    include_str!("../../../docs/metrics.md"),
    include_str!("../../../docs/admission.md"),
];
const MONITORING: &str = include_str!("../../../docs/monitoring.md");
const DASHBOARD: &str = include_str!("../../../deploy/components/dashboard/lws.json");
/// Time series on which alerts fire, for promtool.
const PLAYED: &str = include_str!("../../prometheus/alerts_test.yaml");
const RULES: &str = include_str!("../../../deploy/components/alerts/rules.yaml");

/// What Prometheus adds to each series.
const OF_TARGET: [&str; 3] = ["instance", "job", "pod"];

type Labels = BTreeSet<String>;

/// A metric as it is documented.
#[derive(Clone, Debug, Default)]
struct Metric {
    labels: Labels,
    is_histogram: bool,
    /// What is said of it.
    told: String,
    /// Tables of the values of its labels.
    tables: BTreeMap<String, String>,
}

type Metrics = BTreeMap<String, Metric>;

fn documented() -> Metrics {
    let mut documented = Metrics::new();
    for row in REFERENCE.lines().filter_map(cells) {
        let [name, kind, labels, ..] = *row else { continue };
        let labels = messages(labels).map(str::to_owned).collect();
        let metric = Metric { labels, is_histogram: kind == "histogram", ..Metric::default() };
        documented.extend(messages(name).map(|it| (it.to_owned(), metric.clone())));
    }
    assert!(documented.len() > 50, "the tables are not read: {documented:?}");
    for page in METRICS {
        let blocks: Vec<_> = page.split("\n\n").collect();
        for (block, next) in blocks.iter().zip(blocks.iter().skip(1).chain([&""])) {
            if !block.starts_with('|') {
                tell(&mut documented, block, block, next);
            }
        }
        for row in page.lines().filter_map(cells) {
            tell(&mut documented, row.first().copied().unwrap_or_default(), &row.join(" "), "");
        }
    }
    documented
}

/// Adds what a page tells of the metrics that `about` names, one by one or as `begin_…`: `text`, and
/// the values of a label where a table of these follows.
fn tell(documented: &mut Metrics, about: &str, text: &str, table: &str) {
    let heading = table.lines().next().and_then(cells).unwrap_or_default();
    let label = heading.first().and_then(|it| messages(it).next());
    for (name, metric) in documented {
        let is_named = |it: &str| match it.strip_suffix('…') {
            Some(begin) => name.starts_with(begin),
            None => it == name,
        };
        if messages(about).any(is_named) {
            metric.told += text;
            if let Some(label) = label {
                *metric.tables.entry(label.to_owned()).or_default() += table;
            }
        }
    }
}

/// What an expression asks for.
#[derive(Default)]
struct Asked {
    /// Labels that its series have, as far as the metrics are known.
    labels: Labels,
    /// Labels by which it groups or matches.
    wanted: Labels,
    metrics: BTreeSet<String>,
    faults: Vec<String>,
}

impl Asked {
    fn of(text: &str, documented: &Metrics) -> Self {
        let mut asked = Self::default();
        match parser::parse(&text.replace("$job", ".+")) {
            Ok(expression) => asked.look(&expression, documented),
            Err(error) => asked.faults.push(error),
        }
        asked.labels.extend(OF_TARGET.map(str::to_owned));
        for label in asked.wanted.difference(&asked.labels) {
            asked.faults.push(format!("no metric has label {label}"));
        }
        asked
    }

    fn look(&mut self, expression: &Expr, documented: &Metrics) {
        match expression {
            Expr::Aggregate(it) => {
                self.wants(it.modifier.as_ref());
                it.param.iter().for_each(|it| self.look(it, documented));
                self.look(&it.expr, documented);
            }
            Expr::Unary(it) => self.look(&it.expr, documented),
            Expr::Binary(it) => {
                self.wants(it.modifier.as_ref().and_then(|it| it.matching.as_ref()));
                self.look(&it.lhs, documented);
                self.look(&it.rhs, documented);
            }
            Expr::Paren(it) => self.look(&it.expr, documented),
            Expr::Subquery(it) => self.look(&it.expr, documented),
            Expr::Call(it) => it.args.args.iter().for_each(|it| self.look(it, documented)),
            Expr::VectorSelector(it) => self.select(it, documented),
            Expr::MatrixSelector(it) => self.select(&it.vs, documented),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
            Expr::Extension(_) => self.faults.push("an extension".to_owned()),
        }
    }

    fn wants(&mut self, modifier: Option<&LabelModifier>) {
        self.wanted.extend(modifier.iter().flat_map(|it| it.labels().labels.iter().cloned()));
    }

    fn select(&mut self, selector: &VectorSelector, documented: &Metrics) {
        let name = selector.name.clone().unwrap_or_default();
        let parts = ["_bucket", "_sum", "_count"];
        let whole = parts.iter().find_map(|it| name.strip_suffix(it));
        let whole = whole.filter(|it| documented.get(*it).is_some_and(|it| it.is_histogram));
        let whole = whole.unwrap_or(&name);
        let Some(Metric { labels, told, tables, .. }) = documented.get(whole) else {
            return self.faults.push(format!("there is no metric {name:?}"));
        };
        let mut labels = labels.clone();
        if name.ends_with("_bucket") {
            labels.insert("le".to_owned());
        }
        for matcher in &selector.matchers.matchers {
            let is_known = labels.contains(&matcher.name) || OF_TARGET.contains(&&*matcher.name);
            if !is_known {
                self.faults.push(format!("{name} has no label {}", matcher.name));
            }
            let values = match matcher.op {
                // There are as many codes as HTTP has.
                _ if matcher.name == "code" => Vec::new(),
                MatchOp::Equal => vec![&*matcher.value],
                MatchOp::Re(_) => matcher.value.split('|').filter(|it| !it.contains('.')).collect(),
                MatchOp::NotEqual | MatchOp::NotRe(_) => Vec::new(),
            };
            for value in values {
                let quoted = format!("`{value}`");
                let table = tables.get(&matcher.name);
                if ![Some(told), table].into_iter().flatten().any(|it| it.contains(&quoted)) {
                    self.faults
                        .push(format!("{}={value:?} of {name} is not documented", matcher.name));
                }
            }
        }
        self.labels.extend(labels);
        self.metrics.insert(whole.to_owned());
    }
}

/// The panels that show something.
fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    panels.iter().filter(|it| it["type"] != "row").cloned().collect()
}

/// The labels that a legend shows: `{{name}}`.
fn shown(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|it| it.split_once("}}")).map(|(it, _)| it.trim())
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let documented = documented();
    let (mut faults, mut metrics) = (Vec::new(), BTreeSet::new());
    for panel in panels() {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} shows nothing");
        for target in targets {
            let mut asked = Asked::of(target["expr"].as_str().unwrap(), &documented);
            for label in shown(target["legendFormat"].as_str().unwrap()) {
                if !asked.labels.contains(label) {
                    asked.faults.push(format!("the legend shows {label}, which no metric has"));
                }
            }
            faults.extend(asked.faults.iter().map(|it| format!("{title}: {it}")));
            metrics.extend(asked.metrics);
        }
    }
    assert_eq!(faults, [""; 0]);
    // What somebody looks for who is called.
    for metric in [
        "lws_sets",
        "lws_groups",
        "lws_set_updated_ratio",
        "lws_rollout_duration_seconds",
        "lws_set_start_duration_seconds",
        "lws_group_recreations_total",
        "lws_groups_in_backoff",
        "workqueue_depth",
        "lws_workqueue_oldest_seconds",
        "controller_runtime_reconcile_total",
        "controller_runtime_reconcile_time_seconds",
        "rest_client_requests_total",
        "lws_api_requests_total",
        "lws_api_request_duration_seconds",
        "lws_cache_objects",
        "lws_cache_bytes",
        "lws_watch_restarts_total",
        "leader_election_master_status",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "lws_webhook_reviews_total",
        "lws_webhook_rejections_total",
        "controller_runtime_webhook_latency_seconds",
        "controller_runtime_webhook_requests_in_flight",
        "lws_serving_certificate_expiry_timestamp_seconds",
        "lws_stored_certificate_expiry_timestamp_seconds",
        "lws_build_info",
    ] {
        assert!(metrics.contains(metric), "no panel shows {metric}");
    }
}

#[test]
fn the_panels_of_the_dashboard_are_beside_each_other() {
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}: the id is taken", panel["title"]);
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{} is outside", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(cells.insert((x, y)), "{} is over another one", panel["title"]);
            }
        }
    }
}

#[test]
fn the_alerts_ask_for_metrics_that_there_are_and_say_what_to_do() {
    let documented = documented();
    let rules: Value = serde_saphyr::from_str(RULES).unwrap();
    assert_eq!(rules["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(rules["kind"], "PrometheusRule");
    let (mut names, mut faults) = (BTreeSet::new(), Vec::new());
    for group in rules["spec"]["groups"].as_array().unwrap() {
        fields(group, &["name", "rules"]);
        assert!(names.insert(group["name"].as_str().unwrap().to_owned()), "{}", group["name"]);
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            fields(rule, &["alert", "annotations", "expr", "for", "labels"]);
            fields(&rule["annotations"], &["description", "runbook", "summary"]);
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(is_duration(rule["for"].as_str().unwrap()), "{name}: {}", rule["for"]);
            let severity = &rule["labels"]["severity"];
            assert!(["critical", "warning"].iter().any(|it| severity == it), "{name}: {severity}");
            let runbook = format!("docs/monitoring.md#{}", name.to_lowercase());
            assert_eq!(rule["annotations"]["runbook"], *runbook);
            assert!(MONITORING.contains(&format!("\n### {name}\n")), "{name} is not documented");
            assert!(PLAYED.contains(&format!("alertname=\"{name}\"")), "{name} is not played");
            let asked = Asked::of(rule["expr"].as_str().unwrap(), &documented);
            for text in ["summary", "description"] {
                let text = rule["annotations"][text].as_str().unwrap();
                let labels = shown(text).filter_map(|it| it.strip_prefix("$labels."));
                for label in labels.filter(|it| !asked.wanted.contains(*it)) {
                    faults.push(format!(
                        "{name}: its text tells {label}, by which it does not group"
                    ));
                }
            }
            faults.extend(asked.faults.iter().map(|it| format!("{name}: {it}")));
        }
    }
    assert_eq!(faults, [""; 0]);
    let described = MONITORING.lines().filter_map(|it| it.strip_prefix("### LWS"));
    for name in described.map(|it| format!("LWS{it}")) {
        assert!(names.contains(&name), "there is no alert {name}");
    }
}

/// Fails unless the object has exactly these fields.
fn fields(object: &Value, expected: &[&str]) {
    let found: BTreeSet<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, expected.iter().copied().collect(), "{object}");
}

/// Whether the operator takes it: whole numbers with units.
fn is_duration(text: &str) -> bool {
    let number = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
    let unit = text.strip_prefix(number).unwrap_or_default();
    number.parse::<u32>().is_ok() && ["s", "m", "h", "d"].contains(&unit)
}

#[test]
fn what_is_wrong_with_an_expression_is_found() {
    let documented = documented();
    for (expression, fault) in [
        ("sum by (state) (lws_sets)", ""),
        ("sum by (le) (rate(lws_rollout_duration_seconds_bucket[5m]))", ""),
        ("sum by (cause) (lws_sets)", "no metric has label cause"),
        ("lws_sets{cause=\"quota\"}", "lws_sets has no label cause"),
        ("lws_sets{state=\"updating\"}", ""),
        ("lws_sets{state=\"lost\"}", "state=\"lost\" of lws_sets is not documented"),
        // That is a state of groups.
        ("lws_sets{state=\"failing\"}", "state=\"failing\" of lws_sets is not documented"),
        ("lws_sets_count", "there is no metric \"lws_sets_count\""),
        ("up and on (job) lws_sets", "there is no metric \"up\""),
        ("sum(", "unclosed left parenthesis"),
    ] {
        let faults = Asked::of(expression, &documented).faults;
        match (&faults[..], fault) {
            ([], "") => {}
            ([found, ..], fault) if !fault.is_empty() && found.contains(fault) => {}
            _ => panic!("{expression}: {faults:?}"),
        }
    }
}
