//! Which requests fare badly, and how: decided from the request and a count, without any I/O.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::request::Asked;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is forwarded after a while.
    Late(Duration),
    /// It never reaches the API server.
    Instead(Failure),
    /// It is carried out, but the client does not learn of it.
    After(Failure),
}

/// What a client sees instead of the API server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// An answer with this status: 409, 410, 429 (with `Retry-After: 1`), 500, 503, …
    Status(u16),
    /// For a watch: an answer whose only event says that the resource version is too old.
    Expired,
    /// No answer, ever.
    Silence,
    /// The connection is closed.
    Hangup,
}

/// What becomes of some requests. Counted and drawn lots for are those that match.
#[derive(Debug, Clone)]
pub struct Rule {
    verbs: Vec<&'static str>,
    resource: Option<&'static str>,
    subresource: Option<&'static str>,
    namespace: Option<String>,
    name: Option<String>,
    occasion: Occasion,
    effect: Effect,
}

/// When a rule strikes.
#[derive(Debug, Clone)]
enum Occasion {
    Always,
    First(usize),
    Every(usize),
    /// With this probability.
    Chance(f64, fastrand::Rng),
}

impl Rule {
    /// All requests.
    #[must_use]
    pub fn new(effect: Effect) -> Self {
        Self {
            verbs: Vec::new(),
            resource: None,
            subresource: None,
            namespace: None,
            name: None,
            occasion: Occasion::Always,
            effect,
        }
    }

    /// Only those with one of these verbs.
    #[must_use]
    pub fn verbs(self, verbs: &[&'static str]) -> Self {
        Self { verbs: verbs.to_vec(), ..self }
    }

    /// Only those for this resource, such as `pods`.
    #[must_use]
    pub fn resource(self, resource: &'static str) -> Self {
        Self { resource: Some(resource), ..self }
    }

    /// Only those for this subresource, such as `status`; empty: for none.
    #[must_use]
    pub fn subresource(self, subresource: &'static str) -> Self {
        Self { subresource: Some(subresource), ..self }
    }

    /// Only those in this namespace.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self }
    }

    /// Only those for the object of this name.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Only the first so many.
    #[must_use]
    pub fn first(self, count: usize) -> Self {
        Self { occasion: Occasion::First(count), ..self }
    }

    /// Only the first of each so many.
    #[must_use]
    pub fn every(self, count: usize) -> Self {
        Self { occasion: Occasion::Every(count), ..self }
    }

    /// Only some, by lots that are the same for the same seed.
    #[must_use]
    pub fn chance(self, probability: f64, seed: u64) -> Self {
        Self { occasion: Occasion::Chance(probability, fastrand::Rng::with_seed(seed)), ..self }
    }

    fn matches(&self, asked: &Asked) -> bool {
        let is = |wanted: Option<&str>, seen: &str| wanted.is_none_or(|wanted| wanted == seen);
        (self.verbs.is_empty() || self.verbs.contains(&asked.verb))
            && is(self.resource, &asked.resource)
            && is(self.subresource, &asked.subresource)
            && is(self.namespace.as_deref(), &asked.namespace)
            && is(self.name.as_deref(), &asked.name)
    }

    /// Whether it strikes a request that matches after `earlier` others.
    fn strikes(&mut self, earlier: usize) -> bool {
        match &mut self.occasion {
            Occasion::Always => true,
            Occasion::First(count) => earlier < *count,
            Occasion::Every(count) => earlier.is_multiple_of(*count),
            Occasion::Chance(probability, lots) => lots.f64() < *probability,
        }
    }
}

/// The rules in force.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules(Arc<Mutex<Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    rule: Rule,
    matched: usize,
    struck: Arc<AtomicUsize>,
}

/// A rule in force; dropping this ends it.
#[derive(Debug)]
#[must_use = "dropping it ends the rule"]
pub struct InForce {
    rules: Rules,
    struck: Arc<AtomicUsize>,
}

impl InForce {
    /// How many requests it has struck.
    #[must_use]
    pub fn struck(&self) -> usize {
        self.struck.load(Ordering::SeqCst)
    }
}

impl Drop for InForce {
    fn drop(&mut self) {
        self.rules.with(|all| all.retain(|entry| !Arc::ptr_eq(&entry.struck, &self.struck)));
    }
}

impl Rules {
    pub(super) fn add(&self, rule: Rule) -> InForce {
        let struck = Arc::new(AtomicUsize::new(0));
        let entry = Entry { rule, matched: 0, struck: Arc::clone(&struck) };
        self.with(|all| all.push(entry));
        InForce { rules: self.clone(), struck }
    }

    /// What becomes of a request: what the first rule says that strikes it.
    pub(super) fn effect(&self, asked: &Asked) -> Option<Effect> {
        self.with(|all| {
            all.iter_mut().filter(|entry| entry.rule.matches(asked)).find_map(|entry| {
                let earlier = entry.matched;
                entry.matched += 1;
                entry.rule.strikes(earlier).then(|| {
                    entry.struck.fetch_add(1, Ordering::SeqCst);
                    entry.rule.effect
                })
            })
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: Effect = Effect::Instead(Failure::Status(503));

    fn status_update() -> Asked {
        Asked {
            verb: "update",
            resource: "sets".to_owned(),
            subresource: "status".to_owned(),
            namespace: "n".to_owned(),
            name: "s".to_owned(),
        }
    }

    #[test]
    fn a_rule_is_about_what_it_names() {
        let any = || Rule::new(REFUSED);
        for (rule, matches) in [
            (any(), true),
            (any().verbs(&["create", "update"]), true),
            (any().verbs(&["create"]), false),
            (any().resource("sets"), true),
            (any().resource("pods"), false),
            (any().subresource("status"), true),
            (any().subresource(""), false),
            (any().namespace("n"), true),
            (any().namespace("m"), false),
            (any().name("s"), true),
            (any().name("t"), false),
            (any().resource("sets").namespace("n").name("t"), false),
        ] {
            assert_eq!(rule.matches(&status_update()), matches, "{rule:?}");
        }
    }

    /// Which of the first six requests a rule strikes.
    fn struck(rule: Rule) -> Vec<usize> {
        let rules = Rules::default();
        let in_force = rules.add(rule);
        let struck: Vec<_> = (0..6).filter(|_| rules.effect(&status_update()).is_some()).collect();
        assert_eq!(in_force.struck(), struck.len());
        struck
    }

    #[test]
    fn a_rule_strikes_on_its_occasions() {
        let rule = || Rule::new(REFUSED);
        assert_eq!(struck(rule()), [0, 1, 2, 3, 4, 5]);
        assert_eq!(struck(rule().first(2)), [0, 1]);
        assert_eq!(struck(rule().every(3)), [0, 3]);
        assert_eq!(struck(rule().chance(0.0, 1)), [] as [usize; 0]);
        assert_eq!(struck(rule().chance(1.0, 1)), [0, 1, 2, 3, 4, 5]);
        assert_eq!(struck(rule().chance(0.5, 7)), struck(rule().chance(0.5, 7)));
    }

    #[test]
    fn the_first_rule_that_strikes_decides_and_a_rule_ends_with_its_guard() {
        let rules = Rules::default();
        let first = rules.add(Rule::new(REFUSED).first(1));
        let second = rules.add(Rule::new(Effect::After(Failure::Hangup)));
        let effects: Vec<_> = (0..2).map(|_| rules.effect(&status_update())).collect();
        assert_eq!(effects, [Some(REFUSED), Some(Effect::After(Failure::Hangup))]);
        assert_eq!((first.struck(), second.struck()), (1, 1));
        drop(second);
        assert_eq!(rules.effect(&status_update()), None);
        drop(first);
        assert_eq!(rules.effect(&status_update()), None);
    }
}
