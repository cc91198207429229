//! The tables of a page, which tests compare with what the programs say.

/// The section of `text` under this heading; `None` when there is none.
#[must_use]
pub fn section<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let (_, section) = text.split_once(&format!("\n## {heading}\n"))?;
    section.split("\n## ").next()
}

/// The cells of a line that is a row of a table; `None` for any other line.
#[must_use]
pub fn cells(line: &str) -> Option<Vec<&str>> {
    Some(line.strip_prefix('|')?.split('|').map(str::trim).collect())
}

/// The messages in a cell. Double backticks delimit those that contain backticks.
pub fn messages(cell: &str) -> impl Iterator<Item = &str> {
    let delimiter = if cell.starts_with("``") { "``" } else { "`" };
    cell.split(delimiter).skip(1).step_by(2)
}

/// Whether `text` contains a documented message, in which `…` and `<…>` stand for anything.
#[must_use]
pub fn says(text: &str, message: &str) -> bool {
    let mut rest = text;
    message.split('…').flat_map(|it| it.split('<')).all(|piece| {
        let piece = piece.split_once('>').map_or(piece, |(_, piece)| piece);
        rest.split_once(piece).map(|(_, after)| rest = after).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn rows_are_found_in_their_section() {
        let text = "# T\n\n## A\n\n| x | `y` |\n\n## B\n\n| z |\n";
        let rows = |heading| -> Vec<_> {
            section(text, heading).into_iter().flat_map(str::lines).filter_map(cells).collect()
        };
        assert_eq!(rows("A"), [["x", "`y`", ""]]);
        assert_eq!(rows("B"), [["z", ""]]);
        assert_eq!(rows("C"), [[""; 0]; 0]);
    }
}
