//! Lines over an axis, as a picture.

use std::fmt::Display;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

/// Pixels.
const SIZE: (u32, u32) = (720, 360);

/// A picture.
pub(crate) struct Chart<'a> {
    /// What is shown, with its unit.
    pub(crate) title: &'a str,
    /// What it is shown over, with its unit.
    pub(crate) over: &'a str,
    /// How far apart equal factors are: as far as equal differences, or each as far as the other.
    pub(crate) scale: Scale,
    pub(crate) lines: Vec<Line>,
}

/// How the axis below is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Equal differences are equally far apart.
    Linear,
    /// Equal factors are; all values are positive.
    Logarithmic,
}

/// A line: its name, and its points from left to right.
pub(crate) type Line = (String, Vec<(f64, f64)>);

impl Chart<'_> {
    /// Draws it into a file.
    pub(crate) fn draw(&self, file: &Path) -> Result<()> {
        let all = || self.lines.iter().flat_map(|(_, points)| points);
        let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(1e-6, f64::max);
        let (right, top) = (most(|it| it.0), most(|it| it.1) * 1.2);
        let root = SVGBackend::new(file, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(told)?;
        match self.scale {
            Scale::Linear => self.draw_over(&root, 0.0..right, top)?,
            Scale::Logarithmic => {
                let left = all().map(|it| it.0).fold(right, f64::min);
                self.draw_over(&root, (left * 0.8..right * 1.2).log_scale(), top)?;
            }
        }
        root.present().map_err(told)
    }

    fn draw_over<X>(
        &self,
        root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
        axis: impl plotters::coord::ranged1d::AsRangedCoord<CoordDescType = X, Value = f64>,
        top: f64,
    ) -> Result<()>
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(root)
            .caption(self.title, ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d::<_, std::ops::Range<f64>>(axis, 0.0..top)
            .map_err(told)?;
        chart
            .configure_mesh()
            .x_desc(self.over)
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(told)?;
        for (index, (name, points)) in self.lines.iter().enumerate() {
            let color = Palette99::pick(index).to_rgba();
            let line = LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(2);
            let named = chart.draw_series(line).map_err(told)?.label(name);
            named.legend(move |(x, y)| {
                Rectangle::new([(x, y - 4), (x + 10, y + 4)], color.filled())
            });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.5))
            .draw()
            .map_err(told)
    }
}

/// An error of the library that draws.
pub(crate) fn told(error: impl Display) -> anyhow::Error {
    anyhow!("draw: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_names_its_lines() {
        let directory = tempfile::tempdir().unwrap();
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let lines = vec![
                ("one".to_owned(), vec![(10.0, 1.0), (1000.0, 2.0)]),
                ("other".to_owned(), vec![(10.0, 3.0), (1000.0, 5.0)]),
            ];
            let file = directory.path().join("chart.svg");
            Chart { title: "what", over: "groups", scale, lines }.draw(&file).unwrap();
            let picture = std::fs::read_to_string(file).unwrap();
            for text in ["what", "groups", "one", "other", "1000"] {
                assert!(picture.contains(text), "{scale:?}: {text}");
            }
        }
    }
}
