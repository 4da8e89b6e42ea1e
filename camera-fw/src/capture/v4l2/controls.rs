//! Controls by name: what a person asks for becomes steps that the driver takes, in an order that works.
//!
//! Besides a driver's own names (as `v4l2-ctl` prints them) there are some that every camera understands alike: `exposure`
//! (`auto`, or milliseconds), `gain` (`auto`, or a number), `white_balance` (`auto`, kelvins, or the name of a mode),
//! `focus` (`auto`, or a number), `power_line_frequency`, `hflip`, `vflip`, `hdr`. Switches and menus go first: a manual
//! value counts only once the automatic is off.

use v4l::v4l_sys as sys;

use super::ioctl::{ControlDescription, Node};
use crate::capture::inventory::ControlInfo;
use crate::capture::settings::{Controls, Value};

/// A control that can be set, with its limits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Control {
    id: u32,
    name: String,
    kind: Kind,
    now: Option<i32>,
    /// It shows something and takes nothing.
    read_only: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Switch,
    Number { min: i64, max: i64, step: i64 },
    Menu(Vec<(i32, String)>),
}

/// One control set to one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    id: u32,
    name: String,
    value: i32,
    /// A switch or a menu.
    first: bool,
}

/// The controls of a device that take a number, an entry of a menu, or on and off.
pub(super) fn list(node: &Node) -> Vec<Control> {
    node.controls().into_iter().filter_map(|description| control(node, &description)).collect()
}

fn control(node: &Node, description: &ControlDescription) -> Option<Control> {
    let ControlDescription { id, min, max, .. } = *description;
    if description.flags & sys::V4L2_CTRL_FLAG_DISABLED != 0 {
        return None;
    }
    let menu = |text: &dyn Fn(u32) -> std::io::Result<String>| {
        let entries = (u32::try_from(min).ok()?..=u32::try_from(max).ok()?.min(255)).filter_map(|index| {
            // A menu has holes where the device lacks an entry.
            text(index).ok().map(|text| (index as i32, text))
        });
        Some(Kind::Menu(entries.collect()))
    };
    let kind = match description.kind {
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER => {
            Kind::Number { min, max, step: i64::try_from(description.step).unwrap_or(1).max(1) }
        }
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => Kind::Switch,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU => menu(&|index| node.menu_text(id, index))?,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => {
            menu(&|index| node.menu_number(id, index).map(|number| number.to_string()))?
        }
        _ => return None,
    };
    let read_only = description.flags & sys::V4L2_CTRL_FLAG_READ_ONLY != 0;
    Some(Control { id, name: variable(&description.name), kind, now: node.control(id).ok(), read_only })
}

/// Sets what is asked for. What cannot be done is said in the log, and the camera goes on without it.
pub(super) fn apply(node: &Node, wanted: &Controls) {
    if wanted.is_empty() {
        return;
    }
    let (steps, mut warnings) = plan(&list(node), wanted);
    for step in steps {
        match node.set_control(step.id, step.value) {
            Ok(()) => tracing::debug!(control = step.name, value = step.value, "control set"),
            Err(error) => warnings.push(format!("the camera refuses {} = {}: {error}", step.name, step.value)),
        }
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// The steps in their order, and what cannot be done.
fn plan(controls: &[Control], wanted: &Controls) -> (Vec<Step>, Vec<String>) {
    let (mut steps, mut warnings) = (Vec::new(), Vec::new());
    for (name, value) in wanted {
        match common(controls, name, value).unwrap_or_else(|| own(controls, name, value)) {
            Ok(found) => {
                for (control, value, note) in found {
                    let first = !matches!(control.kind, Kind::Number { .. });
                    steps.push(Step { id: control.id, name: control.name.clone(), value, first });
                    warnings.extend(note);
                }
            }
            Err(warning) => warnings.push(warning),
        }
    }
    steps.sort_by_key(|step| !step.first);
    (steps, warnings)
}

/// A control, its value, and what became of the value asked for if that was not possible.
type Settings<'a> = Vec<(&'a Control, i32, Option<String>)>;

/// The names that all cameras have in common; nothing if it is another, or the camera has it under its own name alone.
fn common<'a>(controls: &'a [Control], name: &str, value: &Value) -> Option<Result<Settings<'a>, String>> {
    let by_id = |id: u32| controls.iter().find(|control| control.id == id);
    let auto = matches!(value, Value::Text(text) if text.eq_ignore_ascii_case("auto"));
    // The two halves of a pair: which automatic, set to what, and the value by hand.
    let pair = |switch: Option<&'a Control>, state: i32, manual: Option<(&'a Control, Value)>| {
        let mut settings: Settings<'a> = switch.map(|switch| (switch, state, None)).into_iter().collect();
        if let Some((control, value)) = manual {
            settings.push(fit(control, &value)?.into_setting(control));
        }
        Ok(settings)
    };
    let alone = |id: u32, value: Value| Some(pair(None, 0, Some((by_id(id)?, value))));
    let with_switch = |switch: u32, manual: u32| {
        let switch = by_id(switch);
        Some(if auto { pair(Some(switch?), 1, None) } else { pair(switch, 0, Some((by_id(manual)?, value.clone()))) })
    };
    match name {
        "exposure" => {
            let mode = by_id(sys::V4L2_CID_EXPOSURE_AUTO);
            let entry = |wanted: &[i32]| mode.and_then(|mode| mode.entry_of(wanted));
            if auto {
                // Altogether, or by aperture priority, as webcams call it.
                let automatic = entry(&[0, 3]).ok_or_else(|| missing(controls, "an automatic exposure"));
                return Some(automatic.and_then(|state| pair(mode, state, None)));
            }
            let control = by_id(sys::V4L2_CID_EXPOSURE_ABSOLUTE)?;
            let Some(ms) = milliseconds(value) else {
                return Some(Err(format!("exposure takes \"auto\" or milliseconds, not {value}")));
            };
            // Units of 100 µs. The mode: by hand, or at least the time by hand.
            let units = Value::Integer((ms * 10.0).round() as i64);
            let by_hand = entry(&[1, 2]);
            Some(pair(by_hand.and(mode), by_hand.unwrap_or_default(), Some((control, units))))
        }
        "white_balance" => match (value, by_id(sys::V4L2_CID_AUTO_N_PRESET_WHITE_BALANCE)) {
            (Value::Text(_), Some(modes)) => Some(pair(None, 0, Some((modes, value.clone())))),
            _ => with_switch(sys::V4L2_CID_AUTO_WHITE_BALANCE, sys::V4L2_CID_WHITE_BALANCE_TEMPERATURE),
        },
        "gain" => with_switch(sys::V4L2_CID_AUTOGAIN, sys::V4L2_CID_GAIN),
        "focus" => with_switch(sys::V4L2_CID_FOCUS_AUTO, sys::V4L2_CID_FOCUS_ABSOLUTE),
        "power_line_frequency" => alone(
            sys::V4L2_CID_POWER_LINE_FREQUENCY,
            match value {
                Value::Integer(hertz @ (50 | 60)) => Value::Text(format!("{hertz} Hz")),
                other => other.clone(),
            },
        ),
        "hflip" => alone(sys::V4L2_CID_HFLIP, value.clone()),
        "vflip" => alone(sys::V4L2_CID_VFLIP, value.clone()),
        "hdr" => alone(sys::V4L2_CID_WIDE_DYNAMIC_RANGE, value.clone()),
        _ => None,
    }
}

/// A driver's own name.
fn own<'a>(controls: &'a [Control], name: &str, value: &Value) -> Result<Settings<'a>, String> {
    let control = controls.iter().find(|control| control.name == variable(name));
    let control = control.ok_or_else(|| missing(controls, &format!("a control {name}")))?;
    Ok(vec![fit(control, value)?.into_setting(control)])
}

fn missing(controls: &[Control], what: &str) -> String {
    let names: Vec<_> =
        controls.iter().filter(|control| !control.read_only).map(|control| control.name.as_str()).collect();
    let names = if names.is_empty() { "nothing that can be set".to_owned() } else { names.join(", ") };
    format!("the camera has not {what}; it has {names}")
}

fn milliseconds(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(ms) => Some(*ms as f64),
        Value::Float(ms) => Some(*ms),
        Value::Bool(_) | Value::Text(_) => None,
    }
}

/// A value that the control takes, and a note if it is not the one asked for.
struct Fit(i32, Option<String>);

impl Fit {
    fn into_setting(self, control: &Control) -> (&Control, i32, Option<String>) {
        (control, self.0, self.1)
    }
}

fn fit(control: &Control, value: &Value) -> Result<Fit, String> {
    let refused = || format!("{} does not take {value}; it takes {}", control.name, control.takes());
    if control.read_only {
        return Err(format!("{} can be read and not set", control.name));
    }
    let number = match value {
        Value::Bool(on) => Some(i64::from(*on)),
        Value::Integer(number) => Some(*number),
        Value::Float(number) => Some(number.round() as i64),
        Value::Text(text) => text.trim().parse().ok(),
    };
    match (&control.kind, value, number) {
        (Kind::Switch, Value::Text(text), _) if ["on", "true"].iter().any(|on| text.eq_ignore_ascii_case(on)) => {
            Ok(Fit(1, None))
        }
        (Kind::Switch, Value::Text(text), _) if ["off", "false"].iter().any(|off| text.eq_ignore_ascii_case(off)) => {
            Ok(Fit(0, None))
        }
        (Kind::Switch, _, Some(number @ 0..=1)) => Ok(Fit(number as i32, None)),
        (Kind::Number { min, max, step }, _, Some(number)) => {
            let limited = number.clamp(*min, *max);
            let stepped = min + (limited - min) / step * step;
            let taken = i32::try_from(stepped).map_err(|_| refused())?;
            let note = (limited != number)
                .then(|| format!("{} = {number} becomes {taken}: it takes {}", control.name, control.takes()));
            Ok(Fit(taken, note))
        }
        (Kind::Menu(entries), Value::Text(text), number) => {
            let same = |entry: &str| variable(entry) == variable(text);
            // What is off is called Disabled in a menu of the kernel.
            let off = |entry: &str| text.eq_ignore_ascii_case("off") && entry.eq_ignore_ascii_case("disabled");
            let by_name = entries.iter().find(|(_, entry)| same(entry) || off(entry));
            let by_number = entries.iter().find(|(index, _)| number == Some(i64::from(*index)));
            by_name.or(by_number).map(|(index, _)| Fit(*index, None)).ok_or_else(refused)
        }
        (Kind::Menu(entries), _, Some(number)) => {
            let found = entries.iter().find(|(index, _)| i64::from(*index) == number);
            found.map(|(index, _)| Fit(*index, None)).ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

impl Control {
    /// The first of these entries that the menu has.
    fn entry_of(&self, wanted: &[i32]) -> Option<i32> {
        let Kind::Menu(entries) = &self.kind else { return None };
        wanted.iter().copied().find(|wanted| entries.iter().any(|(index, _)| index == wanted))
    }

    fn takes(&self) -> String {
        match &self.kind {
            Kind::Switch => "on or off".to_owned(),
            Kind::Number { min, max, step: 1 } => format!("{min} to {max}"),
            Kind::Number { min, max, step } => format!("{min} to {max} in steps of {step}"),
            Kind::Menu(entries) => entries.iter().map(|(_, entry)| entry.as_str()).collect::<Vec<_>>().join(", "),
        }
    }

    /// What `camera-fw devices` shows of it.
    pub(super) fn info(&self) -> ControlInfo {
        let now = self.now.map(|now| match &self.kind {
            Kind::Switch => if now == 0 { "off" } else { "on" }.to_owned(),
            Kind::Number { .. } => now.to_string(),
            Kind::Menu(entries) => {
                let entry = entries.iter().find(|(index, _)| *index == now);
                entry.map_or_else(|| now.to_string(), |(_, entry)| entry.clone())
            }
        });
        ControlInfo { name: self.name.clone(), takes: self.takes(), now }
    }

    pub(super) fn is_settable(&self) -> bool {
        !self.read_only
    }
}

/// `White Balance, Automatic` as `white_balance_automatic`: the names that `v4l2-ctl` uses.
fn variable(name: &str) -> String {
    let words = name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(id: u32, name: &str, min: i64, max: i64, step: i64) -> Control {
        Control { id, name: variable(name), kind: Kind::Number { min, max, step }, now: None, read_only: false }
    }

    fn switch(id: u32, name: &str) -> Control {
        Control { id, name: variable(name), kind: Kind::Switch, now: Some(1), read_only: false }
    }

    fn menu(id: u32, name: &str, entries: &[(i32, &str)]) -> Control {
        let entries = entries.iter().map(|(index, entry)| (*index, (*entry).to_owned())).collect();
        Control { id, name: variable(name), kind: Kind::Menu(entries), now: Some(1), read_only: false }
    }

    /// As a C920 has them.
    fn webcam() -> Vec<Control> {
        vec![
            number(sys::V4L2_CID_BRIGHTNESS, "Brightness", 0, 255, 1),
            switch(sys::V4L2_CID_AUTO_WHITE_BALANCE, "White Balance, Automatic"),
            menu(
                sys::V4L2_CID_POWER_LINE_FREQUENCY,
                "Power Line Frequency",
                &[(0, "Disabled"), (1, "50 Hz"), (2, "60 Hz")],
            ),
            number(sys::V4L2_CID_GAIN, "Gain", 0, 255, 1),
            number(sys::V4L2_CID_WHITE_BALANCE_TEMPERATURE, "White Balance Temperature", 2000, 6500, 10),
            menu(sys::V4L2_CID_EXPOSURE_AUTO, "Auto Exposure", &[(1, "Manual Mode"), (3, "Aperture Priority Mode")]),
            number(sys::V4L2_CID_EXPOSURE_ABSOLUTE, "Exposure Time, Absolute", 3, 2047, 1),
            switch(sys::V4L2_CID_FOCUS_AUTO, "Focus, Automatic Continuous"),
            number(sys::V4L2_CID_FOCUS_ABSOLUTE, "Focus, Absolute", 0, 250, 5),
        ]
    }

    fn planned(wanted: &[(&str, Value)]) -> (Vec<String>, Vec<String>) {
        let wanted = wanted.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let (steps, warnings) = plan(&webcam(), &wanted);
        (steps.iter().map(|step| format!("{}={}", step.name, step.value)).collect(), warnings)
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        assert_eq!(variable("White Balance, Automatic"), "white_balance_automatic");
        assert_eq!(variable("Exposure Time, Absolute"), "exposure_time_absolute");
        assert_eq!(variable("50 Hz"), "50_hz");
    }

    #[test]
    fn the_automatic_goes_off_before_the_value_by_hand() {
        let (steps, warnings) = planned(&[("exposure", Value::Float(12.5)), ("white_balance", Value::Integer(4205))]);
        assert_eq!(
            steps,
            [
                "auto_exposure=1",
                "white_balance_automatic=0",
                "exposure_time_absolute=125",
                "white_balance_temperature=4200"
            ]
        );
        assert!(warnings.is_empty(), "{warnings:?}");
        let (steps, _) = planned(&[("gain", Value::Integer(40))]);
        assert_eq!(steps, ["gain=40"], "this one has no automatic of it");
        let (steps, _) = planned(&[("focus", Value::Integer(33))]);
        assert_eq!(steps, ["focus_automatic_continuous=0", "focus_absolute=30"]);
    }

    #[test]
    fn the_order_holds_for_the_driver_s_own_names_too() {
        // By the alphabet the value would come first.
        let (steps, _) =
            planned(&[("exposure_time_absolute", Value::Integer(90)), ("auto_exposure", text("manual mode"))]);
        assert_eq!(steps, ["auto_exposure=1", "exposure_time_absolute=90"]);
    }

    #[test]
    fn auto_is_understood_by_each_of_the_three() {
        let (steps, warnings) =
            planned(&[("exposure", text("auto")), ("white_balance", text("auto")), ("focus", text("Auto"))]);
        assert_eq!(steps, ["auto_exposure=3", "focus_automatic_continuous=1", "white_balance_automatic=1"]);
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn menus_take_names_and_numbers() {
        for (value, expected) in [
            (text("50 Hz"), "power_line_frequency=1"),
            (text("60 hz"), "power_line_frequency=2"),
            (text("off"), "power_line_frequency=0"),
            (text("2"), "power_line_frequency=2"),
            (Value::Integer(1), "power_line_frequency=1"),
            (Value::Integer(60), "power_line_frequency=2"),
        ] {
            assert_eq!(planned(&[("power_line_frequency", value)]).0, [expected]);
        }
        let (steps, warnings) = planned(&[("power_line_frequency", text("auto"))]);
        assert!(steps.is_empty());
        assert_eq!(warnings, ["power_line_frequency does not take auto; it takes Disabled, 50 Hz, 60 Hz"]);
    }

    #[test]
    fn values_stay_within_the_driver_s_limits() {
        let (steps, warnings) = planned(&[("brightness", Value::Integer(300))]);
        assert_eq!(steps, ["brightness=255"]);
        assert_eq!(warnings, ["brightness = 300 becomes 255: it takes 0 to 255"]);
        let (steps, warnings) = planned(&[("brightness", text("bright"))]);
        assert!(steps.is_empty());
        assert_eq!(warnings, ["brightness does not take bright; it takes 0 to 255"]);
        let (steps, warnings) = planned(&[("exposure", Value::Bool(true))]);
        assert!(steps.is_empty());
        assert_eq!(warnings, ["exposure takes \"auto\" or milliseconds, not true"]);
    }

    #[test]
    fn what_the_camera_has_not_is_said_with_what_it_has() {
        let (steps, warnings) = planned(&[("hflip", Value::Bool(true)), ("zoom", Value::Integer(2))]);
        assert!(steps.is_empty());
        assert_eq!(warnings.len(), 2);
        assert!(
            warnings[0].starts_with("the camera has not a control hflip; it has brightness, white"),
            "{}",
            warnings[0]
        );
        let none = plan(&[], &[("zoom".to_owned(), Value::Integer(1))].into()).1;
        assert_eq!(none, ["the camera has not a control zoom; it has nothing that can be set"]);
    }

    #[test]
    fn a_control_tells_its_limits_and_its_state() {
        let [brightness, balance, line, _, temperature, ..] = &webcam()[..] else { panic!("the webcam lost some") };
        assert_eq!(brightness.info().takes, "0 to 255");
        assert_eq!((balance.info().takes.as_str(), balance.info().now.as_deref()), ("on or off", Some("on")));
        assert_eq!(line.info().now.as_deref(), Some("50 Hz"));
        assert_eq!(temperature.info().takes, "2000 to 6500 in steps of 10");
    }
}
