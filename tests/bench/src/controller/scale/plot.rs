//! What a group costs in sets of all sizes, as pictures.

use std::fmt::Display;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::life::{Life, Part, Step};
use crate::report::count;

/// Pixels.
const SIZE: (u32, u32) = (720, 360);

/// Steps that are drawn.
const DRAWN: [Step; 4] = [Step::Create, Step::Update, Step::ScaleUp, Step::Delete];

/// A picture: what it tells of a step.
struct Picture {
    file: &'static str,
    title: &'static str,
    value: fn(&Part) -> f64,
}

const PICTURES: [Picture; 3] = [
    Picture {
        file: "scale-processor-time.svg",
        title: "processor time a group, ms",
        value: Part::processor_milliseconds_a_group,
    },
    Picture {
        file: "scale-requests.svg",
        title: "requests a group",
        value: |part| count(part.spent.requests.total()) / part.groups,
    },
    Picture {
        file: "scale-time.svg",
        title: "time / floor",
        value: |part| part.floor.map_or(0.0, |floor| part.took.as_secs_f64() / floor.as_secs_f64()),
    },
];

/// A line: a name, and for each number of groups a value.
type Line = (String, Vec<(f64, f64)>);

/// Draws the pictures into a directory and gives the Markdown that shows them.
pub(super) fn draw(directory: &Path, lives: &[Life]) -> Result<String> {
    let mut shown = String::new();
    for Picture { file, title, value } in PICTURES {
        let mut lines = Vec::new();
        for step in DRAWN {
            lines.push((step.to_string(), points(lives, step, value)?));
        }
        picture(&directory.join(file), title, &lines)?;
        shown += &format!("![{title}](images/{file})\n\n");
    }
    Ok(shown)
}

/// What a step costs by the number of groups, for lives of one set: many sets are another story.
fn points(lives: &[Life], step: Step, value: fn(&Part) -> f64) -> Result<Vec<(f64, f64)>> {
    let mut points = Vec::new();
    for life in lives.iter().filter(|it| it.shape.sets == 1) {
        points.push((f64::from(life.shape.groups), value(life.part(step)?)));
    }
    points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    Ok(points)
}

fn picture(file: &Path, title: &str, lines: &[Line]) -> Result<()> {
    let all = || lines.iter().flat_map(|(_, points)| points);
    let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(1e-6, f64::max);
    let (groups, top) = (most(|it| it.0) * 1.2, most(|it| it.1) * 1.1);
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(told)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d((0.8..groups).log_scale(), 0.0..top)
        .map_err(told)?;
    chart
        .configure_mesh()
        .x_desc("groups of one set")
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(told)?;
    for (index, (name, points)) in lines.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3);
        chart
            .draw_series(line)
            .map_err(told)?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 10, y + 4)], color.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.5))
        .draw()
        .map_err(told)?;
    root.present().map_err(told)
}

fn told(error: impl Display) -> anyhow::Error {
    anyhow!("draw: {error}")
}
