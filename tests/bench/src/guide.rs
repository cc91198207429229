//! The parts of the guide that commands write: on a page, what is between the two comments of a command; beside it, pictures.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The directory of the guide, if it is to be written.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Guide {
    /// The directory of the guide whose pages get tables and pictures; without it they are only printed.
    #[arg(long = "guide")]
    directory: Option<PathBuf>,
}

impl Guide {
    /// Where a picture of this name belongs; `None` when none is to be drawn.
    pub(crate) fn picture(&self, file: &str) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join("images").join(file))
    }

    /// Puts the text between the comments of `command` on a page. Fails when the page lacks them.
    pub(crate) fn write(&self, page: &str, command: &str, text: &str) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        write(&directory.join(page), command, text)
    }
}

fn write(page: &Path, command: &str, text: &str) -> Result<()> {
    let old =
        std::fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let [begin, end] = comments(command);
    let new = with(&old, &begin, &end, text)
        .with_context(|| format!("{} lacks {begin:?} or {end:?}", page.display()))?;
    std::fs::write(page, new).with_context(|| format!("cannot write {}", page.display()))
}

/// The comments, in Markdown.
fn comments(command: &str) -> [String; 2] {
    [format!("<!-- {command} -->\n"), format!("<!-- end of {command} -->")]
}

fn with(page: &str, begin: &str, end: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_comments_changes() {
        let [begin, end] = comments("make x");
        let page = format!("before\n{begin}old\n{end}\nafter\n");
        let new = with(&page, &begin, &end, "new\n").unwrap();
        assert_eq!(new, format!("before\n{begin}\nnew\n\n{end}\nafter\n"));
        assert_eq!(with(&new, &begin, &end, "new").as_ref(), Some(&new), "once more");
        assert_eq!(with("before\nafter\n", &begin, &end, "new"), None);
        assert_eq!(with(&begin, &begin, &end, "new"), None);
    }
}
