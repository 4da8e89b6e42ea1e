//! The browser side of a bench: a script that drives Chromium and is told, line by line, what to do.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::run;
use crate::test;
use crate::workspace;

/// Chromium with viewers of one link.
#[derive(Debug)]
pub(crate) struct Viewers {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What was seen while the page was loaded again and again.
#[derive(Debug, Deserialize)]
pub(crate) struct Joined {
    /// Milliseconds from the WebSocket being open to the first frame, of each load.
    #[serde(rename = "joined")]
    pub(crate) first_frames: Vec<f64>,
    /// Milliseconds from greeting the camera to its proof, the median of all loads.
    #[serde(rename = "handshake_ms")]
    pub(crate) handshake: f64,
}

/// What was seen while viewers watched.
#[derive(Debug, Deserialize)]
pub(crate) struct Watched {
    /// Decoded frames a second, of each viewer.
    pub(crate) frames_per_second: Vec<f64>,
    /// Milliseconds from capture to the frame being rendered, of the first viewer's frames.
    pub(crate) latencies: Vec<f64>,
    /// How long they watched, in seconds.
    pub(crate) seconds: f64,
}

impl Viewers {
    pub(crate) fn launch(link: &str) -> Result<Self> {
        let mut command = Command::new("node");
        command.current_dir(workspace::page_tests()).arg("browser/bench.js").env("ROOMCAM_LINK", link);
        test::browsers(&mut command);
        let mut child = run::ending_with_us(&command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the script that drives the browser")?;
        let orders = child.stdin.take().context("the script has no input")?;
        let answers = child.stdout.take().context("the script has no output")?;
        Ok(Self { child, orders, answers: BufReader::new(answers).lines() })
    }

    /// Loads the page so many times.
    pub(crate) fn join(&mut self, times: usize) -> Result<Joined> {
        self.order(&json!({ "do": "join", "times": times }))?;
        let (line, answer) = self.line()?;
        serde_json::from_value(answer).with_context(|| format!("expected `joined` and `handshake_ms`, not {line}"))
    }

    /// Lets so many viewers watch; `begun` and `ended` are called at the edges of the measured time.
    pub(crate) fn watch(
        &mut self,
        viewers: usize,
        seconds: u64,
        mut begun: impl FnMut() -> Result<()>,
        mut ended: impl FnMut() -> Result<()>,
    ) -> Result<Watched> {
        self.order(&json!({ "do": "watch", "viewers": viewers, "seconds": seconds }))?;
        let _: Value = self.answer("begun")?;
        begun()?;
        let _: Value = self.answer("ended")?;
        ended()?;
        self.answer("watched")
    }

    fn order(&mut self, order: &Value) -> Result<()> {
        writeln!(self.orders, "{order}").context("the script that drives the browser has ended")
    }

    /// The value of the next answer, which must have this name.
    fn answer<T: for<'a> Deserialize<'a>>(&mut self, name: &str) -> Result<T> {
        let (line, mut answer) = self.line()?;
        let value = answer.get_mut(name).with_context(|| format!("expected `{name}`, not {line}"))?.take();
        serde_json::from_value(value).with_context(|| format!("cannot read `{name}` of {line}"))
    }

    fn line(&mut self) -> Result<(String, Value)> {
        let Some(line) = self.answers.next() else { bail!("the script that drives the browser has ended") };
        let line = line.context("cannot read what the script says")?;
        let answer = serde_json::from_str(&line).with_context(|| format!("no answer: {line}"))?;
        Ok((line, answer))
    }

    /// Closes the browser.
    pub(crate) fn close(self) -> Result<()> {
        let Self { mut child, orders, answers } = self;
        drop(orders);
        let status = child.wait().context("cannot wait for the script that drives the browser")?;
        drop(answers);
        if !status.success() {
            bail!("the script that drives the browser failed ({status})");
        }
        Ok(())
    }
}
