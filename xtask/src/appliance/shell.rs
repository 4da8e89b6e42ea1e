//! A shell of the running card, on a virtio port, by a unit that the kernel's line brings along
//! (systemd-debug-generator(8)): the card itself has nothing of the kind.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long a command may take. A loaded machine takes long to boot as far as the shell, too.
const PATIENCE: Duration = Duration::from_secs(240);

const NAME: &str = "proof.service";

/// Early, and on its own: what it looks at must not be changed by it. The port is there once udev has loaded its driver; to
/// open it before would make a file of that name.
const UNIT: &str = "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=1\n\
    ExecStart=/bin/sh -c 'until [ -c /dev/vport0p1 ]; do sleep .5; done; exec sh <>/dev/vport0p1 >&0 2>&1'\n";

/// The words for the kernel's line.
pub(crate) fn unit() -> String {
    format!("systemd.set_credential_binary=systemd.extra-unit.{NAME}:{} systemd.wants={NAME}", base64(UNIT.as_bytes()))
}

/// Our end of it.
#[derive(Debug)]
pub(crate) struct Shell {
    stream: BufReader<UnixStream>,
    asked: usize,
}

impl Shell {
    pub(crate) fn on(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE)).context("cannot set a socket's patience")?;
        Ok(Self { stream: BufReader::new(stream), asked: 0 })
    }

    /// What a command prints; an error if it fails.
    pub(crate) fn run(&mut self, command: &str) -> Result<String> {
        self.asked += 1;
        let end = format!("::end-{} ", self.asked);
        // What it reads of the port would be the next command.
        let order = format!("( {command}\n) </dev/null; echo; echo \"{end}$?\"\n");
        self.stream.get_mut().write_all(order.as_bytes()).context("the card's shell is gone")?;
        let mut said = String::new();
        loop {
            let mut line = Vec::new();
            let length = self.stream.read_until(b'\n', &mut line);
            let length = length.with_context(|| format!("the card's shell does not answer to `{command}`"))?;
            ensure!(length > 0, "the card went down during `{command}`");
            let line = String::from_utf8_lossy(&line);
            if let Some(status) = line.strip_prefix(&end) {
                let said = said.trim_end().to_owned();
                ensure!(status.trim() == "0", "`{command}` failed in the card ({}):\n{said}", status.trim());
                return Ok(said);
            }
            said += &line;
        }
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*chunk.get(at).unwrap_or(&0)));
        for digit in 0..4 {
            let known = digit <= chunk.len();
            text.push(if known { char::from(DIGITS[bits >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }
}
