//! Rotations as API servers and replicas of the webhook live through them: both learn late of what
//! is written, writes fail, the controller restarts, and the Secret gets lost. What a replica
//! serves must be trusted by every API server at every second.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

const LEAD: SignedDuration = SignedDuration::from_hours(1);
const SECONDS: u64 = 400;

/// A new authority after 170 s, a new serving certificate after 110 s.
const SCHEDULE: Schedule = Schedule {
    authority_lifetime: LEAD.saturating_add(SignedDuration::from_secs(170)),
    serving_lifetime: LEAD.saturating_add(SignedDuration::from_secs(110)),
    renew_before: LEAD,
    propagation: Duration::from_secs(5),
    retirement: Duration::from_secs(40),
};

/// What was written when, the latest last.
struct History<T>(Vec<(u64, T)>);

impl<T> History<T> {
    fn latest(&self) -> &T {
        &self.0.last().unwrap().1
    }

    /// What somebody knows who learns of everything `lag` seconds late.
    fn known(&self, now: u64, lag: u64) -> &T {
        let known = self.0.iter().rfind(|(written, _)| written + lag <= now);
        &known.unwrap_or(&self.0[0]).1
    }
}

#[derive(Clone, Debug)]
struct Course {
    api_server_lags: [u64; 2],
    replica_lags: [u64; 2],
    /// When the controller restarts.
    restarts: Vec<u64>,
    /// When the Secret is emptied.
    loss: u64,
    /// Which writes fail, one after the other, over and over.
    fails: Vec<bool>,
}

struct Simulation {
    course: Course,
    settings: Settings,
    stored: History<Stored>,
    entries: [History<Bundle>; 2],
    seen: Seen,
    /// What each replica has loaded last.
    serves: [Pair; 2],
    writes: usize,
    /// Pairs and bundles that were found to fit: certificates last longer than the simulation.
    fitting: Vec<(Pair, Bundle)>,
    begin: (Timestamp, Instant),
}

impl Simulation {
    fn new(course: Course) -> Self {
        let [namespace, secret, service] = ["here", "certificate", "webhook"].map(str::to_owned);
        let mut settings = Settings::new(namespace, secret, service).unwrap();
        settings.schedule = SCHEDULE;
        let begin = (Timestamp::now(), Instant::now());
        let stored = carry_out(Change::Begin, Stored::default(), &settings, begin.0).unwrap();
        let trusted = Bundle::from_pem(&stored.authority.certificate_pem);
        Self {
            serves: [stored.serving.clone(), stored.serving.clone()],
            entries: [trusted.clone(), trusted].map(|it| History(vec![(0, it)])),
            stored: History(vec![(0, stored)]),
            seen: Seen::default(),
            writes: 0,
            fitting: Vec::new(),
            course,
            settings,
            begin,
        }
    }

    fn moment(&self, second: u64) -> Moment {
        let passed = Duration::from_secs(second);
        Moment { wall: self.begin.0 + passed, steady: self.begin.1 + passed }
    }

    fn fails(&mut self) -> bool {
        self.writes += 1;
        self.course.fails[self.writes % self.course.fails.len()]
    }

    /// One look of the controller; gives when the next one is due.
    fn look(&mut self, second: u64) -> u64 {
        let now = self.moment(second);
        let stored = self.stored.latest().clone();
        let entries = [0, 1].map(|it| self.entries[it].latest().clone());
        self.seen.note(&stored, &entries, now.steady);
        let plan = plan(&stored, &entries, &self.seen, &self.settings, now);
        let mut in_order = true;
        for (place, present) in entries.iter().enumerate() {
            let wanted = plan.bundle(present, now.wall);
            if wanted != *present {
                in_order = false;
                if !self.fails() {
                    self.entries[place].0.push((second, wanted));
                }
            }
        }
        if let Some((change, _)) = plan.change {
            in_order = false;
            if !self.fails() {
                let stored = carry_out(change, stored, &self.settings, now.wall).unwrap();
                self.stored.0.push((second, stored));
            }
        }
        second + if in_order { plan.look_again.as_secs() + 1 } else { 1 }
    }

    /// Fails unless every API server accepts every replica.
    fn check(&mut self, second: u64) {
        let now = self.moment(second).wall;
        for (replica, lag) in self.course.replica_lags.into_iter().enumerate() {
            let known = &self.stored.known(second, lag).serving;
            // What is not a pair is not loaded.
            if *known != Pair::default() {
                self.serves[replica] = known.clone();
            }
            for lag in self.course.api_server_lags {
                for entry in &self.entries {
                    let (served, trusted) = (&self.serves[replica], entry.known(second, lag));
                    if self.fitting.iter().any(|it| it.0 == *served && it.1 == *trusted) {
                        continue;
                    }
                    let name = std::slice::from_ref(&self.settings.server_name);
                    if let Err(error) = verify::serving(served, &trusted.to_pem(), name, now) {
                        panic!("second {second}, replica {replica}: {error}: {:?}", self.course);
                    }
                    self.fitting.push((served.clone(), trusted.clone()));
                }
            }
        }
    }
}

/// One API server and one replica are as late as is allowed, and one replica is never late.
fn course() -> impl Strategy<Value = Course> {
    let restarts = prop::collection::vec(0..SECONDS, 0..5);
    let fails = prop::collection::vec(prop::bool::weighted(0.3), 7);
    (0..=4_u64, restarts, 50..SECONDS - 50, fails).prop_map(|(lag, restarts, loss, mut fails)| {
        // Some succeed.
        fails.push(false);
        Course { api_server_lags: [lag, 4], replica_lags: [0, 39], restarts, loss, fails }
    })
}

proptest! {
    // Each makes a dozen keys.
    #![proptest_config(ProptestConfig {
        cases: 2,
        max_shrink_iters: 8,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_served_is_trusted_at_every_second(course in course()) {
        let mut simulation = Simulation::new(course.clone());
        let mut next = 0;
        for second in 0..SECONDS {
            if course.restarts.contains(&second) {
                simulation.seen = Seen::default();
                next = second;
            }
            if course.loss == second {
                simulation.stored.0.push((second, Stored::default()));
                next = second;
            }
            if second >= next {
                next = simulation.look(second);
            }
            simulation.check(second);
        }
        // It was not for want of changes.
        let written = |it: &(u64, Stored)| it.1.authority.certificate_pem.clone();
        let mut authorities: Vec<String> = simulation.stored.0.iter().map(written).collect();
        authorities.dedup();
        prop_assert!(authorities.len() >= 3, "{} authorities", authorities.len());
    }
}
