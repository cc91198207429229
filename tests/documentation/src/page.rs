//! The pages: their blocks, commands, links and headings.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::{fs, mem};

use anyhow::{Context as _, Result};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// In front of a block that is a part of a file.
const FRAGMENT: &str = "<!-- fragment -->";

/// A page of the documentation.
#[derive(Debug)]
pub struct Page {
    /// Its file, from the repository on.
    pub path: PathBuf,
    /// Its fenced blocks.
    pub blocks: Vec<Block>,
    /// Its links.
    pub links: Vec<Link>,
    /// What a link to one of its headings names.
    pub anchors: BTreeSet<String>,
}

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of the page that it begins at.
    pub line: usize,
    /// Its language, such as `yaml`; empty where none is named.
    pub language: String,
    /// Whether it is marked as a part of a file, by `<!-- fragment -->` in front of it.
    pub is_fragment: bool,
    /// Its lines.
    pub text: String,
}

/// A command of a block, with what the page says that it writes.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// What is typed.
    pub text: String,
    /// What follows.
    pub output: Vec<String>,
}

/// A link.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// The line of the page that it is in.
    pub line: usize,
    /// Where it leads.
    pub target: String,
}

/// The repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every page: those of `docs/` and `README.md`, by path.
pub fn pages() -> Result<Vec<Page>> {
    let mut paths = vec![PathBuf::from("README.md")];
    collect(Path::new("docs"), &mut paths)?;
    paths.sort_unstable();
    paths.iter().map(|path| Page::read(path)).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(repository().join(folder));
    for entry in entries.with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(&path, found)?;
        } else if path.extension() == Some(OsStr::new("md")) {
            found.push(path);
        }
    }
    Ok(())
}

impl Page {
    /// Reads a page, by its path from the repository on.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(repository().join(path));
        Ok(Self::of(path, &text.with_context(|| format!("read {}", path.display()))?))
    }

    /// The page of this text.
    #[must_use]
    pub fn of(path: &Path, text: &str) -> Self {
        let mut reader = Reader::default();
        let line = |offset| text.get(..offset).unwrap_or_default().matches('\n').count() + 1;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            reader.read(event, line(range.start));
        }
        let Reader { blocks, links, anchors, .. } = reader;
        Self { path: path.to_owned(), blocks, links, anchors }
    }

    /// The file of the repository that a link leads to; `None` for one that leads out of it.
    #[must_use]
    pub fn file(&self, link: &Link) -> Option<PathBuf> {
        let path = link.target.split('#').next().unwrap_or_default();
        if path.contains("://") || path.starts_with("mailto:") {
            return None;
        }
        if path.is_empty() {
            return Some(self.path.clone());
        }
        let mut file = self.path.parent().map(Path::to_owned).unwrap_or_default();
        for part in Path::new(path).components() {
            match part {
                Component::ParentDir => drop(file.pop()),
                Component::CurDir => {}
                part => file.push(part),
            }
        }
        Some(file)
    }

    /// Where a line of it is, for a message.
    #[must_use]
    pub fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    links: Vec<Link>,
    anchors: BTreeSet<String>,
    is_marked: bool,
    block: Option<Block>,
    heading: Option<String>,
}

impl Reader {
    fn read(&mut self, event: Event<'_>, line: usize) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let is_fragment = mem::take(&mut self.is_marked);
                let language = match kind {
                    CodeBlockKind::Fenced(language) => language.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                self.block = Some(Block { line, language, is_fragment, text: String::new() });
            }
            Event::End(TagEnd::CodeBlock) => self.blocks.extend(self.block.take()),
            Event::Html(html) => self.is_marked = html.trim() == FRAGMENT,
            Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => {}
            Event::Start(Tag::Heading { .. }) => self.heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => self.end_heading(),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                self.links.push(Link { line, target: dest_url.to_string() });
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(block) = &mut self.block {
                    block.text.push_str(&text);
                } else if let Some(heading) = &mut self.heading {
                    heading.push_str(&text);
                }
            }
            _ => self.is_marked = false,
        }
    }

    fn end_heading(&mut self) {
        let anchor = anchor(&self.heading.take().unwrap_or_default());
        let mut name = anchor.clone();
        let mut others = 0;
        while !self.anchors.insert(name) {
            others += 1;
            name = format!("{anchor}-{others}");
        }
    }
}

/// What a link to a heading names.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|it| match it {
        ' ' => Some('-'),
        '-' | '_' => Some(it),
        _ => it.is_alphanumeric().then_some(it),
    });
    kept.flat_map(char::to_lowercase).collect()
}

impl Link {
    /// The heading that it names.
    #[must_use]
    pub fn anchor(&self) -> Option<&str> {
        Some(self.target.split_once('#')?.1)
    }
}

impl Block {
    /// The file that stands here, where the block does nothing but include one.
    #[must_use]
    pub fn included(&self) -> Option<&str> {
        Some(self.text.trim().strip_prefix("{{#include ")?.strip_suffix("}}")?.trim())
    }

    /// The commands of a `console` block: lines that begin with `$ `, each with what follows.
    #[must_use]
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for line in self.text.lines() {
            if let Some(text) = line.strip_prefix("$ ") {
                commands.push(Command { text: text.to_owned(), output: Vec::new() });
            } else if let Some(command) = commands.last_mut() {
                if command.output.is_empty() && command.text.ends_with('\\') {
                    command.text.push('\n');
                    command.text.push_str(line);
                } else {
                    command.output.push(line.to_owned());
                }
            }
        }
        commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# The `page`: one\n\n## One\n\n## One\n\nSee [there](other.md#x).\n\n\
        <!-- fragment -->\n```yaml\na: 1\n```\n\n- an item\n\n  <!-- fragment -->\n  ```yaml\n  \
        b:\n    c: 1\n  ```\n\n<!-- fragment -->\n\ntext\n\n```console\n$ first \\\n  --more\nsays\n$ \
        second\n```\n\n```yaml\n{{#include ../a.yaml}}\n```\n\n| [in](a.md) |\n|---|\n";

    #[test]
    fn blocks_links_and_headings_are_found() {
        let page = Page::of(Path::new("docs/page.md"), TEXT);
        let found: Vec<_> = page
            .blocks
            .iter()
            .map(|it| (it.line, &*it.language, it.is_fragment, &*it.text))
            .collect();
        assert_eq!(
            found,
            [
                (10, "yaml", true, "a: 1\n"),
                (17, "yaml", true, "b:\n  c: 1\n"),
                (26, "console", false, "$ first \\\n  --more\nsays\n$ second\n"),
                (33, "yaml", false, "{{#include ../a.yaml}}\n"),
            ]
        );
        let links: Vec<_> = page.links.iter().map(|it| (it.line, &*it.target)).collect();
        assert_eq!(links, [(7, "other.md#x"), (37, "a.md")]);
        let anchors: Vec<_> = page.anchors.iter().map(String::as_str).collect();
        assert_eq!(anchors, ["one", "one-1", "the-page-one"]);
        assert_eq!(page.blocks.last().and_then(Block::included), Some("../a.yaml"));
        assert_eq!(page.place(7), "docs/page.md:7");
    }

    #[test]
    fn commands_have_their_output() {
        let page = Page::of(Path::new("docs/page.md"), TEXT);
        let commands: Vec<_> = page.blocks.iter().flat_map(Block::commands).collect();
        let command = |text: &str, output: &[&str]| Command {
            text: text.to_owned(),
            output: output.iter().map(|it| (*it).to_owned()).collect(),
        };
        assert_eq!(commands, [command("first \\\n  --more", &["says"]), command("second", &[])]);
    }

    #[test]
    fn all_pages_are_read() {
        let pages = pages().unwrap_or_default();
        for expected in ["README.md", "docs/rollouts.md"] {
            assert!(pages.iter().any(|page| page.path == Path::new(expected)), "{expected}");
        }
    }
}
