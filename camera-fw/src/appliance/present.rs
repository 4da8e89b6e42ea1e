//! When the agent runs: label and errors on the boot partition, code and errors on the screen.
//!
//! Nothing is written that is there already: a memory card wears out by writing, and the boot partition is writable for
//! the moment of a change only.

use std::fs;
use std::io;

use signal_proto::seal::Code;

use super::boot::Boot;
use super::console::Screen;
use super::home::Owner;
use super::prepare::{CAMERA, Notes};
use super::problems::Problems;
use super::{ApplianceError, Present, files};
use crate::code;
use crate::config::{Config, Layer};
use crate::identity::Identity;
use crate::label;

/// On the boot partition.
pub(super) const LABEL: &str = "roomcam-label.svg";
const ERRORS: &str = "roomcam-errors.txt";

/// Does all of it.
///
/// # Errors
/// If nothing was prepared.
pub fn present(arguments: &Present) -> Result<(), ApplianceError> {
    let folders = &arguments.folders;
    let boot = Boot::new(&folders.boot);
    let mut problems = Problems::load(&folders.run);
    let notes = Notes::load(&folders.run);
    let config = Layer::from_file(&folders.run.join(CAMERA))?.resolve()?;
    let loaded = Owner::of_folder(&config.state_dir).act(|| Identity::load(&config.state_dir));
    let loaded = loaded.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string()));
    let code = loaded.map(|identity| identity.code()).map_err(|problem| problems.add(problem)).ok();
    let link = code.map(|code| code::link(code, &config.page_url));
    if let Some(code) = code.filter(|_| notes.lasts) {
        put_label(&boot, code, &config, &mut problems);
    }
    put_errors(&boot, &mut problems);

    let name = config.name.to_string();
    let link = link.as_deref().filter(|_| notes.shows_code);
    let screen = Screen { name: &name, link, problems: problems.lines() };
    if let Err(error) = screen.show(&arguments.console) {
        tracing::info!(%error, device = %arguments.console.display(), "there is no screen to write to");
    }
    Ok(())
}

/// Draws the label, unless the one that is there says the same.
fn put_label(boot: &Boot, code: Code, config: &Config, problems: &mut Problems) {
    let mark = label::mark(&code::link(code, &config.page_url), &config.name);
    if fs::read_to_string(boot.folder().join(LABEL)).is_ok_and(|svg| svg.ends_with(&mark)) {
        return;
    }
    let label = match label::svg(code, &config.page_url, &config.name) {
        Ok(label) => label,
        Err(error) => return problems.add(format!("there is no label: {error}")),
    };
    if !label.left_out.is_empty() {
        tracing::warn!(letters = label.left_out, "no font has these letters of the name, so the label is without them");
    }
    match boot.write(|folder| files::put_durably(&folder.join(LABEL), label.svg.as_bytes())) {
        Ok(()) => tracing::info!(file = LABEL, "the label is on the boot partition"),
        Err(error) => problems.add(format!("the label cannot be written to the boot partition ({error})")),
    }
}

/// Says what is wrong where a person with a computer sees it, and takes it away when it is right.
fn put_errors(boot: &Boot, problems: &mut Problems) {
    let path = boot.folder().join(ERRORS);
    let wanted = errors(problems.lines());
    let written = match (fs::read(&path), wanted) {
        (Err(error), None) if error.kind() == io::ErrorKind::NotFound => return,
        (_, None) => boot.write(|_| fs::remove_file(&path)),
        (there, Some(text)) => {
            if there.is_ok_and(|there| there == text.as_bytes()) {
                return;
            }
            boot.write(|_| files::put_durably(&path, text.as_bytes()))
        }
    };
    if let Err(error) = written {
        problems
            .add(format!("{ERRORS} on the boot partition is not up to date, because it cannot be written ({error})"));
    }
}

/// As every editor shows it, those of Windows too.
fn errors(problems: &[String]) -> Option<String> {
    if problems.is_empty() {
        return None;
    }
    let mut text =
        "What the camera found wrong when it was last switched on. Mend it, put the card back, and switch on:\n\
                    this file is gone when nothing is wrong any more.\n\n"
            .to_owned();
    for problem in problems {
        text.push_str(&format!("* {problem}\n"));
    }
    Some(text.replace('\n', "\r\n"))
}
