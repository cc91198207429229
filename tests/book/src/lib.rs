//! The guide: the pages of `docs/` as a book in HTML.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lws_documentation::{Page, repository};
use mdbook_driver::MDBook;
use mdbook_driver::book::Chapter;

/// The pages, from the repository on.
const PAGES: &str = "docs";

/// Where files of the repository that pages lead to are in the book.
const FILES: &str = "repository";

/// Writes the book; `destination` holds nothing else afterwards.
///
/// Links to files outside `docs/` lead to copies of them, so that the book is complete.
pub fn build(destination: &Path) -> Result<()> {
    let destination = std::path::absolute(destination)?;
    let mut book = MDBook::load(repository().join(PAGES))?;
    book.config.build.build_dir.clone_from(&destination);
    let mut files = BTreeSet::new();
    book.book.for_each_chapter_mut(|chapter| files.append(&mut lead_to_copies(chapter)));
    book.build()?;
    files.iter().try_for_each(|file| copy(file, &destination))
}

/// Has the links of a chapter to files outside `docs/` lead to their copies; gives the files.
fn lead_to_copies(chapter: &mut Chapter) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let Some(path) = chapter.path.clone() else { return files };
    let page = Page::of(&Path::new(PAGES).join(&path), &chapter.content);
    let up = "../".repeat(path.components().count().saturating_sub(1));
    for link in &page.links {
        let Some(file) = page.file(link) else { continue };
        if !file.starts_with(PAGES) && repository().join(&file).is_file() {
            let copy = format!("]({up}{})", copy_of(&file).display());
            chapter.content = chapter.content.replace(&format!("]({})", link.target), &copy);
            files.insert(file);
        }
    }
    files
}

/// Where the copy of a file is: a text, which browsers show rather than download.
fn copy_of(file: &Path) -> PathBuf {
    Path::new(FILES).join(file).with_extension("txt")
}

fn copy(file: &Path, destination: &Path) -> Result<()> {
    let to = destination.join(copy_of(file));
    fs::create_dir_all(to.parent().context("a file has a folder")?)?;
    fs::copy(repository().join(file), &to).with_context(|| format!("copy {}", file.display()))?;
    Ok(())
}
