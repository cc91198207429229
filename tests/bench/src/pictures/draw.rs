//! A row of the dashboard as a picture.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::dashboard::{Kind, Panel, Row, Shown};
use crate::chart::told;

/// Pixels of a column of 24, and of a unit of height.
const CELL: (u32, u32) = (66, 34);
/// Lines of a table that are shown.
const LINES: usize = 8;

/// Series that a legend names.
const NAMED: usize = 7;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the panels of a row with what they show.
pub(super) fn row(
    file: &Path,
    row: &Row,
    panels: &[(&Panel, Vec<Shown>)],
    run: (f64, f64),
) -> Result<()> {
    let top = row.panels.iter().map(|it| it.grid_pos.y).min().unwrap_or(0);
    let bottom = row.panels.iter().map(|it| it.grid_pos.y + it.grid_pos.h).max().unwrap_or(0);
    let size = (24 * CELL.0, (bottom - top) * CELL.1);
    let root = SVGBackend::new(file, size).into_drawing_area();
    root.fill(&WHITE).map_err(told)?;
    for (panel, shown) in panels {
        let place = panel.grid_pos;
        let corner = (place.x * CELL.0, (place.y - top) * CELL.1);
        let area = root.clone().shrink(corner, (place.w * CELL.0, place.h * CELL.1));
        let area = area.margin(4, 4, 6, 6);
        let title = Text::new(panel.title.clone(), (6, 4), ("sans-serif", 15));
        area.draw(&title).map_err(told)?;
        let area = area.margin(24, 0, 0, 0);
        match panel.kind {
            Kind::TimeSeries => lines(&area, panel, shown, run)?,
            Kind::Stat => stat(&area, panel, shown)?,
            Kind::Table | Kind::Row => table(&area, panel, shown)?,
        }
    }
    root.present().map_err(told)
}

/// One number.
fn stat(area: &Area<'_>, panel: &Panel, shown: &[Shown]) -> Result<()> {
    let value = shown.first().and_then(|it| it.points.last());
    let text = value.map_or("no data".to_owned(), |(_, it)| number(*it, panel.unit()));
    area.draw(&Text::new(text, (24, 24), ("sans-serif", 38))).map_err(told)
}

fn table(area: &Area<'_>, panel: &Panel, shown: &[Shown]) -> Result<()> {
    for (line, it) in (0..).zip(shown.iter().take(LINES)) {
        let value = it.points.last().map_or(0.0, |(_, value)| *value);
        let text = format!("{}   {}", number(value, panel.unit()), it.legend);
        area.draw(&Text::new(text, (12, 8 + 20 * line), ("sans-serif", 13))).map_err(told)?;
    }
    Ok(())
}

fn lines(area: &Area<'_>, panel: &Panel, shown: &[Shown], run: (f64, f64)) -> Result<()> {
    let (begin, end) = run;
    let bands = bands(shown, panel.is_stacked());
    let tops = bands.iter().flat_map(|it| it.values().map(|(_, top)| *top));
    let most = tops.fold(0.0, f64::max).max(1e-6) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .margin(4)
        .x_label_area_size(22)
        .y_label_area_size(64)
        .build_cartesian_2d(begin..end, 0.0..most)
        .map_err(told)?;
    let elapsed = |time: &f64| number(time - begin, "s");
    let value = |it: &f64| number(*it, panel.unit());
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(6)
        .y_labels(5)
        .x_label_formatter(&elapsed)
        .y_label_formatter(&value)
        .label_style(("sans-serif", 11))
        .draw()
        .map_err(told)?;
    let named = named(shown);
    for (index, (band, it)) in bands.iter().zip(shown).enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let parts = unbroken(band);
        if panel.is_stacked() {
            let areas = parts.iter().map(|part| {
                let upper = part.iter().map(|(time, (_, top))| (*time, *top));
                let lower = part.iter().rev().map(|(time, (bottom, _))| (*time, *bottom));
                Polygon::new(upper.chain(lower).collect::<Vec<_>>(), color.mix(0.35).filled())
            });
            chart.draw_series(areas).map_err(told)?;
        }
        for part in &parts {
            let line = part.iter().map(|(time, (_, top))| (*time, *top));
            chart.draw_series(LineSeries::new(line, color.stroke_width(2))).map_err(told)?;
        }
        if !named.contains(&index) {
            continue;
        }
        // What the legend stands for is drawn already.
        chart
            .draw_series(LineSeries::new([], color))
            .map_err(told)?
            .label(it.legend.clone())
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 10, y + 4)], color.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.5))
        .label_font(("sans-serif", 11))
        .draw()
        .map_err(told)
}

/// The positions of the series that reach highest, which the legend has room for.
fn named(shown: &[Shown]) -> BTreeSet<usize> {
    let most = |it: &Shown| it.points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut ranked: Vec<_> = shown.iter().map(most).enumerate().collect();
    ranked.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    ranked.into_iter().take(NAMED).map(|(index, _)| index).collect()
}

/// Seconds after which a line that has no points is broken.
const GAP: f64 = 5.0;

/// A time, and from where to where a series reaches.
type Point = (f64, (f64, f64));

/// The parts of a band between which there are no points.
fn unbroken(band: &BTreeMap<i64, (f64, f64)>) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    for (time, reach) in band {
        let point = (seconds(*time), *reach);
        match parts.last_mut() {
            Some(part) if part.last().is_some_and(|(time, _)| point.0 - time < GAP) => {
                part.push(point);
            }
            _ => parts.push(vec![point]),
        }
    }
    parts
}

/// For each series, by milliseconds: from where to where it reaches. In a stack each stands on those before it.
fn bands(shown: &[Shown], is_stacked: bool) -> Vec<BTreeMap<i64, (f64, f64)>> {
    let mut heights: BTreeMap<i64, f64> = BTreeMap::new();
    let mut bands = Vec::new();
    for it in shown {
        let mut band = BTreeMap::new();
        for (time, value) in &it.points {
            let height = heights.entry(millis(*time)).or_default();
            let bottom = if is_stacked { *height } else { 0.0 };
            *height = bottom + value;
            band.insert(millis(*time), (bottom, bottom + value));
        }
        bands.push(band);
    }
    bands
}

#[expect(clippy::cast_possible_truncation, reason = "a time")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[expect(clippy::cast_precision_loss, reason = "a time")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// A number with its unit, as Grafana names units.
fn number(value: f64, unit: &str) -> String {
    match unit {
        "percentunit" => format!("{:.0} %", value * 100.0),
        "bytes" => format!("{:.0} MiB", value / f64::from(1 << 20)),
        "s" if value >= 86400.0 * 2.0 => format!("{:.0} d", value / 86400.0),
        "s" if value >= 120.0 => format!("{:.1} min", value / 60.0),
        "s" if value >= 1.0 || value == 0.0 => format!("{value:.0} s"),
        "s" => format!("{:.1} ms", value * 1000.0),
        "ops" | "reqps" => format!("{} /s", short(value)),
        _ => short(value),
    }
}

fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, unit, expected) in [
            (0.25, "percentunit", "25 %"),
            (3.0 * 1_048_576.0, "bytes", "3 MiB"),
            (0.0123, "s", "12.3 ms"),
            (90.0, "s", "90 s"),
            (600.0, "s", "10.0 min"),
            (864_000.0, "s", "10 d"),
            (1.5, "ops", "1.5 /s"),
            (12.0, "short", "12"),
        ] {
            assert_eq!(number(value, unit), expected, "{value} {unit}");
        }
    }

    #[test]
    fn a_legend_names_what_reaches_highest() {
        let series = |value| Shown { legend: String::new(), points: vec![(1.0, value)] };
        let shown: Vec<_> = (0..9).map(f64::from).map(series).collect();
        assert_eq!(named(&shown), (2..9).collect());
        assert_eq!(named(&[]), BTreeSet::new());
    }

    #[test]
    fn a_line_is_broken_where_nothing_was_measured() {
        let band = [1, 3, 20, 22, 24].map(|it| (it * 1000, (0.0, 1.0))).into();
        assert_eq!(unbroken(&band).iter().map(Vec::len).collect::<Vec<_>>(), [2, 3]);
        assert!(unbroken(&BTreeMap::new()).is_empty());
    }

    #[test]
    fn a_stack_stands_on_what_is_below() {
        let series =
            |value| Shown { legend: String::new(), points: vec![(1.0, value), (2.0, value)] };
        let shown = [series(1.0), series(2.0)];
        let tops = |is_stacked| -> Vec<_> {
            bands(&shown, is_stacked)
                .iter()
                .map(|it| it.values().map(|it| it.1).sum::<f64>())
                .collect()
        };
        assert_eq!(tops(false), [2.0, 4.0]);
        assert_eq!(tops(true), [2.0, 6.0]);
    }
}
