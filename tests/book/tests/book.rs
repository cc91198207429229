//! The book can be built, has all pages, and no link of it leads nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use lws_documentation::{pages, repository};
use tracing::Level;
use tracing::subscriber::with_default;
use tracing_subscriber::fmt;

/// Every link of the pages as they are in the repository, where people read them too.
#[test]
fn links_of_pages_lead_to_files_and_headings() -> Result<()> {
    let pages = pages()?;
    let anchors: BTreeMap<_, _> = pages.iter().map(|it| (it.path.clone(), &it.anchors)).collect();
    let mut broken = Vec::new();
    let mut checked = 0;
    for page in &pages {
        for link in &page.links {
            let Some(file) = page.file(link) else { continue };
            checked += 1;
            let leads = match (link.anchor(), anchors.get(&file)) {
                (Some(anchor), Some(anchors)) => anchors.contains(anchor),
                (Some(_), None) => false,
                (None, _) => repository().join(&file).exists(),
            };
            if !leads {
                broken.push(format!("{} leads to {}", page.place(link.line), link.target));
            }
        }
    }
    ensure!(broken.is_empty(), "{broken:#?}");
    ensure!(checked > 100, "only {checked} links are found");
    Ok(())
}

#[test]
fn the_book_has_all_pages_and_no_link_that_leads_nowhere() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let log = tempfile::NamedTempFile::new()?;
    let told = fmt()
        .with_ansi(false)
        .with_max_level(Level::WARN)
        .with_writer(Arc::new(log.reopen()?))
        .finish();
    with_default(told, || lws_book::build(directory.path()))?;
    let complaints = fs::read_to_string(log.path())?;
    ensure!(complaints.is_empty(), "{complaints}");
    let mut files = BTreeMap::new();
    collect(directory.path(), Path::new(""), &mut files)?;

    for page in pages()? {
        let Ok(path) = page.path.strip_prefix("docs") else { continue };
        let rendered = files.get(&path.with_extension("html"));
        let is_page = path != Path::new("SUMMARY.md");
        ensure!(rendered.is_some() == is_page, "is {} in SUMMARY.md?", path.display());
        let left = rendered.is_some_and(|it| it.contains("{{#"));
        ensure!(!left, "{}: something is not included", path.display());
    }

    let mut broken = Vec::new();
    let html = files.iter().filter(|(path, _)| path.extension() == Some(OsStr::new("html")));
    for (path, text) in html {
        for target in values(text, "href").union(&values(text, "src")) {
            if !leads(&files, path, target).unwrap_or(false) {
                broken.push(format!("{} leads to {target}", path.display()));
            }
        }
    }
    ensure!(broken.is_empty(), "{broken:#?}");
    Ok(())
}

/// The files of the book, with the text of those in HTML.
fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, found)?;
        } else if path.extension() == Some(OsStr::new("html")) {
            found.insert(path, fs::read_to_string(entry.path())?);
        } else {
            found.insert(path, String::new());
        }
    }
    Ok(())
}

/// The values of an attribute.
fn values<'a>(html: &'a str, attribute: &str) -> BTreeSet<&'a str> {
    let begin = format!(" {attribute}=\"");
    html.split(&*begin).skip(1).filter_map(|it| it.split('"').next()).collect()
}

/// Whether a link in `page` leads somewhere.
fn leads(files: &BTreeMap<PathBuf, String>, page: &Path, target: &str) -> Result<bool> {
    if target.contains("://") {
        return Ok(true);
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let mut to = page.parent().context("a file has a folder")?.to_owned();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(to.pop()),
            _ => to.push(part),
        }
    }
    let to = if path.is_empty() { page.to_owned() } else { to };
    let Some(text) = files.get(&to) else { return Ok(false) };
    Ok(anchor.is_empty() || values(text, "id").contains(anchor))
}
