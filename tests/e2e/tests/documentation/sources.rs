//! Where the documentation shows manifests, and what each of them is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use lws_documentation::{Block, Page, pages, repository};
use serde_json::Value;

/// Where complete files are that pages include.
const SAMPLES: &str = "deploy/samples";

/// The group of the configuration file of both programs.
const CONFIGURATION: &str = "config.lws.x-k8s.io/v1alpha1";

/// The group of files for `kubectl kustomize`, which is no API of the cluster.
const KUSTOMIZATION: &str = "kustomize.config.k8s.io/v1beta1";

/// What a block of YAML is.
#[derive(Debug)]
pub(crate) enum Content {
    /// Complete objects.
    Objects(Manifest),
    /// A configuration file of the programs.
    Configuration(String),
    /// A file that is applied anyway.
    Included(PathBuf),
    /// A part of a file, marked as such.
    Fragment,
    /// A kustomization: those of the installation are built by other tests.
    Kustomization,
}

/// Objects to apply.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Where it stands.
    pub(crate) place: String,
    /// As it stands there.
    pub(crate) text: String,
    /// The objects.
    pub(crate) objects: Vec<Value>,
}

impl Manifest {
    fn of(place: String, text: &str) -> Result<Self> {
        let objects = documents(text).context(place.clone())?;
        Ok(Self { place, text: text.to_owned(), objects })
    }
}

/// The blocks of YAML of all pages, with their pages and lines.
pub(crate) fn blocks() -> Result<Vec<(PathBuf, Content)>> {
    let mut found = Vec::new();
    for page in pages()? {
        for block in &page.blocks {
            let place = page.place(block.line);
            if block.language == "yaml" {
                let content = content(&page, block).context(place)?;
                found.push((page.path.clone(), content));
            } else {
                let is_hidden = block.text.lines().any(|line| line.starts_with("apiVersion:"));
                ensure!(
                    !is_hidden,
                    "{place}: a manifest in a block that does not begin with ```yaml"
                );
            }
        }
    }
    Ok(found)
}

fn content(page: &Page, block: &Block) -> Result<Content> {
    if let Some(path) = block.included() {
        let folder = page.path.parent().context("a page is in a folder")?;
        return Ok(Content::Included(std::fs::canonicalize(repository().join(folder).join(path))?));
    }
    let documents = documents(&block.text)?;
    let is_complete = documents.iter().all(is_object);
    if block.is_fragment {
        ensure!(!is_complete, "these objects are complete: take `<!-- fragment -->` away");
        return Ok(Content::Fragment);
    }
    let api = documents.first().and_then(|it| it.get("apiVersion")).and_then(Value::as_str);
    Ok(match api {
        Some(CONFIGURATION) => Content::Configuration(block.text.clone()),
        Some(KUSTOMIZATION) => Content::Kustomization,
        _ if is_complete => Content::Objects(Manifest::of(page.place(block.line), &block.text)?),
        _ => bail!("no complete object: complete it, or put `<!-- fragment -->` in front of it"),
    })
}

/// The samples, by path.
pub(crate) fn samples() -> Result<Vec<Manifest>> {
    let mut paths: Vec<_> = std::fs::read_dir(repository().join(SAMPLES))?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_>>()?;
    paths.sort_unstable();
    let read = |name| {
        let path = Path::new(SAMPLES).join(name);
        let text = std::fs::read_to_string(repository().join(&path))?;
        Manifest::of(path.display().to_string(), &text)
    };
    paths.into_iter().map(read).collect()
}

fn is_object(value: &Value) -> bool {
    ["/apiVersion", "/kind", "/metadata/name"].iter().all(|it| value.pointer(it).is_some())
}

/// The documents of a file of YAML.
fn documents(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    ensure!(!documents.is_empty(), "there is no document");
    Ok(documents)
}

/// Nothing of YAML that is on a page is overlooked.
#[test]
fn every_block_is_found_and_is_one_of_the_known() -> Result<()> {
    let found = blocks()?;
    for page in pages()? {
        let text = std::fs::read_to_string(repository().join(&page.path))?;
        let lines = text.lines().filter(|line| {
            let language = line.trim_start().strip_prefix("```");
            language.is_some_and(|it| it.starts_with("yaml") || it.starts_with("yml"))
        });
        let expected = lines.count();
        let seen = found.iter().filter(|(path, _)| *path == page.path).count();
        ensure!(seen == expected, "{}: {expected} blocks, {seen} found", page.path.display());
    }
    let samples = std::fs::canonicalize(repository().join(SAMPLES))?;
    for (page, content) in &found {
        if let Content::Included(path) = content {
            ensure!(path.starts_with(&samples), "{} includes {path:?}", page.display());
        }
    }
    Ok(())
}
