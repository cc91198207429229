//! How streams begin and begin anew, against an API server that answers lists with nothing and
//! watches never.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use kube::client::Body;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;

#[derive(Default)]
struct Server {
    /// Paths with queries of the lists so far.
    lists: Mutex<Vec<String>>,
    /// What lists of pods are answered with; 0 for nothing.
    pods: watch::Sender<u16>,
}

impl Server {
    fn client(self: &Arc<Self>) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let asked = request.uri().to_string();
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(asked).await) }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, asked: String) -> http::Response<Body> {
        if asked.contains("watch=true") {
            return pending().await;
        }
        let is_of_pods = asked.contains("/pods?");
        self.lists.lock().unwrap().push(asked);
        let mut code = 200;
        if is_of_pods {
            code = *self.pods.subscribe().wait_for(|it| *it > 0).await.unwrap();
        }
        let body = json!({
            "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": [],
            "code": code, "message": "no", "reason": "", "status": "Failure",
        });
        let response = http::Response::builder().status(code);
        response.body(Body::from(body.to_string().into_bytes())).unwrap()
    }
}

/// Streams whose first lists have been answered.
async fn synced(server: &Arc<Server>) -> (Synced, JoinSet<()>) {
    server.pods.send_replace(200);
    let mut tasks = JoinSet::new();
    let notify: Notify = Arc::new(|_| {});
    let synced = start(&server.client(), &Arc::default(), &notify, None, &mut tasks);
    while !synced.missing().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    (synced, tasks)
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_anew_and_waited_for() {
    let server = Arc::new(Server::default());
    let (mut synced, _tasks) = synced(&server).await;
    server.pods.send_replace(0);
    let minute = Duration::from_mins(1);
    let seen = synced.clone();
    timeout(minute, synced.anew()).await.unwrap_err();
    assert_eq!(seen.missing(), ["pods not listed anew yet"]);
    server.pods.send_replace(200);
    while !seen.missing().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    timeout(minute, synced.anew()).await.unwrap();
    let lists = server.lists.lock().unwrap();
    assert_eq!(lists.len(), 5 * 3, "each kind in each round: {lists:#?}");
    assert!(!lists.iter().any(|it| it.contains("resourceVersion")), "may be old: {lists:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_listed_any_more_is_not_enough() {
    let server = Arc::new(Server::default());
    let (mut synced, _tasks) = synced(&server).await;
    server.pods.send_replace(403);
    timeout(Duration::from_mins(1), synced.anew()).await.unwrap_err();
    assert_eq!(synced.missing(), ["not permitted to list pods"]);
    server.pods.send_replace(200);
    timeout(Duration::from_mins(1), async {
        while !synced.missing().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}
