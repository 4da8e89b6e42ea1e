//! Goal, servers, and the ratio to the floor, side by side.

use serde_json::Value;

use super::servers::Server;
use crate::bench::report::{self, Figure, Goal, shown};

/// What the generator has found of a server.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) server: Server,
    pub(super) figures: Value,
}

/// A figure of the generator, and what ours should be.
struct Row {
    title: &'static str,
    key: &'static str,
    /// By what the generator's figure is divided.
    divisor: f64,
    unit: &'static str,
    goal: Option<f64>,
}

const fn row(title: &'static str, key: &'static str, divisor: f64, unit: &'static str, goal: Option<f64>) -> Row {
    Row { title, key, divisor, unit, goal }
}

const ROWS: [Row; 20] = [
    row("RSS without connections", "base_bytes", 1e6, "MB", Some(8.0)),
    row("RSS per connection, idle", "idle_bytes_each", 1e3, "KB", None),
    row("RSS per connection, after signaling", "signaled_bytes_each", 1e3, "KB", Some(24.0)),
    row("CPU per join", "join_cpu_us", 1.0, "us", Some(280.0)),
    row("CPU of idle connections", "idle_cpu_percent", 1.0, "% of a core", Some(1.0)),
    row("round trip, p50", "p50_us", 1.0, "us", Some(100.0)),
    row("round trip, p99", "p99_us", 1.0, "us", Some(160.0)),
    row("at messages a second", "rate", 1.0, "/s", None),
    row("CPU per message then", "steady_cpu_us", 1.0, "us", None),
    row("CPU per message, saturated", "saturated_cpu_us", 1.0, "us", Some(8.0)),
    row("messages a second, saturated", "saturated_rate", 1.0, "/s", None),
    row("server busy then", "saturated_busy_percent", 1.0, "%", None),
    row("all reconnect at once", "storm_s", 1.0, "s", Some(3.0)),
    row("refused then", "storm_refused", 1.0, "", Some(0.0)),
    row("CPU per leave and join then", "storm_cpu_us", 1.0, "us", None),
    row("RSS per connection afterwards", "after_storm_bytes_each", 1e3, "KB", None),
    row("connections lost", "lost", 1.0, "", Some(0.0)),
    row("signals missing", "missing", 1.0, "", Some(0.0)),
    row("signals out of order", "disorder", 1.0, "", Some(0.0)),
    row("connections", "clients", 1.0, "", None),
];

impl Row {
    fn of(&self, column: &Column) -> Option<f64> {
        column.figures[self.key].as_f64().map(|value| value / self.divisor)
    }
}

/// The figures: of ours with their goals, of the others for comparison.
pub(super) fn figures(columns: &[Column]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for row in &ROWS {
        for column in columns {
            let Some(value) = row.of(column) else { continue };
            figures.push(match (column.server, row.goal) {
                (Server::Ours, Some(goal)) => Figure::new(row.title, value, row.unit).with_goal(Goal::AtMost(goal)),
                (Server::Ours, None) => Figure::new(row.title, value, row.unit),
                (server, _) => Figure::new(format!("{}, {}", row.title, server.name()), value, row.unit),
            });
        }
    }
    figures
}

/// Rows of a Markdown table.
pub(super) fn text(columns: &[Column]) -> String {
    let mut header = vec!["figure".to_owned(), "goal".to_owned()];
    header.extend(columns.iter().map(|column| column.server.name().to_owned()));
    header.extend(["ours / floor".to_owned(), String::new()]);
    let mut rows = vec![header];
    for row in &ROWS {
        let values: Vec<_> = columns.iter().map(|column| row.of(column)).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let of = |server| columns.iter().find(|column| column.server == server).and_then(|column| row.of(column));
        let (ours, floor) = (of(Server::Ours), of(Server::Floor));
        let mut cells = vec![row.title.to_owned(), row.goal.map(|goal| format!("<= {goal}")).unwrap_or_default()];
        cells.extend(values.iter().map(|value| match value {
            Some(value) => format!("{} {}", shown(*value), row.unit).trim_end().to_owned(),
            None => "-".to_owned(),
        }));
        cells.push(match (ours, floor) {
            (Some(ours), Some(floor)) if floor > 0.0 => shown(ours / floor),
            _ => String::new(),
        });
        cells.push(match (ours, row.goal) {
            (Some(ours), Some(goal)) => (if ours <= goal { "met" } else { "MISSED" }).to_owned(),
            _ => String::new(),
        });
        rows.push(cells);
    }
    report::markdown(&rows)
}
