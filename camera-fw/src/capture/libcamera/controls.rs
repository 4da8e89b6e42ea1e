//! Controls by the names that a person writes, as libcamera's.
//!
//! libcamera has other controls in other versions, and a camera only some of them. So they are looked up by name in what
//! the camera lists, and never assumed. The common names (`exposure`, `gain`, `white_balance`, `focus`, `hdr`,
//! `power_line_frequency`, `hflip`, `vflip`) stand for several of libcamera's; every other one has its own name in lower
//! case: `ae_metering_mode`, with its choices: `spot`.

use ::libcamera::camera::{Camera, Orientation};
use ::libcamera::control::ControlInfoMap;
use ::libcamera::control_value::{ControlType, ControlValue};
use ::libcamera::controls::ControlId;

use crate::capture::inventory::ControlInfo;
use crate::capture::settings::{Controls, Value};

/// A control that a camera has.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    /// As libcamera writes it: `AeMeteringMode`.
    name: String,
    id: u32,
    kind: Kind,
    min: f64,
    max: f64,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Switch,
    Number(Number),
    /// Numbers with names.
    Choice(Vec<(i32, String)>),
    /// Several numbers, or no number at all.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Byte,
    Int32,
    Int64,
    Float,
}

/// The controls of a camera.
pub(super) fn known(camera: &Camera<'_>) -> Vec<Known> {
    let map: &ControlInfoMap = camera.controls();
    let mut known: Vec<_> = map
        .into_iter()
        .filter_map(|(id, info)| {
            // A version of libcamera may have controls that the crate does not know yet.
            let control = ControlId::try_from(id).ok()?;
            let (min, max) = (scalar(&info.min()), scalar(&info.max()));
            let kind = if control.is_array() {
                Kind::Other
            } else {
                match control.control_type() {
                    ControlType::Bool => Kind::Switch,
                    ControlType::Byte => Kind::Number(Number::Byte),
                    ControlType::Int32 => {
                        let possible: Vec<_> = info.values().iter().filter_map(scalar).collect();
                        let mut named: Vec<_> = control.enumerators_map().into_iter().collect();
                        named.retain(|(value, _)| possible.is_empty() || possible.contains(&f64::from(*value)));
                        if named.is_empty() { Kind::Number(Number::Int32) } else { Kind::Choice(choices(named)) }
                    }
                    ControlType::Int64 => Kind::Number(Number::Int64),
                    ControlType::Float => Kind::Number(Number::Float),
                    _ => Kind::Other,
                }
            };
            let (min, max) = (min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX));
            Some(Known { name: control.name(), id, kind, min, max })
        })
        .collect();
    known.sort_by(|one, other| one.name.cmp(&other.name));
    known
}

fn scalar(value: &ControlValue) -> Option<f64> {
    match value {
        ControlValue::Bool(values) => values.first().map(|value| f64::from(u8::from(*value))),
        ControlValue::Byte(values) => values.first().map(|value| f64::from(*value)),
        ControlValue::Int32(values) => values.first().map(|value| f64::from(*value)),
        // Times in microseconds: far from where a float counts in twos.
        ControlValue::Int64(values) => values.first().map(|value| *value as f64),
        ControlValue::Float(values) => values.first().map(|value| f64::from(*value)),
        _ => None,
    }
}

/// Names of choices without the words that all of them begin with: `MeteringSpot` and `MeteringMatrix` are `spot` and
/// `matrix`.
fn choices(mut named: Vec<(i32, String)>) -> Vec<(i32, String)> {
    named.sort_unstable();
    let words: Vec<Vec<String>> =
        named.iter().map(|(_, name)| lower(name).split('_').map(str::to_owned).collect()).collect();
    let shared = (0..).take_while(|at| {
        let word = words.first().and_then(|words| words.get(*at));
        words.iter().all(|words| words.len() > at + 1 && words.get(*at) == word)
    });
    let shared = if words.len() > 1 { shared.count() } else { 0 };
    named.into_iter().zip(words).map(|((value, _), words)| (value, words[shared..].join("_"))).collect()
}

/// `AeMeteringMode` as `ae_metering_mode`.
fn lower(name: &str) -> String {
    let mut lower = String::with_capacity(name.len() + 4);
    let mut before = '_';
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            lower.push('_');
        }
        lower.push(letter.to_ascii_lowercase());
        before = letter;
    }
    lower
}

/// What libcamera is to be told, and what it cannot be.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Controls by number.
    pub(super) set: Vec<(u32, ControlValue)>,
    /// A sentence for each control that this camera has not, or not with this value.
    pub(super) refused: Vec<String>,
    /// Frames a second that come of it.
    pub(super) fps: f64,
}

/// The highest rate that the sensor can, if it tells.
pub(super) fn fastest(known: &[Known]) -> Option<f64> {
    let limits = known.iter().find(|known| known.name == FRAME_DURATION)?;
    (limits.min >= 1.0).then(|| (1e9 / limits.min).round() / 1e3)
}

/// Translates what is wanted for a camera with these controls.
pub(super) fn plan(wanted: &Controls, fps: u32, known: &[Known]) -> Plan {
    let mut planner = Planner { known, set: Vec::new() };
    let fps = planner.rate(fps);
    let mut refused = Vec::new();
    for (name, value) in wanted {
        let before = planner.set.len();
        if planner.control(name, value).is_none() {
            // Nothing is told by halves.
            planner.set.truncate(before);
            refused.push(planner.refusal(name, value));
        }
    }
    Plan { set: planner.set, refused, fps }
}

struct Planner<'a> {
    known: &'a [Known],
    set: Vec<(u32, ControlValue)>,
}

impl Planner<'_> {
    fn find(&self, name: &str) -> Option<&Known> {
        self.known.iter().find(|known| known.name == name)
    }

    /// The rate nearest to the one wanted, held whatever the light.
    fn rate(&mut self, fps: u32) -> f64 {
        let fps = f64::from(fps.max(1));
        let Some(limits) = self.find(FRAME_DURATION) else { return fps };
        let wanted = 1e6 / fps;
        let duration = wanted.clamp(limits.min.max(1.0), limits.max.max(1.0));
        let (id, both) = (limits.id, [duration.round() as i64; 2]);
        self.set.push((id, ControlValue::from(both)));
        // A sensor that says 33333 µs means 30 frames a second.
        if (duration - wanted).abs() < 1.0 { fps } else { 1e6 / duration }
    }

    /// Plans one control, if that is possible.
    fn control(&mut self, name: &str, value: &Value) -> Option<()> {
        match name {
            // Part of the configuration: see `orientation`.
            "hflip" | "vflip" => switch(value).map(|_| ()),
            "exposure" => self.automatic_or("ExposureTimeMode", "ExposureTime", value, 1e3),
            "gain" => self.automatic_or("AnalogueGainMode", "AnalogueGain", value, 1.0),
            "white_balance" => self.white_balance(value),
            "focus" => self.focus(value),
            "power_line_frequency" => self.flicker(value),
            "hdr" => self.hdr(value),
            _ => {
                let known = self.known.iter().find(|known| lower(&known.name) == name)?;
                self.set.push((known.id, known.value(value)?));
                Some(())
            }
        }
    }

    /// Exposure time or gain: by the camera's own measure, or a number of which the control has so many in one.
    fn automatic_or(&mut self, mode: &str, control: &str, value: &Value, unit: f64) -> Option<()> {
        if is_auto(value) {
            return self.choice(mode, "auto").or_else(|| self.switch("AeEnable", true));
        }
        // Since libcamera 0.5 time and gain have a mode each; before, what is set is kept.
        self.choice(mode, "manual");
        self.number(control, number(value)? * unit)
    }

    fn white_balance(&mut self, value: &Value) -> Option<()> {
        if let Some(kelvin) = number(value) {
            self.switch("AwbEnable", false);
            self.number("ColourTemperature", kelvin)
        } else if is_auto(value) {
            let mode = self.choice("AwbMode", "auto");
            self.switch("AwbEnable", true).or(mode)
        } else {
            self.switch("AwbEnable", true);
            self.choice("AwbMode", &value.to_string())
        }
    }

    fn focus(&mut self, value: &Value) -> Option<()> {
        if is_auto(value) {
            return self.choice("AfMode", "continuous");
        }
        self.choice("AfMode", "manual");
        self.number("LensPosition", number(value)?)
    }

    fn flicker(&mut self, value: &Value) -> Option<()> {
        // Light flickers at twice the frequency.
        let period = match value.to_string().as_str() {
            "50 Hz" | "50" => 10_000.0,
            "60 Hz" | "60" => 8_333.0,
            other => return self.choice("AeFlickerMode", other),
        };
        self.choice("AeFlickerMode", "manual");
        self.number("AeFlickerPeriod", period)
    }

    fn hdr(&mut self, value: &Value) -> Option<()> {
        match switch(value) {
            Some(false) => self.choice("HdrMode", "off"),
            Some(true) => {
                self.choice("HdrMode", "single_exposure").or_else(|| self.choice("HdrMode", "multi_exposure"))
            }
            None => self.choice("HdrMode", &value.to_string()),
        }
    }

    fn number(&mut self, name: &str, value: f64) -> Option<()> {
        self.tell(name, &Value::Float(value))
    }

    fn switch(&mut self, name: &str, value: bool) -> Option<()> {
        self.tell(name, &Value::Bool(value))
    }

    fn choice(&mut self, name: &str, value: &str) -> Option<()> {
        self.tell(name, &Value::Text(value.to_owned()))
    }

    fn tell(&mut self, name: &str, value: &Value) -> Option<()> {
        let known = self.find(name)?;
        let told = (known.id, known.value(value)?);
        self.set.push(told);
        Some(())
    }

    fn refusal(&self, name: &str, value: &Value) -> String {
        let offered = offered(self.known);
        if let Some(control) = offered.iter().find(|control| control.name == name) {
            return format!("{name} does not take {value}; it takes {}", control.takes);
        }
        let names: Vec<_> = offered.iter().map(|control| control.name.as_str()).collect();
        format!("the camera has not a control {name}; it has {}", names.join(", "))
    }
}

impl Known {
    /// A value as libcamera wants it, in the type of the control; none if it does not take this one.
    fn value(&self, value: &Value) -> Option<ControlValue> {
        match &self.kind {
            Kind::Switch => switch(value).map(ControlValue::from),
            Kind::Choice(choices) => {
                let text = value.to_string();
                let chosen = choices.iter().find(|(number, name)| *name == text || number.to_string() == text);
                chosen.map(|(number, _)| ControlValue::from(*number))
            }
            Kind::Number(kind) => {
                let value = number(value).filter(|value| (self.min..=self.max).contains(value))?;
                Some(match kind {
                    Number::Byte => ControlValue::from(value.round() as u8),
                    Number::Int32 => ControlValue::from(value.round() as i32),
                    Number::Int64 => ControlValue::from(value.round() as i64),
                    Number::Float => ControlValue::from(value as f32),
                })
            }
            Kind::Other => None,
        }
    }

    fn takes(&self) -> String {
        match &self.kind {
            Kind::Switch => ON_OFF.to_owned(),
            Kind::Choice(choices) => names(choices),
            Kind::Number(_) => self.limits(1.0),
            Kind::Other => String::new(),
        }
    }

    /// The limits in a unit that is so many of the control's.
    fn limits(&self, unit: f64) -> String {
        let shown = |value: f64| (value / unit * 1e3).round() / 1e3;
        format!("{} to {}", shown(self.min), shown(self.max))
    }
}

fn names(choices: &[(i32, String)]) -> String {
    choices.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn is_auto(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text == "auto")
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        Value::Bool(_) | Value::Text(_) => None,
    }
}

fn switch(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(on) => Some(*on),
        Value::Integer(number @ 0..=1) => Some(*number == 1),
        Value::Text(text) if text == "on" => Some(true),
        Value::Text(text) if text == "off" => Some(false),
        Value::Integer(_) | Value::Float(_) | Value::Text(_) => None,
    }
}

/// What the flips come to.
pub(super) fn orientation(controls: &Controls) -> Orientation {
    let flip = |name| controls.get(name).and_then(switch).unwrap_or(false);
    match (flip("hflip"), flip("vflip")) {
        (false, false) => Orientation::Rotate0,
        (true, false) => Orientation::Rotate0Mirror,
        (false, true) => Orientation::Rotate180Mirror,
        (true, true) => Orientation::Rotate180,
    }
}

const ON_OFF: &str = "on or off";

const FRAME_DURATION: &str = "FrameDurationLimits";

/// What the common names and the frame rate stand for.
const BEHIND: [&str; 13] = [
    "AeFlickerMode",
    "AeFlickerPeriod",
    "AfMode",
    "AnalogueGain",
    "AnalogueGainMode",
    "AwbEnable",
    "AwbMode",
    "ColourTemperature",
    "ExposureTime",
    "ExposureTimeMode",
    FRAME_DURATION,
    "HdrMode",
    "LensPosition",
];

/// The controls of a camera as a person writes them.
pub(super) fn offered(known: &[Known]) -> Vec<ControlInfo> {
    let find = |name: &str| known.iter().find(|known| known.name == name);
    let has = |name: &str, choice: &str| match find(name).map(|known| &known.kind) {
        Some(Kind::Choice(choices)) => choices.iter().any(|(_, name)| name == choice),
        _ => false,
    };
    let automatic = find("AeEnable").is_some();
    let one_of = |ways: &[Option<String>]| ways.iter().flatten().cloned().collect::<Vec<_>>().join(", or ");
    let auto = |possible: bool| possible.then(|| "auto".to_owned());
    let limits = |name: &str, unit: f64, symbol: &str| find(name).map(|known| known.limits(unit) + symbol);
    let takes = |name: &str| find(name).map(Known::takes);

    let common = [
        ("exposure", one_of(&[auto(automatic || has("ExposureTimeMode", "auto")), limits("ExposureTime", 1e3, " ms")])),
        ("gain", one_of(&[auto(automatic || has("AnalogueGainMode", "auto")), limits("AnalogueGain", 1.0, "")])),
        (
            "white_balance",
            one_of(&[
                takes("AwbMode").or_else(|| auto(find("AwbEnable").is_some())),
                limits("ColourTemperature", 1.0, " K"),
            ]),
        ),
        (
            "focus",
            one_of(&[auto(has("AfMode", "continuous")), limits("LensPosition", 1.0, " dioptres (0 is far away)")]),
        ),
        (
            "power_line_frequency",
            one_of(&[takes("AeFlickerMode"), find("AeFlickerPeriod").map(|_| "50 Hz, 60 Hz".to_owned())]),
        ),
        ("hdr", one_of(&[find("HdrMode").map(|_| ON_OFF.to_owned()), takes("HdrMode")])),
        ("hflip", ON_OFF.to_owned()),
        ("vflip", ON_OFF.to_owned()),
    ];
    let own = known.iter().filter(|known| known.kind != Kind::Other && !BEHIND.contains(&known.name.as_str()));
    let mut offered: Vec<_> = common
        .into_iter()
        .filter(|(_, takes)| !takes.is_empty())
        .map(|(name, takes)| ControlInfo { name: name.to_owned(), takes, now: None })
        .chain(own.map(|known| ControlInfo { name: lower(&known.name), takes: known.takes(), now: None }))
        .collect();
    offered.sort_by(|one, other| one.name.cmp(&other.name));
    offered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, kind: Kind, min: f64, max: f64) -> Known {
        Known { name: name.to_owned(), id: name.bytes().map(u32::from).sum(), kind, min, max }
    }

    fn choice(name: &str, names: &[&str]) -> Known {
        let named = names.iter().zip(0..).map(|(name, value)| (value, (*name).to_owned())).collect();
        known(name, Kind::Choice(choices(named)), 0.0, names.len() as f64)
    }

    /// A camera module with a lens that moves, in the names of libcamera 0.5 and later.
    fn module() -> Vec<Known> {
        vec![
            known("AeEnable", Kind::Switch, 0.0, 1.0),
            choice("AeFlickerMode", &["FlickerOff", "FlickerManual"]),
            known("AeFlickerPeriod", Kind::Number(Number::Int32), 100.0, 1e6),
            choice("AeMeteringMode", &["MeteringCentreWeighted", "MeteringSpot", "MeteringMatrix"]),
            choice("AfMode", &["AfModeManual", "AfModeAuto", "AfModeContinuous"]),
            known("AnalogueGain", Kind::Number(Number::Float), 1.0, 16.0),
            choice("AnalogueGainMode", &["AnalogueGainModeAuto", "AnalogueGainModeManual"]),
            known("AwbEnable", Kind::Switch, 0.0, 1.0),
            choice("AwbMode", &["AwbAuto", "AwbIncandescent", "AwbDaylight"]),
            known("Brightness", Kind::Number(Number::Float), -1.0, 1.0),
            known("ColourTemperature", Kind::Number(Number::Int32), 100.0, 100_000.0),
            known("ExposureTime", Kind::Number(Number::Int32), 75.0, 66_666.0),
            choice("ExposureTimeMode", &["ExposureTimeModeAuto", "ExposureTimeModeManual"]),
            known("FrameDurationLimits", Kind::Other, 16_666.0, 200_000.0),
            choice("HdrMode", &["HdrModeOff", "HdrModeMultiExposure", "HdrModeSingleExposure"]),
            known("LensPosition", Kind::Number(Number::Float), 0.0, 15.0),
            known("ScalerCrop", Kind::Other, 0.0, 0.0),
        ]
    }

    /// What is told for one control, by libcamera's names, and what is refused.
    fn told(name: &str, value: Value) -> (Vec<(String, f64)>, Vec<String>) {
        let module = module();
        let Plan { set, refused, .. } = plan(&Controls::from([(name.to_owned(), value)]), 30, &module);
        let name = |id: u32| module.iter().find(|known| known.id == id).unwrap().name.clone();
        let rate = set.first().map(|(id, _)| name(*id));
        assert_eq!(rate.as_deref(), Some("FrameDurationLimits"));
        (set[1..].iter().map(|(id, value)| (name(*id), scalar(value).unwrap())).collect(), refused)
    }

    fn accepted(name: &str, value: impl Into<Wish>) -> Vec<(String, f64)> {
        let (told, refused) = told(name, value.into().0);
        assert!(refused.is_empty(), "{refused:?}");
        told
    }

    fn refusal(name: &str, value: impl Into<Wish>) -> String {
        let (told, mut refused) = told(name, value.into().0);
        assert_eq!(told, [], "nothing is told by halves");
        refused.remove(0)
    }

    struct Wish(Value);

    impl From<f64> for Wish {
        fn from(value: f64) -> Self {
            Self(Value::Float(value))
        }
    }

    impl From<&str> for Wish {
        fn from(value: &str) -> Self {
            Self(Value::Text(value.to_owned()))
        }
    }

    impl From<bool> for Wish {
        fn from(value: bool) -> Self {
            Self(Value::Bool(value))
        }
    }

    fn both(one: (&str, f64), other: (&str, f64)) -> Vec<(String, f64)> {
        vec![(one.0.to_owned(), one.1), (other.0.to_owned(), other.1)]
    }

    #[test]
    fn common_names_stand_for_libcamera_s() {
        assert_eq!(accepted("exposure", 20.0), both(("ExposureTimeMode", 1.0), ("ExposureTime", 20_000.0)));
        assert_eq!(accepted("exposure", "auto"), [("ExposureTimeMode".to_owned(), 0.0)]);
        assert_eq!(accepted("gain", 2.0), both(("AnalogueGainMode", 1.0), ("AnalogueGain", 2.0)));
        assert_eq!(accepted("white_balance", 4500.0), both(("AwbEnable", 0.0), ("ColourTemperature", 4500.0)));
        assert_eq!(accepted("white_balance", "daylight"), both(("AwbEnable", 1.0), ("AwbMode", 2.0)));
        assert_eq!(accepted("focus", "auto"), [("AfMode".to_owned(), 2.0)]);
        assert_eq!(accepted("focus", 0.5), both(("AfMode", 0.0), ("LensPosition", 0.5)));
        assert_eq!(accepted("power_line_frequency", "50 Hz"), both(("AeFlickerMode", 1.0), ("AeFlickerPeriod", 1e4)));
        assert_eq!(accepted("power_line_frequency", "off"), [("AeFlickerMode".to_owned(), 0.0)]);
        assert_eq!(accepted("hdr", true), [("HdrMode".to_owned(), 2.0)]);
        assert_eq!(accepted("hdr", "multi_exposure"), [("HdrMode".to_owned(), 1.0)]);
        assert_eq!(accepted("hflip", true), []);
    }

    #[test]
    fn every_other_control_has_its_own_name() {
        assert_eq!(accepted("brightness", -0.5), [("Brightness".to_owned(), -0.5)]);
        assert_eq!(accepted("ae_metering_mode", "spot"), [("AeMeteringMode".to_owned(), 1.0)]);
        assert_eq!(accepted("ae_enable", "off"), [("AeEnable".to_owned(), 0.0)]);
    }

    #[test]
    fn what_is_not_possible_is_said_with_what_is() {
        assert_eq!(refusal("brightness", 2.0), "brightness does not take 2; it takes -1 to 1");
        assert_eq!(refusal("exposure", 500.0), "exposure does not take 500; it takes auto, or 0.075 to 66.666 ms");
        assert_eq!(
            refusal("white_balance", "sunset"),
            "white_balance does not take sunset; it takes auto, incandescent, daylight, or 100 to 100000 K"
        );
        assert_eq!(refusal("hflip", "left"), "hflip does not take left; it takes on or off");
        let unknown = refusal("zoom_absolute", 1.0);
        let list = "the camera has not a control zoom_absolute; it has ae_enable, ae_metering_mode, brightness";
        assert!(unknown.starts_with(list), "{unknown}");
        assert!(!unknown.contains("scaler_crop"), "it takes no single value: {unknown}");
    }

    #[test]
    fn a_camera_without_controls_refuses_and_streams() {
        let Plan { set, refused, fps } = plan(&Controls::from([("gain".to_owned(), Value::Integer(2))]), 25, &[]);
        assert!(set.is_empty() && fps == 25.0);
        assert_eq!(refused, ["the camera has not a control gain; it has hflip, vflip"]);
    }

    #[test]
    fn the_rate_is_what_the_sensor_can() {
        let fps = |wanted| plan(&Controls::new(), wanted, &module()).fps.round();
        assert_eq!((fps(30), fps(120), fps(1)), (30.0, 60.0, 5.0));
    }

    #[test]
    fn flips_are_an_orientation() {
        let flips = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Value::Bool(true))).collect();
        assert_eq!(orientation(&flips(&[])), Orientation::Rotate0);
        assert_eq!(orientation(&flips(&["hflip"])), Orientation::Rotate0Mirror);
        assert_eq!(orientation(&flips(&["vflip"])), Orientation::Rotate180Mirror);
        assert_eq!(orientation(&flips(&["hflip", "vflip"])), Orientation::Rotate180);
    }
}
