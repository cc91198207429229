//! The seeds of the fuzz targets: each to its target, whole and with every kind of damage; those of
//! reviews to every webhook.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test panics")]

use std::path::PathBuf;

use fastrand::Rng;
use lws_fuzz::admission::verify::Webhooks;
use lws_fuzz::damage::{damaged, mutated};
use lws_fuzz::targets;
use lws_webhook::hook::Hook;
use serde_json::{Value, json};

/// How often each target gets a mutated seed; `FUZZ_RUNS` in the environment says otherwise.
const RUNS: u64 = 500;

/// How many damages a long seed gets.
const DAMAGES: usize = 400;

const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");

fn files(directory: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(format!("{DIRECTORY}/{directory}")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// The files of the corpus of reviews, by name.
fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let paths = files("seeds/review").into_iter();
    let seeds: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    assert!(seeds.len() >= 70, "{} seeds", seeds.len());
    seeds
}

/// Every target is known here and has seeds.
#[test]
fn every_target_plays_its_seeds() {
    assert_eq!(files("targets").len(), targets::ALL.len());
    assert_eq!(files("seeds").len(), targets::ALL.len());
    for (name, target) in targets::ALL {
        let seeds = files(&format!("seeds/{name}"));
        assert!(seeds.len() >= 4, "{name}: {} seeds", seeds.len());
        for seed in seeds {
            target(&std::fs::read(seed).unwrap());
        }
    }
}

/// Those of reviews are damaged below.
#[test]
fn every_target_takes_damaged_seeds() {
    for (name, target) in targets::ALL.into_iter().filter(|(name, _)| *name != "review") {
        let mut played = 0;
        for seed in files(&format!("seeds/{name}")) {
            for damaged in damaged(&std::fs::read(seed).unwrap(), DAMAGES) {
                target(&damaged);
                played += 1;
            }
        }
        assert!(played >= 1000, "{name}: {played} damaged seeds");
    }
}

/// Seeds that are spoiled more and more, and mixed. A run is made again by its number alone.
#[test]
fn every_target_takes_mutated_seeds() {
    let runs = std::env::var("FUZZ_RUNS").map_or(RUNS, |it| it.parse().unwrap());
    for (name, target) in targets::ALL {
        let seeds = files(&format!("seeds/{name}")).into_iter();
        let seeds: Vec<_> = seeds.map(|seed| std::fs::read(seed).unwrap()).collect();
        for run in 0..runs {
            let input = mutated(&seeds, &mut Rng::with_seed(run));
            let played = std::panic::catch_unwind(|| target(&input));
            assert!(played.is_ok(), "run {run} of {name}: {:?}", String::from_utf8_lossy(&input));
        }
    }
}

/// Which pods and sets the corpus has: a fault in the seeds would make these tests say nothing.
#[test]
fn every_seed_is_answered() {
    let webhooks = [Webhooks::new(false), Webhooks::new(true)];
    let (mut patched, mut refused, mut warned) = (0, 0, 0);
    for (_, body) in seeds() {
        for (webhooks, hook) in webhooks.iter().flat_map(|it| Hook::ALL.map(|hook| (it, hook))) {
            let response = webhooks.verify(hook, &body);
            patched += u32::from(response.0["patch"].is_string());
            refused += u32::from(response.code() == Some(403));
            warned += u32::from(response.0["warnings"].is_array());
        }
    }
    assert!(patched > 60 && refused > 30 && warned >= 2, "{patched} {refused} {warned}");
}

/// A body that ends too early, and one with a byte that does not belong.
#[test]
fn damaged_seeds_are_answered() {
    let webhooks = Webhooks::new(true);
    for (_, body) in seeds() {
        for (number, end) in (0..body.len()).step_by(17).enumerate() {
            let hook = Hook::ALL[number % Hook::ALL.len()];
            // Without a body there is no review to answer.
            if end > 0 {
                webhooks.verify(hook, &body[..end]);
            }
            let mut changed = body.clone();
            changed[end] = b"\"{}[],:0\\\0\xff"[number % 11];
            webhooks.verify(hook, &changed);
        }
    }
}

/// The pointers of all values in `value`, which is at `pointer`.
fn pointers(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Every value of a review replaced by one of every other type.
#[test]
fn values_of_any_type_are_answered() {
    let webhooks = Webhooks::new(true);
    let others = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("0"),
        json!([]),
        json!([null]),
        json!({}),
        json!({"a": {"b": 1}}),
    ];
    let mut replaced = 0;
    for (path, body) in seeds() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let hook = match name {
            "pod-tpu" | "pod-env" | "pod-subgroups" | "pod-affinity-others" => Hook::MutatePod,
            "set-minimal" => Hook::MutateSet,
            "set-warnings" | "set-metadata" | "set-update-claims" => Hook::ValidateSet,
            _ => continue,
        };
        let review: Value = serde_json::from_slice(&body).unwrap();
        let mut places = Vec::new();
        pointers(&review, "", &mut places);
        for place in places {
            for other in &others {
                let mut review = review.clone();
                *review.pointer_mut(&place).unwrap() = other.clone();
                webhooks.verify(hook, review.to_string().as_bytes());
                replaced += 1;
            }
        }
    }
    assert!(replaced > 2000, "{replaced}");
}
