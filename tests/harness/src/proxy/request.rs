//! What a request to the API server asks for, read from its method and URL as the server itself does.

use http::{Method, Uri};

/// Subresources of a namespace, which look like resources in it.
const OF_NAMESPACES: [&str; 2] = ["finalize", "status"];

/// What a request asks for; empty where it names nothing of the kind, or is for no resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: &'static str,
    /// The plural, such as `pods`.
    pub resource: String,
    /// Such as `status`.
    pub subresource: String,
    /// The namespace of the object.
    pub namespace: String,
    /// The object.
    pub name: String,
}

impl Asked {
    /// Reads a request line.
    #[must_use]
    pub fn parse(method: &Method, uri: &Uri) -> Self {
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        // `/api/<version>/…` or `/apis/<group>/<version>/…`
        let prefix = match parts.next() {
            Some("api") => 1,
            Some("apis") => 2,
            _ => return Self::default(),
        };
        let mut rest: Vec<&str> = parts.skip(prefix).collect();
        let mut asked = Self::default();
        if let ["namespaces", namespace, resource, ..] = rest[..]
            && !OF_NAMESPACES.contains(&resource)
        {
            namespace.clone_into(&mut asked.namespace);
            rest.drain(..2);
        }
        let mut rest = rest.into_iter().map(str::to_owned);
        asked.resource = rest.next().unwrap_or_default();
        asked.name = rest.next().unwrap_or_default();
        asked.subresource = rest.next().unwrap_or_default();
        if !asked.resource.is_empty() {
            asked.verb = verb(method, &asked.name, uri.query().unwrap_or_default());
        }
        asked
    }

    /// Whether its answer is a stream of changes.
    #[must_use]
    pub fn is_watch(&self) -> bool {
        self.verb == "watch"
    }
}

fn verb(method: &Method, name: &str, query: &str) -> &'static str {
    let is_watch = || query.split('&').any(|it| matches!(it, "watch=true" | "watch=1" | "watch"));
    match (method.as_str(), name.is_empty()) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        (_, true) if is_watch() => "watch",
        (_, true) => "list",
        (_, false) => "get",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(method: &str, uri: &str) -> [String; 5] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let Asked { verb, resource, subresource, namespace, name } =
            Asked::parse(&method, &uri.parse().unwrap());
        [verb.to_owned(), resource, subresource, namespace, name]
    }

    #[test]
    fn requests_are_read_as_the_server_reads_them() {
        for (method, uri, expected) in [
            ("GET", "/api/v1/namespaces/n/pods/p", ["get", "pods", "", "n", "p"]),
            ("GET", "/api/v1/pods?labelSelector=a", ["list", "pods", "", "", ""]),
            ("GET", "/api/v1/pods?a=b&watch=true", ["watch", "pods", "", "", ""]),
            ("GET", "/api/v1/namespaces", ["list", "namespaces", "", "", ""]),
            ("GET", "/api/v1/namespaces/n", ["get", "namespaces", "", "", "n"]),
            ("PUT", "/api/v1/namespaces/n/status", ["update", "namespaces", "status", "", "n"]),
            (
                "POST",
                "/apis/apps/v1/namespaces/n/statefulsets",
                ["create", "statefulsets", "", "n", ""],
            ),
            (
                "PUT",
                "/apis/g.x/v1/namespaces/n/sets/s/status",
                ["update", "sets", "status", "n", "s"],
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/n/statefulsets/s?force=true",
                ["patch", "statefulsets", "", "n", "s"],
            ),
            ("DELETE", "/api/v1/namespaces/n/pods/p", ["delete", "pods", "", "n", "p"]),
            ("DELETE", "/api/v1/namespaces/n/pods", ["deletecollection", "pods", "", "n", ""]),
            ("GET", "/readyz", ["", "", "", "", ""]),
            ("GET", "/apis/apps/v1", ["", "", "", "", ""]),
        ] {
            assert_eq!(parsed(method, uri), expected, "{method} {uri}");
        }
    }
}
