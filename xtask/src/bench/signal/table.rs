//! Goal, servers, and the ratio to the floor and to the best of the public ones, side by side.

use serde_json::Value;

use super::servers::Server;
use super::{ATTACKS, Column};
use crate::bench::report::{self, Figure, Goal, shown};

/// A figure of the generator, and what ours should be.
struct Row {
    title: String,
    /// Where it is in what the generator says.
    path: Vec<&'static str>,
    /// By what the generator's figure is divided.
    divisor: f64,
    unit: &'static str,
    goal: Option<f64>,
}

fn row(title: impl Into<String>, path: &[&'static str], divisor: f64, unit: &'static str, goal: Option<f64>) -> Row {
    Row { title: title.into(), path: path.to_vec(), divisor, unit, goal }
}

fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("RSS without connections", &["base_bytes"], 1e6, "MB", Some(8.0)),
        row("RSS per connection, idle", &["idle_bytes_each"], 1e3, "KB", None),
        row("RSS per connection, after signaling", &["signaled_bytes_each"], 1e3, "KB", Some(24.0)),
        row("CPU per join", &["join_cpu_us"], 1.0, "us", Some(280.0)),
        row("part of a core that idle connections take", &["idle_cpu_percent"], 1.0, "%", Some(1.0)),
        row("round trip, p50", &["p50_us"], 1.0, "us", Some(100.0)),
        row("round trip, p99", &["p99_us"], 1.0, "us", Some(160.0)),
        row("messages a second, steady", &["rate"], 1.0, "/s", None),
        row("CPU per message, steady", &["steady_cpu_us"], 1.0, "us", None),
        row("CPU per message, saturated", &["burst", "cpu_us"], 1.0, "us", Some(8.0)),
        row("messages a second, saturated", &["burst", "rate"], 1.0, "/s", None),
        row("server busy, saturated", &["burst", "busy_percent"], 1.0, "%", None),
        row("generator busy, saturated", &["burst", "generator_busy_percent"], 1.0, "%", None),
        row("CPU per message, saturated, no bursts", &["single", "cpu_us"], 1.0, "us", None),
        row("messages a second, saturated, no bursts", &["single", "rate"], 1.0, "/s", None),
        row("all reconnect at once", &["storm_s"], 1.0, "s", Some(3.0)),
        row("refused in the storm", &["storm_refused"], 1.0, "", Some(0.0)),
        row("CPU per leave and join in the storm", &["storm_cpu_us"], 1.0, "us", None),
        row("RSS per connection, after the storm", &["after_storm_bytes_each"], 1e3, "KB", None),
        row("connections lost", &["lost"], 1.0, "", Some(0.0)),
        row("signals missing", &["missing"], 1.0, "", Some(0.0)),
        row("signals out of order", &["disorder"], 1.0, "", Some(0.0)),
    ];
    for attack in &ATTACKS {
        let title = |what| format!("{}: {what}", attack.title);
        let kind = attack.kind;
        rows.push(row(title("join, p99"), &[kind, "join_p99_ms"], 1.0, "ms", Some(1000.0)));
        rows.push(row(title("signal, p99"), &[kind, "relay_p99_ms"], 1.0, "ms", Some(200.0)));
        rows.push(row(title("RSS per attacker"), &[kind, "growth_bytes_each"], 1e3, "KB", Some(300.0)));
        rows.push(row(title("lost"), &[kind, "lost"], 1.0, "", Some(0.0)));
        rows.push(row(title("server busy"), &[kind, "busy_percent"], 1.0, "%", None));
    }
    rows
}

impl Row {
    fn of(&self, column: &Column) -> Option<f64> {
        let found = self.path.iter().fold(&column.figures, |figures: &Value, key| &figures[key]);
        found.as_f64().map(|value| value / self.divisor)
    }

    /// Less is better, and none of it would be nothing to compare with.
    fn compares(&self) -> bool {
        !matches!(self.unit, "" | "/s" | "%")
    }
}

/// The figures: of ours with their goals, of the others for comparison.
pub(super) fn figures(columns: &[Column]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for row in rows() {
        for column in columns {
            let Some(value) = row.of(column) else { continue };
            figures.push(match (column.server, row.goal) {
                (Server::Ours, Some(goal)) => Figure::new(&*row.title, value, row.unit).with_goal(Goal::AtMost(goal)),
                (Server::Ours, None) => Figure::new(&*row.title, value, row.unit),
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
    header.extend(["/ floor", "/ best public", ""].map(str::to_owned));
    let mut table = vec![header];
    for row in rows() {
        let values: Vec<_> = columns.iter().map(|column| row.of(column)).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let of = |server| columns.iter().find(|column| column.server == server).and_then(|column| row.of(column));
        let (ours, floor) = (of(Server::Ours), of(Server::Floor));
        let public = columns.iter().filter(|column| column.server.is_public() && column.server.has_tls());
        let best = public.filter_map(|column| row.of(column)).min_by(f64::total_cmp);
        let ratio = |other: Option<f64>| match (ours, other) {
            (Some(ours), Some(other)) if other > 0.0 && row.compares() => shown(ours / other),
            _ => String::new(),
        };
        let mut cells = vec![row.title.clone(), row.goal.map(|goal| format!("<= {goal}")).unwrap_or_default()];
        cells.extend(values.iter().map(|value| with_unit(*value, row.unit)));
        cells.extend([ratio(floor), ratio(best)]);
        cells.push(match (ours, row.goal) {
            (Some(ours), Some(goal)) => (if ours <= goal { "met" } else { "MISSED" }).to_owned(),
            _ => String::new(),
        });
        table.push(cells);
    }
    report::markdown(&table)
}

fn with_unit(value: Option<f64>, unit: &str) -> String {
    match (value, unit) {
        (None, _) => "-".to_owned(),
        (Some(count), "") => format!("{count}"),
        (Some(value), unit) => format!("{} {unit}", shown(value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn column(server: Server, figures: Value) -> Column {
        Column { server, figures }
    }

    #[test]
    fn ours_stands_beside_the_floor_and_the_best_public_one_with_tls() {
        let columns = [
            column(Server::Ours, json!({"join_cpu_us": 200.0, "lost": 0, "flood": {"join_p99_ms": 2000.0}})),
            column(Server::Floor, json!({"join_cpu_us": 100.0, "lost": 3})),
            column(Server::Peerjs, json!({"join_cpu_us": 800.0})),
            column(Server::Gstreamer, json!({"join_cpu_us": 400.0})),
            column(Server::Matchbox, json!({"join_cpu_us": 50.0})),
        ];
        let table = text(&columns);
        let cells = |title: &str| -> Vec<String> {
            let line = table.lines().find(|line| line.starts_with(&format!("| {title} "))).expect("a row");
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        let join = ["CPU per join", "<= 280", "200 us", "100 us", "800 us", "400 us", "50.0 us", "2.00", "0.50", "met"];
        assert_eq!(cells("CPU per join"), join);
        assert_eq!(cells("connections lost")[2..4], ["0", "3"]);
        assert_eq!(cells("50 flooders: join, p99").last().map(String::as_str), Some("MISSED"));
        assert!(!table.contains("RSS"), "what was not measured has no row");
    }

    #[test]
    fn only_ours_has_goals() {
        let columns =
            [column(Server::Ours, json!({"base_bytes": 9e6})), column(Server::Floor, json!({"base_bytes": 5e6}))];
        let figures = figures(&columns);
        assert_eq!(figures.iter().map(|figure| figure.value).collect::<Vec<_>>(), [9.0, 5.0]);
        assert_eq!(figures.iter().map(Figure::is_met).collect::<Vec<_>>(), [false, true]);
        assert_eq!(figures[1].figure, "RSS without connections, floor");
    }
}
