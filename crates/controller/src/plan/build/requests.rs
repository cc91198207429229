//! What the scheduler reserves for pods, as Kubernetes computes it, from their templates.
//!
//! Where a pod asks for nothing and has a limit, the API server takes the limit for the request.
//! It does so when the pod is created; templates have to be read with that in mind.

use std::collections::BTreeMap;

use lws_api_types::pod_template::PodTemplate;
use lws_api_types::quantity::Quantity;
use serde_json::{Map, Value};

/// Amounts by resource name.
pub(super) type Resources = BTreeMap<String, Quantity>;

/// A request that cannot be added up: it is no quantity, or the sum has too many digits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the requests of {resource} cannot be added up: correct them in the pod templates")]
pub struct Unusable {
    resource: String,
}

/// What a group of one leader and `workers` workers needs.
pub(super) fn of_group(
    leader: &PodTemplate,
    worker: &PodTemplate,
    workers: i64,
) -> Result<Resources, Unusable> {
    let mut total = of_pod(leader)?;
    if workers == 0 {
        return Ok(total);
    }
    let mut all_workers = of_pod(worker)?;
    for (resource, amount) in &mut all_workers {
        *amount = amount.checked_mul(workers).ok_or_else(|| unusable(resource))?;
    }
    add(&mut total, &all_workers)?;
    Ok(total)
}

/// What one pod needs: its containers at the same time, or more while it starts; or what is said of
/// the pod as a whole; and what it costs to run a pod at all.
fn of_pod(template: &PodTemplate) -> Result<Resources, Unusable> {
    let none = Map::new();
    let spec = template.spec().unwrap_or(&none);
    let mut total = of_containers(spec)?;
    let whole = spec.get("resources");
    for (resource, limit) in amounts(whole, "limits")? {
        let is_missing = is_huge_pages(&resource) || !total.contains_key(&resource);
        if counts_for_whole_pods(&resource) && is_missing {
            total.insert(resource, limit);
        }
    }
    let requests = amounts(whole, "requests")?;
    total.extend(requests.into_iter().filter(|(resource, _)| counts_for_whole_pods(resource)));
    add(&mut total, &quantities(spec.get("overhead"))?)?;
    Ok(total)
}

/// The most that the containers need at any time. Init containers run one after the other, each
/// beside the sidecars that were started before it.
fn of_containers(spec: &Map<String, Value>) -> Result<Resources, Unusable> {
    let containers = |field| spec.get(field).and_then(Value::as_array).into_iter().flatten();
    let mut running = Resources::new();
    for container in containers("containers") {
        add(&mut running, &of_container(container)?)?;
    }
    let (mut sidecars, mut starting) = (Resources::new(), Resources::new());
    for container in containers("initContainers") {
        let mut needed = of_container(container)?;
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            add(&mut running, &needed)?;
            add(&mut sidecars, &needed)?;
            needed.clone_from(&sidecars);
        } else {
            add(&mut needed, &sidecars)?;
        }
        combine(&mut starting, &needed, Quantity::checked_max)?;
    }
    combine(&mut running, &starting, Quantity::checked_max)?;
    Ok(running)
}

fn of_container(container: &Value) -> Result<Resources, Unusable> {
    let resources = container.get("resources");
    let mut needed = amounts(resources, "limits")?;
    needed.extend(amounts(resources, "requests")?);
    Ok(needed)
}

/// Whether `resources` of a pod, beside those of its containers, may name this resource.
fn counts_for_whole_pods(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || is_huge_pages(resource)
}

fn is_huge_pages(resource: &str) -> bool {
    resource.starts_with("hugepages-")
}

/// `requests` or `limits` of `resources`.
fn amounts(resources: Option<&Value>, field: &str) -> Result<Resources, Unusable> {
    quantities(resources.and_then(|it| it.get(field)))
}

fn quantities(list: Option<&Value>) -> Result<Resources, Unusable> {
    let all = list.and_then(Value::as_object).into_iter().flatten();
    all.filter(|(_, amount)| !amount.is_null())
        .map(|(resource, amount)| {
            let amount = Quantity::from_json(amount).ok_or_else(|| unusable(resource))?;
            Ok((resource.clone(), amount))
        })
        .collect()
}

fn add(total: &mut Resources, more: &Resources) -> Result<(), Unusable> {
    combine(total, more, Quantity::checked_add)
}

fn combine(
    total: &mut Resources,
    more: &Resources,
    how: fn(Quantity, Quantity) -> Option<Quantity>,
) -> Result<(), Unusable> {
    for (resource, amount) in more {
        let combined = match total.get(resource) {
            Some(present) => how(*present, *amount).ok_or_else(|| unusable(resource))?,
            None => *amount,
        };
        total.insert(resource.clone(), combined);
    }
    Ok(())
}

fn unusable(resource: &str) -> Unusable {
    Unusable { resource: resource.to_owned() }
}

#[cfg(test)]
mod tests;
