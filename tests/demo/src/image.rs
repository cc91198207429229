//! The change that makes a rollout: another image.

use serde_json::{Value, json};

/// What is appended to a tag. Simulated nodes pull nothing, so the image need not exist.
const SUFFIX: &str = "next";

/// The longest tag that a registry accepts.
const TAG_LENGTH: usize = 128;

/// The JSON patch that gives the leader and the workers of `set` another image, and that image. `None` when its
/// templates have no containers.
pub(crate) fn change(set: &Value) -> Option<(Value, String)> {
    let paths = ["leaderTemplate", "workerTemplate"]
        .map(|template| format!("/spec/leaderWorkerTemplate/{template}/spec/containers/0/image"));
    let changes = paths.into_iter().filter_map(|path| {
        let image = next(set.pointer(&path)?.as_str()?);
        Some((json!({"op": "replace", "path": path, "value": image}), image))
    });
    let (operations, images): (Vec<_>, Vec<_>) = changes.unzip();
    Some((Value::Array(operations), images.into_iter().next_back()?))
}

/// Another image of the same repository.
fn next(image: &str) -> String {
    let (image, _digest) = image.split_once('@').unwrap_or((image, ""));
    // A colon before the last slash belongs to a port.
    match image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((repository, tag)) if tag.len() + SUFFIX.len() < TAG_LENGTH => {
            format!("{repository}:{tag}-{SUFFIX}")
        }
        Some((repository, _)) => format!("{repository}:{SUFFIX}"),
        None => format!("{image}:{SUFFIX}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_image_is_another_one_of_the_same_repository() {
        let long = format!("a:{}", "x".repeat(128));
        for (image, expected) in [
            ("nginx", "nginx:next"),
            ("nginx:1.27", "nginx:1.27-next"),
            ("nginx:1.27-next", "nginx:1.27-next-next"),
            ("example.test:5000/a/b", "example.test:5000/a/b:next"),
            ("example.test:5000/a/b:1", "example.test:5000/a/b:1-next"),
            ("a:1@sha256:00", "a:1-next"),
            (long.as_str(), "a:next"),
        ] {
            assert_eq!(next(image), expected);
        }
    }

    #[test]
    fn leaders_and_workers_change_together() {
        let template =
            |image: &str| json!({"spec": {"containers": [{"image": image}, {"image": "sidecar"}]}});
        let set = |templates: Value| json!({"spec": {"leaderWorkerTemplate": templates}});
        let operation = |template: &str, image: &str| {
            let path = format!("/spec/leaderWorkerTemplate/{template}/spec/containers/0/image");
            json!({"op": "replace", "path": path, "value": image})
        };
        let workers = operation("workerTemplate", "w:next");
        assert_eq!(
            change(&set(json!({"workerTemplate": template("w")}))),
            Some((json!([workers]), "w:next".to_owned()))
        );
        assert_eq!(
            change(&set(json!({"leaderTemplate": template("l"), "workerTemplate": template("w")}))),
            Some((json!([operation("leaderTemplate", "l:next"), workers]), "w:next".to_owned()))
        );
        assert_eq!(change(&set(json!({}))), None);
    }
}
