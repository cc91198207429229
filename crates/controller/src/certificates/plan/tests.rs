//! Each step of a rotation, and each way in which the Secret or the bundles can be wrong.

use std::sync::LazyLock;

use jiff::SignedDuration;
use lws_certs::issue::{AUTHORITY_LIFETIME, SERVING_LIFETIME};

use super::*;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Made once: generating keys takes most of the time of these tests.
struct Fixture {
    settings: Settings,
    /// Authorities, each with a certificate that it has signed.
    first: Stored,
    second: Stored,
    third: Stored,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let [namespace, secret, service] = ["here", "certificate", "webhook"].map(str::to_owned);
    let settings = Settings::new(namespace, secret, service).unwrap();
    let begin = || carry_out(Change::Begin, Stored::default(), &settings, issued()).unwrap();
    let [first, second, third] = [begin(), begin(), begin()];
    Fixture { settings, first, second, third }
});

fn issued() -> Timestamp {
    "2026-03-04T05:06:07Z".parse().unwrap()
}

fn trust(stored: &[&Stored]) -> Bundle {
    let bundles = stored.iter().map(|it| Bundle::from_pem(&it.authority.certificate_pem));
    bundles.fold(Bundle::default(), |all, it| all.with(&it))
}

/// A state that has lasted for a while.
struct World {
    stored: Stored,
    entries: Vec<Bundle>,
    /// Days since the certificates were issued.
    day: i64,
    lasted: Duration,
}

impl World {
    fn new(stored: &Stored, entries: &[Bundle]) -> Self {
        Self { stored: stored.clone(), entries: entries.to_vec(), day: 0, lasted: Duration::MAX }
    }

    fn on_day(self, day: i64) -> Self {
        Self { day, ..self }
    }

    fn for_seconds(self, seconds: u64) -> Self {
        Self { lasted: Duration::from_secs(seconds), ..self }
    }

    fn now(&self) -> Timestamp {
        issued() + DAY * i32::try_from(self.day).unwrap()
    }

    fn plan(&self) -> Plan {
        let begin = Instant::now();
        let mut seen = Seen::default();
        seen.note(&self.stored, &self.entries, begin);
        let lasted = self.lasted.min(Duration::from_hours(24));
        let now = Moment { wall: self.now(), steady: begin + lasted };
        plan(&self.stored, &self.entries, &seen, &FIXTURE.settings, now)
    }

    /// The change, or how many seconds it has to wait, and whom each entry should trust.
    fn outcome(&self) -> (Result<Change, u64>, Vec<Bundle>) {
        let plan = self.plan();
        let bundles = self.entries.iter().map(|it| plan.bundle(it, self.now())).collect();
        let change = plan.change.map(|(change, _)| change);
        (change.ok_or(plan.look_again.as_secs()), bundles)
    }
}

const HALF_A_DAY: u64 = 12 * 60 * 60;

#[test]
fn what_is_in_order_stays() {
    let Fixture { first, .. } = &*FIXTURE;
    let trusted = [trust(&[first]), trust(&[first])];
    let world = World::new(first, &trusted);
    assert_eq!(world.outcome(), (Err(HALF_A_DAY), trusted.to_vec()));
    let world = World::new(first, &trusted).for_seconds(0);
    assert_eq!(world.outcome(), (Err(HALF_A_DAY), trusted.to_vec()));
    assert_eq!(World::new(first, &[]).outcome(), (Err(HALF_A_DAY), vec![]));
}

#[test]
fn a_new_installation_begins_at_once() {
    let Fixture { first, .. } = &*FIXTURE;
    let nobody = Bundle::default();
    let world = World::new(&Stored::default(), &[nobody.clone(), nobody.clone()]).for_seconds(0);
    assert_eq!(world.outcome(), (Ok(Change::Begin), vec![nobody.clone(), nobody.clone()]));
    let world = World::new(&Stored::default(), &[]).for_seconds(0);
    assert_eq!(world.outcome(), (Ok(Change::Begin), vec![]));
    // Then the entries are told.
    let world = World::new(first, &[nobody.clone(), nobody]).for_seconds(0);
    assert_eq!(world.outcome(), (Err(HALF_A_DAY), vec![trust(&[first]), trust(&[first])]));
}

#[test]
fn a_serving_certificate_is_renewed_90_days_before_its_end() {
    let Fixture { first, .. } = &*FIXTURE;
    let trusted = [trust(&[first])];
    let on = |day| World::new(first, &trusted).on_day(day).outcome();
    assert_eq!(on(274), (Err(HALF_A_DAY), trusted.to_vec()));
    let just_before = World::new(first, &trusted).on_day(275);
    assert_eq!(just_before.outcome(), (Err(1), trusted.to_vec()), "to the second");
    assert_eq!(on(276), (Ok(Change::RenewServing), trusted.to_vec()));
    let plan = World::new(first, &trusted).on_day(276).plan();
    assert_eq!(plan.change.unwrap().1, "tls.crt: due for renewal");
}

#[test]
fn an_authority_is_replaced_with_overlap() {
    let Fixture { settings, first, second, .. } = &*FIXTURE;
    // Near its end: a serving certificate that it signed 100 days before is about to end as well.
    let (aging, day) = (10 * 365 - 60, 10 * 365 - 60);
    let now = issued() + DAY * day;
    let late = now - DAY * 100;
    let stored = carry_out(Change::RenewServing, first.clone(), settings, late).unwrap();
    let old = trust(&[first]);
    let step = |stored: &Stored, entries: &[Bundle], seconds| {
        World::new(stored, entries).on_day(aging).for_seconds(seconds).outcome()
    };

    let entries = [old.clone(), old.clone()];
    assert_eq!(step(&stored, &entries, 0), (Ok(Change::PrepareAuthority), entries.to_vec()));

    let prepared = carry_out(Change::PrepareAuthority, stored, settings, now).unwrap();
    let next = Bundle::from_pem(&prepared.next.certificate_pem);
    assert_eq!(prepared.authority, first.authority, "the authority in use stays");
    let both = old.clone().with(&next);
    let wanted = vec![both.clone(), both.clone()];
    for seconds in [0, 3600] {
        let answer = step(&prepared, &entries, seconds);
        assert_eq!(answer, (Err(HALF_A_DAY), wanted.clone()), "nobody knows the next one yet");
        let one = [both.clone(), old.clone()];
        assert_eq!(step(&prepared, &one, seconds), (Err(HALF_A_DAY), wanted.clone()));
    }
    assert_eq!(step(&prepared, &wanted, 0), (Err(30), wanted.clone()));
    assert_eq!(step(&prepared, &wanted, 29), (Err(1), wanted.clone()));
    assert_eq!(step(&prepared, &wanted, 30), (Ok(Change::PromoteAuthority), wanted.clone()));

    let promoted = carry_out(Change::PromoteAuthority, prepared, settings, now).unwrap();
    assert_eq!(trust(&[&promoted]), next);
    assert_eq!(promoted.next, Pair::default());
    assert_eq!(step(&promoted, &wanted, 0), (Err(600), wanted.clone()));
    assert_eq!(step(&promoted, &wanted, 599), (Err(1), wanted.clone()));
    let alone = vec![next.clone(), next.clone()];
    assert_eq!(step(&promoted, &wanted, 600), (Err(HALF_A_DAY), alone.clone()));
    assert_eq!(step(&promoted, &alone, 600), (Err(HALF_A_DAY), alone));
    assert_ne!(trust(&[second]), next);
}

#[test]
fn damage_heals_without_cutting_off_who_is_served() {
    let Fixture { settings, first, second, .. } = &*FIXTURE;
    let old = trust(&[first]);
    let with = |change: &dyn Fn(&mut Stored)| {
        let mut stored = first.clone();
        change(&mut stored);
        stored
    };
    // What is wrong; the change; why; and whom the entries trust then, besides whom they did.
    for (stored, change, reason) in [
        (Stored::default(), Change::PrepareAuthority, "authority: no certificate in PEM form"),
        (
            with(&|it| it.authority.private_key_pem.clear()),
            Change::PrepareAuthority,
            "authority: private key is not PEM: there is none",
        ),
        (
            with(&|it| it.authority.private_key_pem = second.authority.private_key_pem.clone()),
            Change::PrepareAuthority,
            "authority: private key does not belong to the certificate",
        ),
        (
            with(&|it| it.authority = it.serving.clone()),
            Change::PrepareAuthority,
            "authority: certificate of CN=webhook.here.svc is not one of an authority",
        ),
        (
            with(&|it| it.serving.certificate_pem = "x".to_owned()),
            Change::RenewServing,
            "tls.crt: no certificate in PEM form",
        ),
        (
            with(&|it| it.serving.private_key_pem = second.serving.private_key_pem.clone()),
            Change::RenewServing,
            "tls.crt: private key does not belong to the certificate",
        ),
        (
            with(&|it| it.serving = second.serving.clone()),
            Change::RenewServing,
            "tls.crt: certificate is not signed by the authority",
        ),
    ] {
        let world = World::new(&stored, std::slice::from_ref(&old));
        let plan = world.plan();
        assert_eq!(plan.change, Some((change, reason.to_owned())));
        assert_eq!(plan.bundle(&old, issued()), old, "{reason}");
        let healed = carry_out(change, stored, settings, issued()).unwrap();
        let next = World::new(&healed, std::slice::from_ref(&old)).for_seconds(0).plan();
        assert!(next.bundle(&old, issued()).contains(&old), "{reason}");
    }
}

#[test]
fn names_count_too() {
    let Fixture { settings, first, .. } = &*FIXTURE;
    let [namespace, secret] = [&settings.namespace, &settings.secret].map(Clone::clone);
    let renamed = Settings::new(namespace, secret, "renamed".to_owned()).unwrap();
    let (seen, now) = (Seen::default(), Moment { wall: issued(), steady: Instant::now() });
    let plan = plan(first, &[], &seen, &renamed, now);
    let reason = "tls.crt: certificate is not for renamed.here.svc".to_owned();
    assert_eq!(plan.change, Some((Change::RenewServing, reason)));
}

#[test]
fn a_new_signer_waits_until_it_is_trusted() {
    let Fixture { first, second, third, .. } = &*FIXTURE;
    // A Secret from a backup: its authority is whole, but clients trust another one.
    let restored = Stored { serving: Pair::default(), ..first.clone() };
    let other = trust(&[second]);
    let both = trust(&[first, second]);
    let world = World::new(&restored, &[other]);
    assert_eq!(world.outcome(), (Err(HALF_A_DAY), vec![both.clone()]));
    let world = World::new(&restored, std::slice::from_ref(&both)).for_seconds(10);
    assert_eq!(world.outcome(), (Err(20), vec![both.clone()]));
    let world = World::new(&restored, std::slice::from_ref(&both)).for_seconds(30);
    assert_eq!(world.outcome(), (Ok(Change::RenewServing), vec![both.clone()]));

    // An authority that was prepared while the one in use was damaged.
    let repaired = Stored { next: third.authority.clone(), ..first.clone() };
    let entries = [trust(&[first, third])];
    let world = World::new(&repaired, &entries);
    assert_eq!(world.outcome(), (Ok(Change::DropPrepared), entries.to_vec()));
}

#[test]
fn what_has_expired_is_replaced_and_not_trusted() {
    let Fixture { first, second, .. } = &*FIXTURE;
    let after_all = 10 * 365 + 1;
    let world = World::new(first, &[trust(&[first, second])]).on_day(after_all);
    // Nobody whom the entries trust is valid, so nobody is cut off.
    assert_eq!(world.outcome().0, Ok(Change::Begin));

    let serving_only = World::new(first, &[trust(&[first])]).on_day(366);
    assert_eq!(serving_only.outcome(), (Ok(Change::RenewServing), vec![trust(&[first])]));
    let plan = World::new(first, &[]).on_day(366).plan();
    let reason =
        "tls.crt: certificate of CN=webhook.here.svc expired at 2027-03-04T05:06:07Z".to_owned();
    assert_eq!(plan.change, Some((Change::RenewServing, reason)));
}

#[test]
fn lifetimes_are_those_of_the_existing_implementation() {
    let stored = &FIXTURE.first;
    let end = |pair: &Pair| verify::expiry(&pair.certificate_pem).unwrap();
    assert_eq!(end(&stored.authority), issued() + AUTHORITY_LIFETIME);
    assert_eq!(end(&stored.serving), issued() + SERVING_LIFETIME);
}
