//! What lies around the program when it is installed: its units, and the configuration that an administrator finds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::Program;

const CONFIGURATION: &str = include_str!("../packaging/signal-srv.toml");

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

/// Exposure is from 0, safe, to 10; `systemd-analyze` counts it in tenths times ten.
#[test]
fn the_service_is_exposed_as_little_as_can_be() {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--no-pager", "--offline=true", "--threshold=20"]);
    let output = analyze.arg(packaging().join("signal-srv.service")).output();
    let output = output.expect("systemd-analyze, of the package systemd, is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("Overall exposure level for signal-srv.service"), "{said}");
}

/// The packaged configuration, with what is commented out in effect where `takes` the line.
fn configuration(takes: impl Fn(&str) -> bool) -> String {
    CONFIGURATION.lines().fold(String::new(), |text, line| {
        let key = line.strip_prefix('#').filter(|key| !key.starts_with(' ') && takes(key));
        text + key.unwrap_or(line) + "\n"
    })
}

fn print_config(content: &str) -> toml::Table {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("signal-srv.toml");
    std::fs::write(&file, content).unwrap();
    let output = Program::command(["--config", file.to_str().unwrap(), "--print-config"])
        .env("STATE_DIRECTORY", "/var/lib/signal-srv")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}\n{content}", String::from_utf8_lossy(&output.stderr));
    toml::from_str(std::str::from_utf8(&output.stdout).unwrap()).unwrap()
}

/// The keys whose example is not what is in effect without them.
fn is_example(line: &str) -> bool {
    let examples = [
        "metrics",
        "redirect",
        "cert",
        "key",
        "domains",
        "acme_c",
        "acme_d",
        "cluster =",
        "cluster_ca",
        "[[ice",
        "urls",
        "username",
        "credential",
    ];
    examples.iter().any(|key| line.starts_with(key))
}

#[test]
fn the_packaged_configuration_is_empty_and_says_what_is_in_effect_without_it() {
    assert_eq!(CONFIGURATION.parse::<toml::Table>().unwrap(), toml::Table::new());
    let default = print_config("");
    assert_eq!(print_config(&configuration(|line| !is_example(line))), default);
    // Every key there is stands in it.
    let mentioned: toml::Table = configuration(|_| true).parse().unwrap();
    let missing = |table: &toml::Table, all: &toml::Table| {
        all.keys().filter(|key| *key != "state_dir" && !table.contains_key(*key)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(missing(&mentioned, &default), [""; 0]);
    assert_eq!(missing(mentioned["limits"].as_table().unwrap(), default["limits"].as_table().unwrap()), [""; 0]);
}

#[test]
fn its_examples_are_understood() {
    let all = configuration(|_| true).replace("\"self-signed\"", "\"files\"");
    let printed = print_config(&all);
    assert_eq!(printed["cert"].as_str(), Some("/etc/signal-srv/fullchain.pem"));
    assert_eq!(printed["metrics"].as_str(), Some("127.0.0.1:9464"));
    assert_eq!(printed["ice_servers"].as_array().unwrap().len(), 2);
    let printed = print_config(&configuration(|_| true).replace("\"self-signed\"", "\"acme\""));
    assert_eq!(printed["domains"][0].as_str(), Some("cam.example.org"));
    assert_eq!(printed["redirect"].as_str(), Some("127.0.0.1:8080"));
}
