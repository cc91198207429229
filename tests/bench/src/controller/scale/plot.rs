//! What a group costs in sets of all sizes, as pictures.

use anyhow::Result;

use super::life::{Life, Part, Step};
use crate::chart::{Chart, Scale};
use crate::guide::Guide;
use crate::report::count;

/// Steps that are drawn.
const DRAWN: &[Step] = &[Step::Create, Step::Update, Step::ScaleUp, Step::Delete];
/// Those whose time is: deletions wait for the garbage collector.
const TIMED: &[Step] = &[Step::Create, Step::Update, Step::ScaleUp];

/// A picture: what it tells of which steps.
struct Picture {
    file: &'static str,
    title: &'static str,
    steps: &'static [Step],
    value: fn(&Part) -> Option<f64>,
}

const PICTURES: [Picture; 3] = [
    Picture {
        file: "scale-processor-time.svg",
        title: "processor time a group, ms",
        steps: DRAWN,
        value: |part| Some(part.processor_milliseconds_a_group()),
    },
    Picture {
        file: "scale-requests.svg",
        title: "requests a group",
        steps: DRAWN,
        value: |part| Some(count(part.spent.requests.total()) / part.groups),
    },
    Picture {
        file: "scale-time.svg",
        title: "time / floor",
        steps: TIMED,
        value: |part| Some(part.took.as_secs_f64() / part.floor?.as_secs_f64()),
    },
];

/// Draws the pictures into the guide, if it is written, and gives the Markdown that shows them.
pub(super) fn draw(guide: &Guide, lives: &[Life]) -> Result<String> {
    let mut shown = Vec::new();
    for Picture { file, title, steps, value } in PICTURES {
        let Some(path) = guide.picture(file) else { continue };
        let line = |step: &Step| (step.to_string(), points(lives, *step, value));
        let chart = Chart {
            title,
            over: "groups of one set",
            scale: Scale::Logarithmic,
            lines: steps.iter().map(line).collect(),
        };
        chart.draw(&path)?;
        shown.push(format!("![{title}](images/{file})"));
    }
    Ok(shown.join("\n\n"))
}

/// What a step costs by the number of groups, for lives of one set: many sets are another story.
fn points(lives: &[Life], step: Step, value: fn(&Part) -> Option<f64>) -> Vec<(f64, f64)> {
    let point = |life: &Life| Some((f64::from(life.shape.groups), value(life.part(step)?)?));
    let mut points: Vec<_> =
        lives.iter().filter(|it| it.shape.sets == 1).filter_map(point).collect();
    points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    points
}
