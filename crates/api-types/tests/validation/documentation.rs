//! What users read is in `docs/admission.md`, where they search for it.

use lws_api_types::validation::Violation;
use lws_documentation::{cells, messages, says, section};

const TEXT: &str = include_str!("../../../../docs/admission.md");

/// The rows of the tables of a section, by cell.
fn rows(heading: &str) -> impl Iterator<Item = Vec<&'static str>> {
    section(TEXT, heading).unwrap().lines().filter_map(cells)
}

/// Fails unless there is a row for `warning`. What comes of a refused template says nothing.
pub(crate) fn check_warning(warning: &str) {
    let known = rows("Sets: warnings").any(|cells| {
        messages(cells[1]).any(|it| !it.starts_with("Kubernetes will refuse") && says(warning, it))
    });
    assert!(known, "{warning}");
}

/// Fails unless a row for the rule has the text of `violation`.
pub(crate) fn check_violation(violation: &Violation) {
    let (rule, text) = (format!("`{}`", violation.rule.name()), violation.to_string());
    let known = rows("Sets: rejections").any(|cells| {
        let [_, message, rules, ..] = cells[..] else { return false };
        let texts_of_kubernetes = message.contains("texts of Kubernetes");
        rules.contains(&rule)
            && (texts_of_kubernetes || messages(message).any(|it| says(&text, it)))
    });
    assert!(known, "{rule}: {text}");
}
