//! At most one controller writes at any moment.

use std::time::Duration;

use crate::history::Violation;

/// A request that changes something, carried out.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Which controller has sent it.
    pub(crate) by: String,
    pub(crate) received: Duration,
    pub(crate) answered: Duration,
    /// Whether it renews or takes the lease.
    pub(crate) is_renewal: bool,
    pub(crate) what: String,
}

/// Fails where a controller sends a write once the other one has the lease.
pub(crate) fn one_writer(mut requests: Vec<Request>) -> Vec<Violation> {
    requests.sort_by_key(|it| it.answered);
    let mut terms: Vec<(Duration, &str)> = Vec::new();
    for renewal in requests.iter().filter(|it| it.is_renewal) {
        if terms.last().is_none_or(|(_, holder)| *holder != renewal.by) {
            terms.push((renewal.answered, &renewal.by));
        }
    }
    let broken = requests.iter().filter(|it| !it.is_renewal).filter_map(|write| {
        let (since, holder) = terms.iter().rfind(|(since, _)| *since < write.received)?;
        (*holder != write.by).then(|| {
            let since = since.as_secs_f64();
            let what =
                format!("{} by {}, but {holder} has led since {since:.2} s", write.what, write.by);
            Violation::new(write.received, what)
        })
    });
    broken.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(by: &str, is_renewal: bool, received: u64, answered: u64) -> Request {
        let [received, answered] = [received, answered].map(Duration::from_secs);
        let what = "patch".to_owned();
        Request { by: by.to_owned(), received, answered, is_renewal, what }
    }

    #[test]
    fn who_has_lost_the_lease_sends_nothing_more() {
        let mut requests = vec![
            request("a", true, 1, 1),
            request("a", false, 2, 2),
            // Under way when the other one took the lease.
            request("a", false, 3, 6),
            request("b", true, 5, 5),
            request("b", false, 6, 7),
        ];
        assert_eq!(one_writer(requests.clone()), []);
        requests.push(request("a", false, 8, 9));
        let broken: Vec<_> = one_writer(requests).into_iter().map(|it| it.what).collect();
        assert_eq!(broken, ["patch by a, but b has led since 5.00 s"]);
    }
}
