//! Who sees the metrics of both processes: those whom the API server permits it, over TLS. It is asked rarely.

mod world;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use http::Method;
use lws_certs::issue::{AUTHORITY_LIFETIME, Authority, SERVING_LIFETIME};
use lws_e2e::fixture::IMAGE;
use lws_e2e::metrics::Scrape;
use lws_e2e::{DEADLINE, Fixture, MountedSecret};
use lws_harness::audit::Mark;
use lws_harness::proxy::{Effect, Failure, Rule};
use lws_harness::wait;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};

use world::{Process, World, ask, ask_beside, ask_trusting, world};

const UNAUTHORIZED: (u16, &str) = (401, "Unauthorized\n");

#[tokio::test]
async fn only_who_may_read_metrics_does() -> Result<()> {
    let world = world().await?;
    let mut system = world.system().await;
    let [reader, other] = [world.token("reader").await?, world.token("other").await?];
    for process in Process::BOTH {
        let component = process.of(&mut system)?;
        let log = std::fs::read_to_string(component.process().log())?;
        let line = "INFO\tcontroller-runtime.metrics\tServing metrics server\t";
        ensure!(log.contains(line), "{process:?}: {log}");
        let url = component.metrics_url();
        let said = ask(&url, Method::GET, None).await?;
        ensure!((said.0, &*said.1) == UNAUTHORIZED, "{process:?} without token: {said:?}");
        let said = ask(&url, Method::GET, Some("garbage")).await?;
        ensure!((said.0, &*said.1) == UNAUTHORIZED, "{process:?} with garbage: {said:?}");
        let denied = "Authorization denied for user system:serviceaccount:default:other\n";
        let said = ask(&url, Method::GET, Some(&other)).await?;
        ensure!(said == (403, denied.to_owned()), "{process:?} without rights: {said:?}");
        let said = ask(&url, Method::POST, Some(&reader)).await?;
        ensure!(said.0 == 403, "{process:?} with another verb: {said:?}");
        let (code, text) = ask(&url, Method::GET, Some(&reader)).await?;
        ensure!(code == 200, "{process:?} with rights: {code} {text}");
        let build = Scrape::parse(&text)?.starting_with("lws_build_info{").count();
        ensure!(build == 1, "{process:?}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn who_may_changes_what_is_logged_while_the_processes_run() -> Result<()> {
    const PATH: &str = "/debug/loglevel";
    let world = world().await?;
    let mut system = world.system().await;
    let [operator, reader] = [world.token("operator").await?, world.token("reader").await?];
    for process in Process::BOTH {
        let component = process.of(&mut system)?;
        let url = component.metrics_url();
        let put = |token, filter| ask_beside(&url, (Method::PUT, PATH), token, filter);
        let get = || ask_beside(&url, (Method::GET, PATH), Some(&operator), "");
        let (code, initial) = get().await?;
        ensure!((code, &*initial) == (200, "lws=debug,info\n"), "{process:?}: {code} {initial}");
        let said = put(None, "trace").await?;
        ensure!((said.0, &*said.1) == UNAUTHORIZED, "{process:?} without token: {said:?}");
        let said = put(Some(&*reader), "trace").await?;
        ensure!(said.0 == 403, "{process:?}: who may read metrics: {said:?}");
        let (code, said) = put(Some(&*operator), "loud").await?;
        ensure!(code == 400 && said.contains("is no log level"), "{process:?}: {code} {said}");
        ensure!(get().await?.1 == initial, "{process:?} has taken what it has refused");

        // Of libraries, only a trace tells of each request.
        let log = || std::fs::read_to_string(component.process().log());
        let is_traced = |log: &str| log.lines().any(|it| it.contains("\tTRACE\t"));
        ensure!(!is_traced(&log()?), "{process:?}: {}", log()?);
        let said = put(Some(&*operator), "lws=trace,trace").await?;
        ensure!(said == (200, "lws=trace,trace\n".to_owned()), "{process:?}: {said:?}");
        let change = "log filter changes\t{\"filter\":\"lws=trace,trace\"}";
        ensure!(log()?.contains(change), "{process:?}: {}", log()?);
        let more = async || {
            get().await?;
            Ok::<_, anyhow::Error>(is_traced(&log()?).then_some(()))
        };
        wait::eventually(DEADLINE, "lines of level trace", more).await?;
        for token in [&operator, &process.token(world.cluster())?] {
            ensure!(!log()?.contains(token), "{process:?} logs a token");
        }
        // Nothing means what the command line says.
        ensure!(put(Some(&*operator), "").await? == (200, initial), "{process:?}");
    }
    Ok(())
}

#[tokio::test]
async fn decisions_are_logged_with_their_reason_and_values_of_variables_never() -> Result<()> {
    const PATH: &str = "/debug/loglevel";
    const VALUE: &str = "not-for-the-log";
    let world = world().await?;
    let mut system = world.system().await;
    let operator = world.token("operator").await?;
    let mut set_filter = async |filter: &str| -> Result<()> {
        for process in Process::BOTH {
            let url = process.of(&mut system)?.metrics_url();
            let said = ask_beside(&url, (Method::PUT, PATH), Some(&operator), filter).await?;
            ensure!(said.0 == 200, "{process:?}: {said:?}");
        }
        Ok(())
    };
    set_filter("lws=trace,debug").await?;
    let variables = json!([{"name": "TOKEN", "value": VALUE}]);
    let containers = json!([{"name": "worker", "image": IMAGE, "env": variables}]);
    let fixture = Fixture::default().pod_spec("containers", &containers);
    let namespace = world.environment().namespace().await?;
    let set = namespace.create_set(&fixture).await?;
    set.created_leader_set().await?;
    let key = set.key().await?;
    set.expect_conditions("progressing").await?;
    set.change_workers("example.org/other").await?;
    set.expect_revisions(2).await?;
    let refused = namespace.create_set(&fixture.size(-1)).await;
    ensure!(refused.is_err(), "a size of -1 is accepted");
    set_filter("").await?;

    for process in Process::BOTH {
        let log = std::fs::read_to_string(process.of(&mut system)?.process().log())?;
        ensure!(!log.contains(VALUE), "{process:?} logs the value of a variable");
    }
    let log = std::fs::read_to_string(Process::Controller.of(&mut system)?.process().log())?;
    let apply = format!("apply statefulset {}: replicas 2, partition 0", set.name());
    for (decision, reason) in [
        (&*apply, format!("Created leader statefulset {}", set.name())),
        (
            "write status",
            "Replicas are progressing, with 0 groups ready of total 2 groups".to_owned(),
        ),
    ] {
        let fields = json!({
            "set": format!("{}/{}", namespace.name(), set.name()), "revision": key, "reason": reason,
        });
        let decided = log
            .lines()
            .filter_map(|it| it.split_once(&format!("\t{decision}\t")))
            .any(|(_, told)| serde_json::from_str::<Value>(told).is_ok_and(|it| it == fields));
        ensure!(decided, "no line {decision:?} with {fields}");
    }
    Ok(())
}

#[tokio::test]
async fn many_scrapes_are_one_question_of_each_kind() -> Result<()> {
    let world = world().await?;
    let mut system = world.system().await;
    // The webhook asks nothing before.
    system.webhook()?.restart().await?;
    let begin = world.cluster().audit().mark()?;
    let url = system.webhook()?.metrics_url();
    let said = ask(&url, Method::GET, None).await?;
    ensure!((said.0, &*said.1) == UNAUTHORIZED, "{said:?}");
    world.environment().namespace().await?.create_set(&Fixture::default()).await?;
    let asked = reviews(world, begin, Process::Webhook)?;
    ensure!(asked.is_empty(), "the webhook asks without need: {asked:?}");

    for process in Process::BOTH {
        let token = world.token("reader").await?;
        let url = process.of(&mut system)?.metrics_url();
        let mark = world.cluster().audit().mark()?;
        for _ in 0..4 {
            let all = (0..5).map(|_| ask(&url, Method::GET, Some(&token)));
            let all = try_join_all(all).await?;
            ensure!(all.iter().all(|(code, _)| *code == 200), "{process:?}: {all:?}");
        }
        let mut expected = BTreeMap::from([("tokenreviews".to_owned(), 1)]);
        let asked = reviews(world, mark, process)?;
        // The answer about this user may be kept since another test.
        expected.extend(asked.get_key_value("subjectaccessreviews").map(|it| (it.0.clone(), 1)));
        ensure!(asked == expected, "{process:?}: {asked:?}");
    }
    // This one has asked nothing before.
    let asked = reviews(world, begin, Process::Webhook)?;
    let both = ["subjectaccessreviews", "tokenreviews"].map(|it| (it.to_owned(), 1));
    ensure!(asked == BTreeMap::from(both), "{asked:?}");
    Ok(())
}

/// What a process has asked the API server about its scrapers since `mark`; the webhook has nothing else to ask, so all
/// its requests are counted.
fn reviews(world: &World, mark: Mark, process: Process) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for event in world.cluster().audit().since(mark)? {
        let resource = event.key.resource;
        let counts_here = process == Process::Webhook || resource.ends_with("reviews");
        if event.key.user == process.user() && counts_here {
            *counts.entry(resource).or_default() += 1;
        }
    }
    Ok(counts)
}

#[tokio::test]
async fn when_the_api_server_does_not_answer_that_is_said_and_admission_goes_on() -> Result<()> {
    let world = world().await?;
    let mut system = world.system().await;
    let namespace = world.environment().namespace().await?;
    for (name, process) in ["first", "second"].into_iter().zip(Process::BOTH) {
        let component = process.of(&mut system)?;
        let token = world.token("reader").await?;
        let url = component.metrics_url();
        let unanswered = Rule::new(Effect::Instead(Failure::Hangup)).resource("tokenreviews");
        let down = component.proxy()?.add(unanswered);
        let said = ask(&url, Method::GET, Some(&token)).await?;
        let text =
            "The API server has not said whose token this is. The log of this process says why.\n";
        ensure!(said == (500, text.to_owned()), "{process:?}: {said:?}");
        namespace.create_set(&Fixture::named(name)).await?;
        let log = std::fs::read_to_string(component.process().log())?;
        let line = "Metrics: who asks cannot be reviewed\t{\"more\":";
        ensure!(log.contains(line) && log.contains("create TokenReview: "), "{process:?}: {log}");
        ensure!(!log.contains(&token), "{process:?} logs a token");
        drop(down);
        let said = ask(&url, Method::GET, Some(&token)).await?;
        ensure!(said.0 == 200, "{process:?}: {said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_credentials_the_webhook_admits_and_shows_nothing() -> Result<()> {
    let world = world().await?;
    let mut system = world.system().await;
    let token = world.token("reader").await?;
    let webhook = system.webhook()?;
    webhook.restart_with(&["--kubeconfig=/nowhere/kubeconfig".to_owned()]).await?;
    let said = ask(&webhook.metrics_url(), Method::GET, Some(&token)).await?;
    ensure!(said.0 == 500, "{said:?}");
    let log = std::fs::read_to_string(webhook.process().log())?;
    ensure!(log.contains("read kubeconfig /nowhere/kubeconfig"), "{log}");
    world.environment().namespace().await?.create_set(&Fixture::default()).await?;
    webhook.restart().await?;
    let said = ask(&webhook.metrics_url(), Method::GET, Some(&token)).await?;
    ensure!(said.0 == 200, "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_in_files_is_served_and_follows_them() -> Result<()> {
    let world = world().await?;
    let mut system = world.system().await;
    let token = world.token("reader").await?;
    let name = "metrics.example";
    let issued = || -> Result<_> {
        let now = jiff::Timestamp::now();
        let authority = Authority::generate(now, AUTHORITY_LIFETIME)?;
        let pair = authority.issue(&[ServerName::try_from(name)?], now, SERVING_LIFETIME)?;
        Ok((authority.pair().certificate_pem.clone(), pair))
    };
    let mounted = MountedSecret::new(world.certificates()?)?;
    let [(first, first_pair), (second, second_pair)] = [issued()?, issued()?];
    for process in Process::BOTH {
        let url = process.of(&mut system)?.metrics_url();
        let said = ask_trusting(&url, &first, name, &token).await;
        ensure!(said.is_err(), "{process:?} before there is one: {said:?}");
    }
    for (authority, pair) in [(&first, first_pair), (&second, second_pair)] {
        mounted.publish(&pair)?;
        for process in Process::BOTH {
            let url = process.of(&mut system)?.metrics_url();
            let description = format!("{process:?} serves the certificate of its files");
            wait::eventually(DEADLINE, &description, async || {
                let (code, _) = ask_trusting(&url, authority, name, &token).await?;
                ensure!(code == 200, "{code}");
                Ok::<_, anyhow::Error>(Some(()))
            })
            .await?;
        }
    }
    let url = Process::Controller.of(&mut system)?.metrics_url();
    let said = ask_trusting(&url, &first, name, &token).await;
    ensure!(said.is_err(), "the former one is still served: {said:?}");
    Ok(())
}
