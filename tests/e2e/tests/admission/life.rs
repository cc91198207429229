//! The life of a webhook process under the eyes of the API server: no certificate yet, another certificate, the end,
//! an outage.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use kube::Client;
use lws_api_types::keys::annotations::EXCLUSIVE_TOPOLOGY;
use lws_harness::wait;
use serde_json::{Value, json};
use tokio::try_join;

use crate::json::with;
use crate::own_webhook::{OwnWebhook, authority};
use crate::pods::Pod;
use crate::requests::{Answer, send, with_json};
use crate::service::Service;
use crate::sets::basic_set;
use crate::world::{Resource, world};

const FINALIZERS: &str = "/metadata/finalizers";
const LABELS: &str = "/metadata/labels";
const ANNOTATIONS: &str = "/metadata/annotations";
const DEADLINE: Duration = Duration::from_secs(20);

///
#[tokio::test]
async fn without_a_certificate_it_is_not_ready() -> Result<()> {
    let world = &world().await?;
    world.namespace("certificate").await?;
    let mut webhook = OwnWebhook::plain(world, "certificate")?;
    webhook.start().await?;
    webhook.register(world).await?;
    webhook.called(world).await?;
    let answer = webhook.readiness().await?;
    ensure!(answer.code.as_u16() == 500, "{answer:?}");
    let problem = "[-]certificate failed: no certificate is loaded";
    ensure!(answer.text.contains(problem), "{answer:?}");

    webhook.issue_certificate()?;
    webhook.ready().await?;
    webhook.try_create_set(world).await?.object()?;
    Ok(())
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_failed_request() -> Result<()> {
    let world = &world().await?;
    let next = authority()?;
    let new_pem = next.pair().certificate_pem.as_str();
    world.namespace("rotation").await?;
    let mut webhook = OwnWebhook::plain(world, "rotation")?;
    webhook.start().await?;
    let webhook = webhook;
    let both = [webhook.authority_pem(), new_pem];
    webhook.register_trusting(world, &both).await?;
    webhook.called(world).await?;
    webhook.issue_certificate()?;
    webhook.ready().await?;

    let load = Load::default();
    let change = async {
        load.proceeds(20).await?;
        webhook.change_certificate(&next)?;
        let served = async || review(&webhook.client(&[new_pem])?).await.map(Some);
        wait::eventually(DEADLINE, "the new certificate is served", served).await?;
        let old = review(&webhook.client(&[webhook.authority_pem()])?).await;
        ensure!(old.is_err(), "the old certificate is still served");
        load.proceeds(20).await?;
        load.stop();
        Ok(())
    };
    let through_the_api_server = async || webhook.try_create_set(world).await?.object().map(drop);
    let over_a_new_connection = async || review(&webhook.client(&both)?).await;
    try_join!(load.send(0, through_the_api_server), load.send(1, over_a_new_connection), change)?;
    Ok(())
}

#[tokio::test]
async fn it_ends_without_a_failed_request() -> Result<()> {
    let world = &world().await?;
    let mut webhook = OwnWebhook::plain(world, "end")?;
    webhook.issue_certificate()?;
    webhook.start().await?;
    webhook.ready().await?;
    let webhook = webhook;
    let connected = webhook.client(&[webhook.authority_pem()])?;

    let load = Load::default();
    let end = end_under(&load, &webhook);
    let over_a_new_connection = async || review(&webhook.client(&[webhook.authority_pem()])?).await;
    try_join!(
        load.send(0, async || review(&connected).await),
        load.send(1, over_a_new_connection),
        end,
    )?;
    Ok(())
}

#[tokio::test]
async fn another_follows_without_a_failed_request() -> Result<()> {
    follow(["follow", "follow-next"], "--enable-http2=false").await
}

/// The API server takes HTTP/2 where it is offered: all its requests share a connection.
#[tokio::test]
async fn offering_http_2_another_follows_without_a_failed_request() -> Result<()> {
    follow(["follow-http-2", "follow-http-2-next"], "--enable-http2").await
}

/// One replica ends and another takes its place, while the API server goes on sending.
async fn follow([first, second]: [&'static str; 2], argument: &str) -> Result<()> {
    let world = &world().await?;
    world.namespace(first).await?;
    let authority = authority()?;
    let service = Service::start().await?;
    let mut first = OwnWebhook::plain(world, first)?.with_arg(argument).behind(service.address);
    let mut second = OwnWebhook::plain(world, second)?.with_arg(argument);
    first.register_trusting(world, &[&authority.pair().certificate_pem]).await?;
    first.called(world).await?;
    for webhook in [&mut first, &mut second] {
        webhook.change_certificate(&authority)?;
        webhook.start().await?;
        webhook.ready().await?;
    }
    service.select(first.address);
    let (first, second) = (first, second);

    let load = Load::default();
    let change = async {
        load.proceeds(20).await?;
        let observe = async || first.readiness().await;
        let ending = |answer: &Answer| answer.text.contains("process is shutting down");
        let leave = async {
            wait::until(DEADLINE, "the first is not ready any more", observe, ending).await?;
            // It serves on until this is known.
            load.proceeds(3).await?;
            service.select(second.address);
            anyhow::Ok(())
        };
        let stop = async { Ok(first.process()?.stop(DEADLINE).await?) };
        let (status, ()) = try_join!(stop, leave)?;
        ensure!(status.success(), "{status}");
        load.proceeds(20).await?;
        load.stop();
        anyhow::Ok(())
    };
    let through_the_api_server = async || first.try_create_set(world).await?.object().map(drop);
    try_join!(load.send(0, through_the_api_server), load.send(1, through_the_api_server), change)?;
    Ok(())
}

/// What admission has a say in waits for it; the rest of the life of a set goes on.
#[tokio::test]
async fn during_an_outage_nothing_of_a_set_is_let_through() -> Result<()> {
    const NAMESPACE: &str = "outage";
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let (sets, pods) = (world.sets(NAMESPACE), world.pods(NAMESPACE));
    sets.create(&basic_set("before")).await?.object()?;
    let mut webhook = OwnWebhook::plain(world, NAMESPACE)?;
    webhook.register(world).await?;
    webhook.called(world).await?;
    webhook.issue_certificate()?;
    webhook.start().await?;
    webhook.ready().await?;
    let held = with(basic_set("held"), &[(FINALIZERS, json!(["example.com/hold"]))])?;
    sets.create(&held).await?.object()?;

    webhook.process()?.kill().await?;
    ensure_unavailable(&sets.create(&basic_set("during")).await?, "mleaderworkerset.kb.io")?;
    ensure_unavailable(&pods.create(&Pod::leader("before", 2).json).await?, "mpod.kb.io")?;
    let other = Pod::leader("before", 2).of_no_set().put("/metadata/name", json!("other")).json;
    pods.create(&other).await?.object().context("a pod of no set")?;
    let unchanged = edit_around_the_spec(&sets).await?;
    let many = (0..101).map(|it| (format!("example.com/{it}"), Value::from("x"))).collect();
    for (pointer, value, webhook) in [
        ("/spec/replicas", json!(2), "mleaderworkerset.kb.io"),
        ("/spec/startupPolicy", json!("LeaderReady"), "mleaderworkerset.kb.io"),
        (ANNOTATIONS, json!({EXCLUSIVE_TOPOLOGY: "rack"}), "vleaderworkerset.kb.io"),
        // To compare them all would take the API server longer than to ask.
        (ANNOTATIONS, many, "vleaderworkerset.kb.io"),
    ] {
        let changed = with(unchanged.clone(), &[(pointer, value)])?;
        let answer = sets.replace(&changed).await?;
        ensure_unavailable(&answer, webhook).context(pointer)?;
    }
    sets.delete("before").await?.object().context("deletion")?;
    sets.delete("held").await?.object().context("the deletion that waits")?;
    let released = with(sets.read("held").await?.object()?, &[(FINALIZERS, Value::Null)])?;
    sets.replace(&released).await?.object().context("the last finalizer")?;
    ensure!(sets.read("held").await?.code.as_u16() == 404, "the set is still there");

    webhook.start().await?;
    webhook.ready().await?;
    sets.create(&basic_set("after")).await?.object()?;
    pods.create(&Pod::leader("after", 2).json).await?.object()?;
    Ok(())
}

/// Changes everything about the set `before` that admission does not read; gives what is stored then.
async fn edit_around_the_spec(sets: &Resource) -> Result<Value> {
    let mut stored = sets.read("before").await?.object()?;
    for (pointer, value) in [
        (LABELS, json!({"example.com/label": "x"})),
        (FINALIZERS, json!(["example.com/hold"])),
        (ANNOTATIONS, json!({"example.com/annotation": "x"})),
        (FINALIZERS, Value::Null),
        (LABELS, Value::Null),
        (ANNOTATIONS, Value::Null),
    ] {
        let changed = with(stored, &[(pointer, value.clone())])?;
        stored = sets.replace(&changed).await?.object().with_context(|| pointer.to_owned())?;
        ensure!(stored.pointer(pointer).unwrap_or_default() == &value, "{stored}");
    }
    Ok(stored)
}

/// Configurations of the existing implementation have an entry for pods that has nothing to say: every pod passes,
/// of a set or of none (C-136), and so does every change.
#[tokio::test]
async fn the_validation_of_pods_is_served_to_those_who_ask() -> Result<()> {
    const NAMESPACE: &str = "validated-pods";
    let world = &world().await?;
    world.namespace(NAMESPACE).await?;
    let pods = world.pods(NAMESPACE);
    let mut webhook = OwnWebhook::plain(world, NAMESPACE)?;
    let entry = json!({
        "name": "vpod.kb.io",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"path": "/validate--v1-pod"}},
        "failurePolicy": "Fail",
        "rules": [{
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["pods"],
        }],
        "sideEffects": "None",
    });
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {},
        "webhooks": [entry],
    });
    let authorities = [webhook.authority_pem()];
    webhook.register_entries(world, "validating", configuration, &authorities).await?;
    let member = Pod::worker("validated", 1, 2).json;
    let stranger = Pod::leader("validated", 2).of_no_set().json;
    let called = |answer: &Answer| ensure_unavailable(answer, "vpod.kb.io").is_ok();
    let create = async || pods.try_create(&member).await;
    wait::until(DEADLINE, "the API server validates pods", create, called).await?;

    webhook.issue_certificate()?;
    webhook.start().await?;
    webhook.ready().await?;
    for pod in [member, stranger] {
        let created = pods.create(&pod).await?;
        ensure!(created.warnings.is_empty(), "{created:?}");
        let changed = with(created.object()?, &[(ANNOTATIONS, json!({"example.com/x": "y"}))])?;
        let replaced = pods.replace(&changed).await?;
        ensure!(replaced.warnings.is_empty(), "{replaced:?}");
        replaced.object()?;
    }
    Ok(())
}

/// Ends the webhook under load; its clients go on until they learn that the endpoint is gone.
async fn end_under(load: &Load, webhook: &OwnWebhook) -> Result<()> {
    load.proceeds(20).await?;
    let leave = async {
        let observe = async || webhook.readiness().await;
        let ending = |answer: &Answer| answer.text.contains("process is shutting down");
        wait::until(DEADLINE, "the webhook is not ready any more", observe, ending).await?;
        load.proceeds(3).await?;
        load.stop();
        anyhow::Ok(())
    };
    let stop = async { Ok(webhook.process()?.stop(DEADLINE).await?) };
    let (status, ()) = try_join!(stop, leave)?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Whether the API server refused because it cannot reach this webhook.
fn ensure_unavailable(answer: &Answer, webhook: &str) -> Result<()> {
    let message = answer.message()?;
    let expected = format!("failed calling webhook \"{webhook}\": failed to call webhook: ");
    ensure!(
        answer.code.as_u16() == 500 && message.contains(&expected),
        "{}: {message}",
        answer.code
    );
    Ok(())
}

/// Has the webhook judge a set, and fails unless it allows it.
async fn review(webhook: &Client) -> Result<()> {
    let request = json!({"uid": "u-1", "operation": "CREATE", "object": basic_set("judged")});
    let review =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let path = "/mutate-leaderworkerset-x-k8s-io-v1-leaderworkerset";
    let answer = send(webhook, with_json(Method::POST, path, &review)?).await?.json()?;
    ensure!(answer.pointer("/response/allowed") == Some(&Value::Bool(true)), "{answer}");
    Ok(())
}

/// Two senders that send one request after the other, without a pause.
#[derive(Default)]
struct Load {
    answered: [Cell<u32>; 2],
    stopped: Cell<bool>,
}

impl Load {
    /// Sends until the load is stopped; fails with the first request that fails.
    async fn send(&self, sender: usize, request: impl AsyncFn() -> Result<()>) -> Result<()> {
        let answered = self.answered.get(sender).context("no such sender")?;
        while !self.stopped.get() {
            request()
                .await
                .with_context(|| format!("request {} of sender {sender}", answered.get()))?;
            answered.set(answered.get() + 1);
        }
        Ok(())
    }

    /// Waits until both senders have got `requests` more answers.
    async fn proceeds(&self, requests: u32) -> Result<()> {
        let goals = self.answered.clone().map(|answered| answered.get() + requests);
        let description = format!("both senders get {requests} more answers");
        let reached = |answered: &[Cell<u32>; 2]| {
            answered.iter().zip(goals).all(|(it, goal)| it.get() >= goal)
        };
        let observe = async || anyhow::Ok(self.answered.clone());
        wait::until(DEADLINE, &description, observe, reached).await?;
        Ok(())
    }

    fn stop(&self) {
        self.stopped.set(true);
    }
}
