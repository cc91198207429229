//! The part of a page that this command writes: what is between two comments.

use std::path::Path;

use anyhow::{Context as _, Result};

/// The comments, in Markdown.
const BEGIN: &str = "<!-- make bench-scale -->\n";
const END: &str = "<!-- end of make bench-scale -->";

/// Puts the text between the comments of a page.
pub(super) fn write(page: &Path, text: &str) -> Result<()> {
    let old =
        std::fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let new = with(&old, text)
        .with_context(|| format!("{} lacks {BEGIN:?} or {END:?}", page.display()))?;
    std::fs::write(page, new).with_context(|| format!("cannot write {}", page.display()))
}

fn with(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n\n{END}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_comments_changes() {
        let page = format!("before\n{BEGIN}old\n{END}\nafter\n");
        let new = with(&page, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n\n{END}\nafter\n"));
        assert_eq!(with(&new, "new").as_ref(), Some(&new), "once more");
        assert_eq!(with("before\nafter\n", "new"), None);
        assert_eq!(with(BEGIN, "new"), None);
    }
}
