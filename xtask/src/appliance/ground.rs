//! Where a scenario takes place: a lane with a router at its end, a browser, and copies of the card.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::browser::Browser;
use super::card::Card;
use super::checks::Checks;
use super::machine::{Machine, Plugs};
use super::network::{Clock, Daemon, Lane, PORT, SERVER};

/// How long a boot may take. A loaded machine was seen to take more than a minute.
pub(crate) const BOOT: Duration = Duration::from_secs(300);
/// How long it may take from there to whatever follows by itself.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// What the agent says once it can be found.
pub(crate) const JOINED: &[&str] = &["camera_fw", "joined"];

/// The laboratory's camera is a grabber with an analogue socket, and as such it does not know what is plugged in: of itself
/// it gives the 25 frames a second of PAL.
const NTSC: &str = "standard = \"NTSC\"\n";

/// Where the card has the server's certificate.
const CERTIFICATE: &str = "server.pem";

/// What a scenario may use.
#[derive(Debug)]
pub(crate) struct Ground<'run> {
    pub(crate) lane: Lane,
    /// How many each machine gets.
    pub(crate) cores: u8,
    pub(crate) checks: &'run Checks,
    /// The card as it was built.
    pub(crate) original: &'run Path,
    /// For cards and logs.
    pub(crate) folder: &'run Path,
    browser: Option<Browser>,
}

/// The services at the end of the cable that may be late.
#[derive(Debug)]
pub(crate) struct Router {
    _dns: Daemon,
    _clock: Clock,
}

impl<'run> Ground<'run> {
    pub(crate) fn new(lane: Lane, cores: u8, checks: &'run Checks, original: &'run Path, folder: &'run Path) -> Self {
        Self { lane, cores, checks, original, folder, browser: None }
    }

    /// Names and the time, as at home.
    pub(crate) fn router(&self) -> Result<Router> {
        Ok(Router { _dns: self.lane.dns(self.folder)?, _clock: self.lane.time(true)? })
    }

    /// A fresh card, on which a person has named the server.
    pub(crate) fn card(&self, name: &str) -> Result<Card> {
        let card = self.untouched(name)?;
        card.write("roomcam.toml", settings(NTSC).as_bytes())?;
        self.certify(&card)?;
        Ok(card)
    }

    /// The server's certificate, where the settings say.
    pub(crate) fn certify(&self, card: &Card) -> Result<()> {
        let file = self.folder.join("server/cert.pem");
        let certificate = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        card.write(CERTIFICATE, &certificate)
    }

    /// A fresh card.
    pub(crate) fn untouched(&self, name: &str) -> Result<Card> {
        Card::copy(self.original, &self.folder.join(format!("{name}.img")))
    }

    /// Switches a card on, with everything plugged in.
    pub(crate) fn boot(&self, card: &Card, name: &str) -> Result<Machine> {
        self.boot_with(card, Plugs::all(self.lane, self.cores), name)
    }

    pub(crate) fn boot_with(&self, card: &Card, plugs: Plugs, name: &str) -> Result<Machine> {
        Machine::start(card, plugs, self.folder, name)
    }

    pub(crate) fn browser(&mut self) -> Result<&mut Browser> {
        if self.browser.is_none() {
            self.browser = Some(Browser::launch(self.lane)?);
        }
        self.browser.as_mut().context("there is no browser")
    }

    /// What the label on the card says, once the card has written it.
    pub(crate) fn label(&mut self, machine: &mut Machine, card: &Card) -> Result<String> {
        wait_in(machine, "test -s /boot/firmware/roomcam-label.svg", SOON)?;
        // It becomes read-only again when all is on the card.
        wait_in(machine, "! grep -q ' /boot/firmware vfat rw' /proc/mounts", SOON)?;
        self.scan(card)
    }

    /// What the label on a card says that is switched off.
    pub(crate) fn scan(&mut self, card: &Card) -> Result<String> {
        let label = card.file.with_extension("svg");
        fs::write(&label, card.read("roomcam-label.svg")?)
            .with_context(|| format!("cannot write {}", label.display()))?;
        let link = self.browser()?.scan(&label)?;
        let expected = format!("https://{SERVER}:{PORT}/#");
        ensure!(link.starts_with(&expected), "the label's link does not begin with {expected}");
        Ok(link)
    }

    /// Whether somebody who opens the link sees moving pictures.
    pub(crate) fn sees(&mut self, link: &str) -> Result<String> {
        let browser = self.browser()?;
        browser.open(link)?;
        browser.wait_for_frames(10, SOON)?;
        browser.leave()?;
        Ok("10 frames".to_owned())
    }
}

/// A file `roomcam.toml` that names the server, and says this besides.
pub(crate) fn settings(more: &str) -> String {
    format!("server = \"wss://{SERVER}:{PORT}\"\nca = \"{CERTIFICATE}\"\n{more}")
}

/// Waits until a command succeeds in the card.
pub(crate) fn wait_in(machine: &mut Machine, condition: &str, within: Duration) -> Result<()> {
    let tenths = within.as_millis() / 500;
    let command =
        format!("i=0; until {{ {condition}; }}; do i=$((i+1)); [ $i -lt {tenths} ] || exit 1; sleep 0.5; done");
    machine.shell(&command).map(drop).with_context(|| format!("waited in vain for `{condition}`"))
}

/// The link of the identity that the card uses.
pub(crate) fn link(machine: &mut Machine) -> Result<String> {
    machine.shell("camera-fw code --link --config /run/roomcam/camera.toml").map(|link| link.trim().to_owned())
}

/// The milliseconds since power-on in a line of the agent's log.
pub(crate) fn boot_ms(line: &str) -> Option<f64> {
    let value = line.split("boot_ms=").nth(1)?;
    value.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Keeps what belongs to docs or to who looks into a failure.
pub(crate) fn picture(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_from_the_log() {
        assert_eq!(boot_ms("[  8.1] camera-fw[3]: INFO room joined boot_ms=8123 x=1"), Some(8123.0));
        assert_eq!(boot_ms("INFO room joined"), None);
    }

    #[test]
    fn the_line_numbers_of_settings_are_known() {
        assert_eq!(settings("fps = 1\n").lines().nth(2), Some("fps = 1"));
    }
}
