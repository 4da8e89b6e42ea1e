//! Figures, their goals, and how they are shown.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Serialize, Serializer};

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
        }
    }
}

/// One measured number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) figure: String,
    #[serde(serialize_with = "rounded")]
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// None for what is only there to be compared with.
    #[serde(serialize_with = "as_text")]
    pub(crate) goal: Option<Goal>,
}

impl Figure {
    pub(crate) fn new(figure: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { figure: figure.into(), value, unit, goal: None }
    }

    pub(crate) fn with_goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    pub(crate) fn is_met(&self) -> bool {
        self.goal.is_none_or(|goal| goal.is_met_by(self.value))
    }
}

fn rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1000.0).round() / 1000.0)
}

fn as_text<S: Serializer>(goal: &Option<Goal>, serializer: S) -> Result<S::Ok, S::Error> {
    match goal {
        Some(goal) => serializer.collect_str(goal),
        None => serializer.serialize_none(),
    }
}

/// The figures as rows of a Markdown table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let rows = figures.iter().map(|figure| {
        let goal = figure.goal.map(|goal| goal.to_string()).unwrap_or_default();
        let verdict = match figure.goal {
            None => "",
            Some(_) if figure.is_met() => "met",
            Some(_) => "MISSED",
        };
        [figure.figure.clone(), format!("{} {}", shown(figure.value), figure.unit), goal, verdict.to_owned()]
    });
    let header = ["figure", "measured", "goal", ""].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(header).chain(rows).collect();
    markdown(&rows)
}

/// A Markdown table whose first row is the header.
pub(crate) fn markdown<R: AsRef<[String]>>(rows: &[R]) -> String {
    let columns = rows.first().map_or(0, |row| row.as_ref().len());
    let width = |column: usize| rows.iter().map(|row| row.as_ref()[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.as_ref().iter().zip(&widths) {
            text.push_str(&format!("| {cell:<width$} "));
        }
        text.push_str("|\n");
        if number == 0 {
            text.push_str(&widths.iter().map(|width| format!("|{}", "-".repeat(width + 2))).collect::<String>());
            text.push_str("|\n");
        }
    }
    text
}

/// Three digits that mean something.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The figures as JSON.
pub(crate) fn write_json(figures: &[Figure], file: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(figures).context("cannot write figures as JSON")?;
    fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}

/// The middle of what was measured; none of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_met_or_missed() {
        let figure = |value, goal| Figure::new("a", value, "ms").with_goal(goal);
        assert!(figure(300.0, Goal::AtMost(300.0)).is_met());
        assert!(!figure(300.1, Goal::AtMost(300.0)).is_met());
        assert!(figure(15.0, Goal::AtLeast(15.0)).is_met());
        assert!(!figure(14.9, Goal::AtLeast(15.0)).is_met());
        assert!(Figure::new("b", 1.0, "ms").is_met());
    }

    #[test]
    fn the_table_is_markdown() {
        let figures =
            [Figure::new("join", 137.4, "ms").with_goal(Goal::AtMost(300.0)), Figure::new("join, 4", 2.0, "ms")];
        assert_eq!(
            table(&figures),
            "| figure  | measured | goal   |     |\n\
             |---------|----------|--------|-----|\n\
             | join    | 137 ms   | <= 300 | met |\n\
             | join, 4 | 2.00 ms  |        |     |\n"
        );
    }

    #[test]
    fn json_has_the_agreed_keys() {
        let figure = Figure::new("join", 137.41239, "ms").with_goal(Goal::AtMost(300.0));
        assert_eq!(
            serde_json::to_string(&figure).expect("figures can be written"),
            r#"{"figure":"join","value":137.412,"unit":"ms","goal":"<= 300"}"#
        );
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
