//! What users read is in `docs/admission.md`, where they search for it.

use lws_api_types::validation::Violation;

const TEXT: &str = include_str!("../../../../docs/admission.md");

/// The rows of the tables of a section, by cell.
fn rows(section: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let (_, section) = TEXT.split_once(&format!("\n## {section}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix('|'));
    rows.map(|row| row.split('|').map(str::trim).collect())
}

/// The messages in a cell. Double backticks delimit those that contain backticks.
fn messages(cell: &str) -> impl Iterator<Item = &str> {
    let delimiter = if cell.starts_with("``") { "``" } else { "`" };
    cell.split(delimiter).skip(1).step_by(2)
}

/// Whether `text` contains a documented message, in which `…` and `<…>` stand for anything.
fn says(text: &str, message: &str) -> bool {
    let mut rest = text;
    message.split('…').flat_map(|it| it.split('<')).all(|piece| {
        let piece = piece.split_once('>').map_or(piece, |(_, piece)| piece);
        rest.split_once(piece).map(|(_, after)| rest = after).is_some()
    })
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

#[test]
fn messages_are_compared_with_gaps() {
    for (text, message, expected) in [
        ("a: 5 is above 3, x: no", "<n> is above 3, …: no", true),
        ("a: has no effect", "has no effect", true),
        ("a: has no effect", "has no effect: …", false),
        ("no: above", "above …: no", false),
    ] {
        assert_eq!(says(text, message), expected, "{message}");
    }
    assert_eq!(messages("``a `b` c``").collect::<Vec<_>>(), ["a `b` c"]);
}
