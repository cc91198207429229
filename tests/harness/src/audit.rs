//! The API server's audit log: which requests were made, by whom, to what.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;

use crate::{Error, Result};

/// A moment in the log. Everything that was answered before it lies before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

impl Mark {
    /// The beginning of the log.
    pub const START: Self = Self(0);
}

/// What requests are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey {
    /// The user name, such as `system:serviceaccount:lws-system:lws-controller-manager`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for other paths the HTTP method.
    pub verb: String,
    /// The plural, such as `pods`; empty for paths that are no resource.
    pub resource: String,
    /// Such as `status`; empty for the resource itself.
    pub subresource: String,
    /// Empty for objects without a namespace.
    pub namespace: String,
}

/// One request that was answered. A watch counts when it begins.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    /// Who did what kind of thing to what kind of object.
    pub key: RequestKey,
    /// The object's name; empty for lists, watches and names the server chose.
    pub name: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The HTTP status.
    pub code: u16,
    /// What the client calls itself.
    pub user_agent: String,
    /// The path with the query.
    pub uri: String,
    /// When it came in.
    pub received: Timestamp,
    /// When it was answered.
    pub answered: Timestamp,
}

/// Reads the audit log of a cluster.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The present end of the log.
    pub fn mark(&self) -> Result<Mark> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(Mark(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Mark::START),
            Err(error) => Err(Error::file("read", &self.path)(error)),
        }
    }

    /// All requests since `mark`, in the order in which they were answered. Fails when the log ends before the mark.
    pub fn since(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&self.path).and_then(|mut file| {
            if file.metadata()?.len() < mark.0 {
                return Err(std::io::Error::other("it was begun anew since it was marked"));
            }
            file.seek(SeekFrom::Start(mark.0.saturating_sub(1)))?;
            file.read_to_end(&mut bytes)
        });
        read.map_err(Error::file("read", &self.path))?;
        // The last line may be half written, and may have been when the log was marked: that one was answered before.
        let is_end = |byte: &u8| *byte == b'\n';
        let begin = match mark {
            Mark::START => 0,
            _ => bytes.iter().position(is_end).map_or(bytes.len(), |end| end + 1),
        };
        let end = bytes.iter().rposition(is_end).unwrap_or_default();
        let complete = String::from_utf8_lossy(bytes.get(begin..end).unwrap_or_default());
        let events: Vec<Option<AuditEvent>> = complete.lines().map(parse).collect::<Result<_>>()?;
        Ok(events.into_iter().flatten().collect())
    }

    /// How many requests of each kind there were since `mark`.
    pub fn counts_since(&self, mark: Mark) -> Result<BTreeMap<RequestKey, usize>> {
        let mut counts = BTreeMap::new();
        for event in self.since(mark)? {
            *counts.entry(event.key).or_default() += 1;
        }
        Ok(counts)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

#[derive(Deserialize, Default)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

/// The request a line is about, unless another line is: a watch has one at its begin and one at its end.
fn parse(text: &str) -> Result<Option<AuditEvent>> {
    let line: Line = serde_json::from_str(text)
        .map_err(|source| Error::AuditEvent { line: text.to_owned(), source })?;
    let counted = if line.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if line.stage != counted {
        return Ok(None);
    }
    let object = line.object_ref;
    Ok(Some(AuditEvent {
        key: RequestKey {
            user: line.user.username,
            verb: line.verb,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
        },
        name: object.name,
        group: object.api_group,
        code: line.response_status.code,
        user_agent: line.user_agent,
        uri: line.request_uri,
        received: line.request_received_timestamp,
        answered: line.stage_timestamp,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_begun_anew_is_no_silence() {
        let directory = tempfile::tempdir().unwrap();
        let log = AuditLog::new(directory.path().join("audit.log"));
        std::fs::write(&log.path, "{}\n".repeat(3)).unwrap();
        let mark = log.mark().unwrap();
        assert!(log.since(mark).unwrap().is_empty());
        std::fs::write(&log.path, "").unwrap();
        assert!(matches!(log.since(mark), Err(Error::File { operation: "read", .. })));
    }

    #[test]
    fn what_was_half_written_at_a_mark_lies_before_it() {
        let line = |verb: &str| {
            let times = r#""requestReceivedTimestamp":"2026-01-01T00:00:00Z","stageTimestamp":"2026-01-01T00:00:00Z""#;
            format!(
                r#"{{"stage":"ResponseComplete",{times},"requestURI":"/","verb":"{verb}","user":{{}}}}"#
            )
        };
        let directory = tempfile::tempdir().unwrap();
        let log = AuditLog::new(directory.path().join("audit.log"));
        let [one, two, three] = ["get", "list", "create"].map(line);
        let verbs = |mark| -> Vec<String> {
            log.since(mark).unwrap().into_iter().map(|it| it.key.verb).collect()
        };
        for written in ["", &one[..9], &one, &format!("{one}\n"), &format!("{one}\n{}", &two[..9])]
        {
            std::fs::write(&log.path, written).unwrap();
            let mark = log.mark().unwrap();
            std::fs::write(&log.path, format!("{one}\n{two}\n{three}\n{}", &one[..5])).unwrap();
            let expected: &[&str] = match written.len() {
                0 => &["get", "list", "create"],
                length if length <= one.len() + 1 => &["list", "create"],
                _ => &["create"],
            };
            assert_eq!(verbs(mark), expected, "{written}");
        }
    }
}
