//! Names, label keys and label values as Kubernetes wants them. Each function gives what is wrong,
//! in Kubernetes' words; nothing when the text is fine.

const LABEL_LENGTH: usize = 63;
const SUBDOMAIN_LENGTH: usize = 253;

/// What is wrong with `name` as a DNS-1035 label (RFC 1035).
#[must_use]
pub fn dns_1035_label(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > LABEL_LENGTH {
        problems.push(format!("must be no more than {LABEL_LENGTH} characters"));
    }
    if !(name.starts_with(|first: char| first.is_ascii_lowercase()) && is_dns_label(name)) {
        problems.push(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
             with an alphabetic character, and end with an alphanumeric character (e.g. \
             'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        );
    }
    problems
}

/// As [`dns_1035_label`], for a name to which something will be appended: it may end in a dash.
pub(super) fn dns_1035_prefix(name: &str) -> Vec<String> {
    // Kubernetes puts an `a` in the place of the last two bytes.
    match name.strip_suffix('-').and_then(|rest| rest.get(..rest.len().checked_sub(1)?)) {
        Some(rest) => dns_1035_label(&format!("{rest}a")),
        None => dns_1035_label(name),
    }
}

/// What is wrong with `name` as a DNS-1123 label (RFC 1123).
pub(super) fn dns_1123_label(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > LABEL_LENGTH {
        problems.push(format!("must be no more than {LABEL_LENGTH} characters"));
    }
    if is_dns_label(name) {
    } else if is_dns_subdomain(name) {
        problems.push("must not contain dots".to_owned());
    } else {
        problems.push(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
             '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
             '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        );
    }
    problems
}

/// What is wrong with `key` as a label key, also called a qualified name: an optional DNS
/// subdomain and `/`, then a name.
#[must_use]
pub fn label_key(key: &str) -> Vec<String> {
    const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start \
        and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
        used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let mut problems = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!(
                "a valid label key {NAME} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            )];
        }
        Some(("", name)) => {
            problems.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            let wrong = dns_1123_subdomain(prefix);
            problems.extend(wrong.iter().map(|problem| format!("prefix part {problem}")));
            name
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_LENGTH {
        problems.push(format!("name part must be no more than {LABEL_LENGTH} bytes"));
    }
    if !is_label_text(name) {
        problems.push(format!("name part {NAME}"));
    }
    problems
}

/// What is wrong with `key` as the key of an annotation: it is a label key, but of any case.
pub(super) fn annotation_key(key: &str) -> Vec<String> {
    label_key(&key.to_lowercase())
}

/// What is wrong with `value` as a label value.
pub(super) fn label_value(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > LABEL_LENGTH {
        problems.push(format!("must be no more than {LABEL_LENGTH} bytes"));
    }
    if !(value.is_empty() || is_label_text(value)) {
        problems.push(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  \
             or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                .to_owned(),
        );
    }
    problems
}

/// What is wrong with `name` as a DNS-1123 subdomain (RFC 1123): labels separated by dots.
#[must_use]
pub fn dns_1123_subdomain(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > SUBDOMAIN_LENGTH {
        problems.push(format!("must be no more than {SUBDOMAIN_LENGTH} bytes"));
    }
    if !is_dns_subdomain(name) {
        problems.push(
            r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                .to_owned(),
        );
    }
    problems
}

fn is_dns_subdomain(name: &str) -> bool {
    name.split('.').all(is_dns_label)
}

fn is_dns_label(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    is_delimited(name, alphanumeric, |byte| byte == b'-')
}

fn is_label_text(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_alphanumeric();
    is_delimited(text, alphanumeric, |byte| matches!(byte, b'-' | b'_' | b'.'))
}

/// Whether `text` starts and ends with an `end` byte, with `end` and `inner` bytes between.
fn is_delimited(text: &str, end: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.into_iter().all(|byte| byte.is_some_and(|byte| end(*byte)))
        && bytes.iter().all(|byte| end(*byte) || inner(*byte))
}
