//! Inputs, television standards and digital timings: what a grabber must be told before it has a picture.

use std::io;

use nix::errno::Errno;
use v4l::v4l_sys::{
    V4L2_IN_CAP_DV_TIMINGS, V4L2_IN_CAP_STD, V4L2_IN_ST_NO_H_LOCK, V4L2_IN_ST_NO_POWER, V4L2_IN_ST_NO_SIGNAL,
    V4L2_IN_ST_NO_SYNC, V4L2_IN_ST_NO_V_LOCK, V4L2_INPUT_TYPE_TOUCH,
};

use super::ioctl::{Input, Node, Standard};

/// Standards that share a name: `v4l2_std_id` is a set of these bits.
const FAMILIES: [(&str, u64); 3] = [("PAL", 0x0000_00ff), ("NTSC", 0x0000_b000), ("SECAM", 0x00ff_0000)];

/// What a step with the inputs came to, if it did not succeed.
#[derive(Debug)]
pub(super) enum InputError {
    /// There is no such input or standard; what there is.
    Unknown(String),
    /// The driver refused.
    Refused(&'static str, io::Error),
}

/// The inputs that a picture can come from.
pub(super) fn list(node: &Node) -> Vec<Input> {
    let mut inputs = node.inputs();
    inputs.retain(|input| input.kind != V4L2_INPUT_TYPE_TOUCH);
    inputs
}

/// Turns to the input and the standard asked for, and to the timings that a digital signal has.
pub(super) fn select(node: &Node, input: Option<&str>, standard: Option<&str>) -> Result<(), InputError> {
    let inputs = list(node);
    if let Some(wanted) = input {
        let found = find_input(&inputs, wanted).map_err(InputError::Unknown)?;
        node.set_input(found.index).map_err(|error| InputError::Refused("switch to its input", error))?;
    }
    let Some(current) = node.input().ok().and_then(|index| inputs.into_iter().find(|input| input.index == index))
    else {
        return match standard {
            Some(standard) => Err(InputError::Unknown(format!("has no input that could be set to {standard}"))),
            None => Ok(()),
        };
    };
    if let Some(wanted) = standard {
        let detected = || node.detect_standard().unwrap_or(0);
        let id = find_standard(&current, &node.standards(), wanted, detected).map_err(InputError::Unknown)?;
        node.set_standard(id).map_err(|error| InputError::Refused("set its standard", error))?;
    }
    if current.capabilities & V4L2_IN_CAP_DV_TIMINGS != 0 {
        follow_signal(node, &current.name);
    }
    Ok(())
}

/// A digital input has the size that its signal has, once it is told so.
fn follow_signal(node: &Node, name: &str) {
    match node.detect_timings().and_then(|timings| node.set_timings(timings)) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(Errno::ENOLINK as i32) => {
            tracing::warn!(input = name, "no signal: is the other end switched on and connected?");
        }
        Err(error) => tracing::debug!(input = name, %error, "the signal's timings cannot be followed"),
    }
}

/// By number or by name, in either case.
fn find_input<'a>(inputs: &'a [Input], wanted: &str) -> Result<&'a Input, String> {
    let by_number = inputs.iter().find(|input| wanted.trim() == input.index.to_string());
    // With what `camera-fw devices` writes behind it, or without.
    let name = wanted.split_once(" (").map_or(wanted, |(name, _)| name).trim();
    let by_name = || inputs.iter().find(|input| input.name.eq_ignore_ascii_case(name));
    by_number.or_else(by_name).ok_or_else(|| {
        let names: Vec<_> = inputs.iter().map(|input| format!("{} ({})", input.index, input.name)).collect();
        format!("has no input {wanted}; it has {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") })
    })
}

/// By its name (`PAL`, `NTSC-M`), or `auto` for the one that the signal has.
fn find_standard(
    input: &Input,
    standards: &[Standard],
    wanted: &str,
    detected: impl Fn() -> u64,
) -> Result<u64, String> {
    if input.capabilities & V4L2_IN_CAP_STD == 0 && input.standards == 0 {
        return Err(format!("has no television standards at its input {}: leave `standard` out", input.name));
    }
    let wanted = wanted.trim();
    let by_name = || standards.iter().find(|standard| standard.name.eq_ignore_ascii_case(wanted)).map(|found| found.id);
    let by_family = || FAMILIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, bits)| *bits);
    if wanted.eq_ignore_ascii_case("auto") {
        let id = detected() & input.standards;
        let silent = || format!("has no signal at its input {} that would tell its standard", input.name);
        return if id == 0 { Err(silent()) } else { Ok(id) };
    }
    match by_family().or_else(by_name).map(|id| id & input.standards) {
        Some(id) if id != 0 => Ok(id),
        _ => {
            let names: Vec<_> = standards.iter().map(|standard| standard.name.as_str()).collect();
            Err(format!("does not know the standard {wanted}; it knows auto, {}", names.join(", ")))
        }
    }
}

/// Its name, with the standards that it knows and what is wrong with it.
pub(super) fn describe(input: &Input) -> String {
    let families = FAMILIES.iter().filter(|(_, bits)| input.standards & bits != 0).map(|(name, _)| *name);
    let details: Vec<_> = families.chain(trouble(input)).collect();
    if details.is_empty() { input.name.clone() } else { format!("{} ({})", input.name, details.join(", ")) }
}

/// What is wrong with a picture from this input, if anything.
pub(super) fn trouble(input: &Input) -> Option<&'static str> {
    let is = |flags: u32| input.status & flags != 0;
    if is(V4L2_IN_ST_NO_POWER) {
        Some("no power")
    } else if is(V4L2_IN_ST_NO_SIGNAL) {
        Some("no signal")
    } else if is(V4L2_IN_ST_NO_SYNC | V4L2_IN_ST_NO_H_LOCK | V4L2_IN_ST_NO_V_LOCK) {
        Some("a signal that it cannot follow")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAL_BG: u64 = 0x07;
    const NTSC_M: u64 = 0x1000;

    fn input(index: u32, name: &str) -> Input {
        Input { index, name: name.into(), kind: 2, status: 0, capabilities: V4L2_IN_CAP_STD, standards: 0xb0ff }
    }

    #[test]
    fn inputs_are_found_by_number_and_by_name() {
        let inputs = [input(0, "Composite"), input(1, "S-Video")];
        assert_eq!(find_input(&inputs, "1").unwrap().name, "S-Video");
        assert_eq!(find_input(&inputs, "s-video").unwrap().index, 1);
        assert_eq!(find_input(&inputs, "S-Video (PAL, no signal)").unwrap().index, 1, "as it is listed");
        assert_eq!(find_input(&inputs, "HDMI").unwrap_err(), "has no input HDMI; it has 0 (Composite), 1 (S-Video)");
        assert_eq!(find_input(&[], "0").unwrap_err(), "has no input 0; it has none");
    }

    #[test]
    fn standards_are_found_by_family_and_by_name() {
        let standards = [("PAL-B/G", PAL_BG), ("NTSC-M", NTSC_M)].map(|(name, id)| Standard { id, name: name.into() });
        let find = |wanted: &str| find_standard(&input(0, "S-Video"), &standards, wanted, || NTSC_M);
        assert_eq!(find("PAL").unwrap(), 0xff);
        assert_eq!(find("ntsc").unwrap(), 0xb000);
        assert_eq!(find("ntsc-m").unwrap(), NTSC_M);
        assert_eq!(find("auto").unwrap(), NTSC_M);
        let silent = find_standard(&input(0, "S-Video"), &standards, "auto", || 0).unwrap_err();
        assert_eq!(silent, "has no signal at its input S-Video that would tell its standard");
        assert!(find("SECAM").is_err(), "the input has it not");
        assert_eq!(find("HD").unwrap_err(), "does not know the standard HD; it knows auto, PAL-B/G, NTSC-M");
    }

    #[test]
    fn a_webcam_has_no_standards() {
        let webcam = Input { capabilities: 0, standards: 0, ..input(0, "Camera 1") };
        let refused = find_standard(&webcam, &[], "PAL", || 0).unwrap_err();
        assert!(refused.contains("Camera 1") && refused.contains("leave `standard` out"), "{refused}");
    }

    #[test]
    fn an_input_is_listed_with_what_it_knows() {
        assert_eq!(describe(&input(0, "Composite")), "Composite (PAL, NTSC)");
        assert_eq!(
            describe(&Input { standards: 0, status: V4L2_IN_ST_NO_SIGNAL, ..input(0, "HDMI") }),
            "HDMI (no signal)"
        );
        assert_eq!(describe(&Input { standards: 0, ..input(0, "Camera 1") }), "Camera 1");
    }

    #[test]
    fn an_input_without_signal_says_so() {
        let with = |status| trouble(&Input { status, ..input(0, "HDMI") });
        assert_eq!(with(0), None);
        assert_eq!(with(V4L2_IN_ST_NO_SIGNAL), Some("no signal"));
        assert_eq!(with(V4L2_IN_ST_NO_POWER | V4L2_IN_ST_NO_SIGNAL), Some("no power"));
        assert_eq!(with(V4L2_IN_ST_NO_H_LOCK), Some("a signal that it cannot follow"));
    }
}
