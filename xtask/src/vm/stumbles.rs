//! What the guest must report of a camera that stumbles while the agent runs: `stumbles.sh`.

use super::verdict::{Check, Section, ensure};

/// How often the camera is unplugged.
pub(super) const CYCLES: u32 = 100;

/// What the agent may hold more after all of them than after the first half, in KiB: nothing, but for the allocator's
/// habits. One frame or encoder kept at each time would be tens of thousands.
const GROWTH: u32 = 1_024;

/// Name, section, what must be true of it.
pub(super) const CHECKS: &[Check] = &[
    ("a camera that is unplugged a hundred times comes back, also under another number", "replug", replugged),
    ("one that comes late is waited for", "late", late),
    ("one that breaks is opened anew", "mended", mended),
    ("one that stays silent ends the agent, after three times anew", "silence", silent),
    ("a signal and a switch pause it, and let others have the camera", "paused", paused),
];

/// A figure of `key=value` words.
pub(super) fn figure(section: &Section, key: &str) -> Result<u32, String> {
    let words = section.text.lines().flat_map(|line| line.split(' '));
    let found = words.filter_map(|word| word.split_once('=')).find(|(name, _)| *name == key);
    let (_, value) = found.ok_or_else(|| format!("there is no {key}"))?;
    value.parse().map_err(|_| format!("{key} is {value}, which is no number"))
}

fn stopped_in_order(section: &Section) -> Result<(), String> {
    ensure(figure(section, "agent")? == 0, "the agent did not stop in order")
}

fn replugged(section: &Section) -> Result<String, String> {
    ensure(figure(section, "cycles")? == CYCLES, "it did not come back each time")?;
    // Those whose old node somebody kept open.
    let moved = figure(section, "moved")?;
    ensure(moved >= CYCLES / 2, format!("it came back under another number {moved} times only"))?;
    let [early, late] = ["early", "late"].map(|when| holdings(section, when));
    let ((early_open, early_kib), (late_open, late_kib)) = (early?, late?);
    ensure(early_open == late_open, format!("{early_open} descriptors became {late_open}"))?;
    ensure(late_kib <= early_kib + GROWTH, format!("{early_kib} KiB became {late_kib}"))?;
    stopped_in_order(section)?;
    let worst = figure(section, "worst_ms")?;
    Ok(format!("{moved} times under another; back after {worst} ms at most; {late_open} descriptors, {late_kib} KiB"))
}

/// Of `early=17,4711`: descriptors and KiB.
fn holdings(section: &Section, when: &str) -> Result<(u32, u32), String> {
    let at = section.text.lines().find_map(|line| line.split_once(&format!("{when}=")));
    let word = at.and_then(|(_, rest)| rest.split(' ').next()).ok_or_else(|| format!("there is no {when}"))?;
    let numbers = word.split_once(',').and_then(|(open, kib)| Some((open.parse().ok()?, kib.parse().ok()?)));
    numbers.ok_or_else(|| format!("{when} is {word}"))
}

fn late(section: &Section) -> Result<String, String> {
    section.says("it waits")?;
    section.says("it streams")?;
    stopped_in_order(section)?;
    Ok(String::new())
}

fn mended(section: &Section) -> Result<String, String> {
    ensure(figure(section, "opened")? == 2, "it was not opened twice")?;
    stopped_in_order(section)?;
    Ok(String::new())
}

fn silent(section: &Section) -> Result<String, String> {
    ensure(section.status == Some(1), "it did not fail with status 1")?;
    section.says("delivered no frame for ")?;
    ensure(figure(section, "opened")? == 4, "it was not opened four times")?;
    Ok(String::new())
}

fn paused(section: &Section) -> Result<String, String> {
    section.says("signal: live again")?;
    section.says("switch: live again")?;
    let captures = section.text.lines().filter(|line| line.starts_with("format=YU12")).count();
    ensure(captures == 2, format!("others had the camera {captures} times and not 2"))?;
    stopped_in_order(section)?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLUGGED: &str = "cycles=100 worst_ms=812 moved=50 early=17,4100 late=17,4200\nagent=0\n";

    fn section(text: &str) -> Section {
        Section { text: text.to_owned(), status: Some(0) }
    }

    #[test]
    fn a_camera_must_come_back_each_time_and_leave_nothing_behind() {
        assert!(replugged(&section(REPLUGGED)).unwrap().contains("812 ms"));
        for (part, other) in [
            ("cycles=100", "cycles=99"),
            ("moved=50", "moved=3"),
            ("late=17", "late=18"),
            ("late=17,4200", "late=17,9000"),
            ("early=17,4100", "early="),
            ("agent=0", "agent=1"),
            ("agent=0", ""),
        ] {
            let text = REPLUGGED.replace(part, other);
            assert!(replugged(&section(&text)).is_err(), "{text}");
        }
    }

    #[test]
    fn others_must_get_the_camera_during_a_pause() {
        let capture = "format=YU12 size=720x480\n";
        let text = format!("{capture}signal: live again\n{capture}switch: live again\nagent=0\n");
        assert!(paused(&section(&text)).is_ok());
        assert!(paused(&section(&text.replacen(capture, "", 1))).is_err());
        assert!(paused(&section(&text.replace("switch: live again", ""))).is_err());
    }

    #[test]
    fn silence_must_end_with_its_reason() {
        let text = "opened=4\nerror: /dev/video0 delivered no frame for 5 s\n";
        assert!(silent(&section(text)).is_err(), "it ended without a failure");
        assert!(silent(&Section { text: text.to_owned(), status: Some(1) }).is_ok());
        assert!(silent(&Section { text: text.replace('4', "3"), status: Some(1) }).is_err());
    }
}
