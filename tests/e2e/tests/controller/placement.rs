//! Changes of the annotations that place groups.

use anyhow::Result;
use lws_api_types::keys::annotations::EXCLUSIVE_TOPOLOGY;
use lws_e2e::{Fixture, TestSet};

use crate::settle;

async fn place(set: &TestSet, topology: Option<&str>) -> Result<()> {
    set.update(|it| {
        let annotations = it.metadata.annotations.get_or_insert_default();
        let value = topology.map(str::to_owned);
        match value {
            Some(value) => drop(annotations.insert(EXCLUSIVE_TOPOLOGY.to_owned(), value)),
            None => drop(annotations.remove(EXCLUSIVE_TOPOLOGY)),
        }
    })
    .await
}

async fn is_updated_from_the_top(set: &TestSet) -> Result<()> {
    set.expect("rolling p3 r4 (4/0)").await?;
    for group in [3, 2, 1] {
        set.ready(&[group]).await?;
        set.expect(&format!("rolling p{} r4 (4/{})", group - 1, 4 - group)).await?;
    }
    set.ready(&[0]).await?;
    set.expect("available p0 r4 (4/4)").await?;
    set.expect_revisions(1).await
}

#[tokio::test]
async fn a_domain_that_is_given_changed_or_taken_is_an_update() -> Result<()> {
    let set = settle(Fixture::default().replicas(4).size(1)).await?;
    for topology in [Some("zone"), None, Some("rack"), Some("zone")] {
        place(&set, topology).await?;
        is_updated_from_the_top(&set).await?;
        if topology.is_none() {
            // With the key of the content, as if there never had been a domain.
            set.done(4).await?;
        }
    }
    let events = set.namespace().events().await?;
    let told = events.iter().filter(|it| it.ends_with("GroupsUpdating: Updating replica 3"));
    anyhow::ensure!(told.count() == 4, "{events:#?}");
    Ok(())
}

#[tokio::test]
async fn groups_that_have_not_left_their_domain_count_as_updated_when_it_is_given_back()
-> Result<()> {
    let fixture = Fixture::default().replicas(4).size(1).annotation(EXCLUSIVE_TOPOLOGY, "zone");
    let set = settle(fixture).await?;
    set.done(4).await?;
    place(&set, None).await?;
    set.expect("rolling p3 r4 (4/0)").await?;
    set.ready(&[3]).await?;
    set.expect("rolling p2 r4 (4/1)").await?;
    place(&set, Some("zone")).await?;
    set.expect("rolling p3 r4 (4/3)").await?;
    set.ready(&[3]).await?;
    set.done(4).await?;
    set.expect_revisions(1).await
}
