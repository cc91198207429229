//! A rollout as a picture (SVG): a line for each reconcile, a field for each group.

use std::fmt::Write as _;

use lws_controller::plan::rollout::{GroupState, Step};

/// Where fields begin, and how large each is with the gap behind it.
const LEFT: usize = 210;
const FIELD: usize = 46;
const LINE: usize = 30;

/// A line of the picture.
pub(crate) struct Line {
    pub(crate) event: String,
    pub(crate) applied: Step,
    pub(crate) groups: Vec<Option<GroupState>>,
}

/// The picture, with its title.
pub(crate) fn picture(title: &str, lines: &[Line]) -> String {
    let groups = lines.iter().map(|line| line.groups.len()).max().unwrap_or_default();
    let (width, height) = (LEFT + groups * FIELD + 20, (lines.len() + 3) * LINE);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n<title>{title}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for index in 0..groups {
        let x = LEFT + index * FIELD + FIELD / 2 - 3;
        writeln!(
            text,
            "<text x=\"{x}\" y=\"20\" text-anchor=\"middle\" fill=\"#555\">{index}</text>"
        )
        .unwrap();
    }
    for (index, line) in lines.iter().enumerate() {
        draw(&mut text, line, (index + 1) * LINE);
    }
    legend(&mut text, (lines.len() + 2) * LINE);
    text.push_str("</svg>\n");
    text
}

fn draw(text: &mut String, line: &Line, y: usize) {
    writeln!(text, "<text x=\"12\" y=\"{}\" fill=\"#222\">{}</text>", y + 19, line.event).unwrap();
    for (index, group) in line.groups.iter().enumerate() {
        if let Some(group) = group {
            field(text, LEFT + index * FIELD, y, *group);
        }
    }
    // What is left of it keeps its revision.
    let partition = usize::try_from(line.applied.partition).unwrap();
    let x = LEFT + partition * FIELD - 4;
    writeln!(
        text,
        "<path d=\"M{x} {y}v{LINE}\" stroke=\"#b3261e\" stroke-width=\"2\"><title>partition \
         {partition}</title></path>"
    )
    .unwrap();
}

fn field(text: &mut String, x: usize, y: usize, group: GroupState) {
    let (colour, word) = if group.updated { ("#2a7de1", "new") } else { ("#8a919c", "old") };
    let (fill, ink) = if group.ready { (colour, "#fff") } else { ("none", colour) };
    let (width, height) = (FIELD - 6, LINE - 6);
    writeln!(
        text,
        "<rect x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{height}\" rx=\"4\" fill=\"{fill}\" \
         stroke=\"{colour}\" stroke-dasharray=\"{}\"/><text x=\"{}\" y=\"{}\" \
         text-anchor=\"middle\" fill=\"{ink}\">{word}</text>",
        y + 3,
        if group.ready { "none" } else { "3 2" },
        x + width / 2,
        y + 19,
    )
    .unwrap();
}

fn legend(text: &mut String, y: usize) {
    field(text, 12, y - 4, GroupState { ready: true, updated: false });
    field(text, 12 + FIELD, y - 4, GroupState { ready: false, updated: true });
    writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" fill=\"#555\">filled: ready, dashed: down; red line: the \
         partition</text>",
        12 + 2 * FIELD,
        y + 15,
    )
    .unwrap();
}
