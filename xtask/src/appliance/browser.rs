//! The person with the phone: headless Chromium, driven by `image/test/viewer.js`.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::network::{Lane, SERVER};
use super::qr;
use crate::run;
use crate::test;
use crate::workspace;

/// A browser in which one page can be open.
#[derive(Debug)]
pub(crate) struct Browser {
    child: Child,
    /// Closed when nothing more is to come: the script ends with it.
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What somebody saw who watched.
#[derive(Debug, Deserialize)]
pub(crate) struct Watched {
    pub(crate) frames_per_second: f64,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Browser {
    pub(crate) fn launch(lane: Lane) -> Result<Self> {
        let mut command = Command::new("node");
        command.current_dir(workspace::root()).arg("image/test/viewer.js");
        command.env("ROOMCAM_RESOLVE", format!("MAP {SERVER} {}", lane.gateway()));
        test::browsers(&mut command);
        let mut child = run::ending_with_us(&command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the script that drives the browser")?;
        let orders = child.stdin.take().context("the script has no input")?;
        let answers = child.stdout.take().context("the script has no output")?;
        Ok(Self { child, orders: Some(orders), answers: BufReader::new(answers).lines() })
    }

    /// What the QR code of a label says.
    pub(crate) fn scan(&mut self, label: &Path) -> Result<String> {
        let picture = label.with_extension("pgm");
        self.order(&json!({ "do": "draw", "svg": label, "pgm": picture }))?;
        let _: Value = self.answer("drawn")?;
        qr::read(&picture)
    }

    /// Opens a link; whether there is a picture is for [`Browser::watch`] to find out.
    pub(crate) fn open(&mut self, link: &str) -> Result<()> {
        self.order(&json!({ "do": "open", "link": link }))?;
        self.answer::<Value>("opened").map(drop)
    }

    /// Waits for so many frames of the open page.
    pub(crate) fn wait_for_frames(&mut self, frames: u32, within: Duration) -> Result<()> {
        self.order(&json!({ "do": "wait", "frames": frames, "within": within.as_millis() as u64 }))?;
        self.answer::<Value>("waited").map(drop)
    }

    /// Watches the open page for so long.
    pub(crate) fn watch(&mut self, seconds: u64) -> Result<Watched> {
        self.order(&json!({ "do": "watch", "seconds": seconds }))?;
        self.answer("watched")
    }

    /// Makes a picture of the open page.
    pub(crate) fn photograph(&mut self, file: &Path) -> Result<()> {
        self.order(&json!({ "do": "photograph", "file": file }))?;
        self.answer::<Value>("photographed").map(drop)
    }

    /// Goes away from the page.
    pub(crate) fn leave(&mut self) -> Result<()> {
        self.order(&json!({ "do": "leave" }))?;
        self.answer::<Value>("left").map(drop)
    }

    fn order(&mut self, order: &Value) -> Result<()> {
        let orders = self.orders.as_mut().context("the script that drives the browser takes no more orders")?;
        writeln!(orders, "{order}").context("the script that drives the browser has ended")
    }

    /// The value of the next answer, which must have this name.
    fn answer<T: for<'a> Deserialize<'a>>(&mut self, name: &str) -> Result<T> {
        let Some(line) = self.answers.next() else { bail!("the script that drives the browser has ended") };
        let line = line.context("cannot read what the script says")?;
        let mut answer: Value = serde_json::from_str(&line).with_context(|| format!("no answer: {line}"))?;
        if let Some(problem) = answer.get("failed").and_then(Value::as_str) {
            bail!("in the browser: {problem}");
        }
        let value = answer.get_mut(name).with_context(|| format!("expected `{name}`, not {line}"))?.take();
        serde_json::from_value(value).with_context(|| format!("cannot read `{name}` of {line}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.orders.take());
        // It closes the browser and ends, unless it has already.
        let _ = self.child.wait();
    }
}
