//! The moving pictures that a bench encodes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Step;
use crate::run;
use crate::system::{self, Purpose};
use crate::workspace;

/// A street scene with people and cars, beside the repository where somebody has put it.
const FOOTAGE: &str = "../shared/footage/street.avi";

/// Seconds of a clip at 30 frames a second.
pub(crate) const SECONDS: u64 = 20;

/// Where the pictures come from.
#[derive(Debug, clap::Args)]
pub(crate) struct Footage {
    /// Encode this video; otherwise ../shared/footage/street.avi, or a synthetic clip where there is none
    #[arg(long, value_name = "FILE")]
    footage: Option<PathBuf>,
}

/// What is done to the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// Nothing.
    None,
    /// The noise of a small sensor in the evening is added.
    Evening,
}

impl Footage {
    /// Says what is used.
    pub(crate) fn describe(&self) -> String {
        self.file().map_or_else(
            || "a synthetic clip: ffmpeg's test source with noise".to_owned(),
            |file| format!("{}, a picture of it for each of ours", file.display()),
        )
    }

    fn file(&self) -> Option<PathBuf> {
        self.footage.clone().or_else(|| Some(workspace::root().join(FOOTAGE)).filter(|file| file.exists()))
    }

    /// A y4m file of 720x480 at 30 frames a second. A video with fewer frames a second plays faster: every picture is a
    /// new one, as from a camera.
    pub(crate) fn clip(&self, grain: Grain) -> Result<PathBuf> {
        system::prepare(Purpose::Footage)?;
        let folder = workspace::target().join("bench");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let clip = folder.join(if grain == Grain::None { "clip.y4m" } else { "evening.y4m" });
        let step = Step::begin(format!("Clip of {SECONDS} s from {}", self.describe()));
        run::to_the_end_silently(&mut self.conversion(grain, &clip))?;
        step.done();
        Ok(clip)
    }

    fn conversion(&self, grain: Grain, clip: &Path) -> Command {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-y"]);
        let mut filter = "setpts=N/30/TB,scale=720:480:flags=lanczos,setsar=1".to_owned();
        match self.file() {
            Some(file) => ffmpeg.args(["-stream_loop", "-1", "-i"]).arg(file),
            None => {
                filter += ",noise=alls=6:allf=t";
                ffmpeg.args(["-f", "lavfi", "-i", "testsrc2=size=720x480:rate=30"])
            }
        };
        if grain == Grain::Evening {
            filter += ",noise=alls=10:allf=t";
        }
        ffmpeg.args(["-vf", &filter, "-r", "30", "-frames:v"]).arg((SECONDS * 30).to_string());
        ffmpeg.args(["-pix_fmt", "yuv420p"]).arg(clip);
        ffmpeg
    }
}
