//! What a board can encode: size, rate and effort for each kind of machine.
//!
//! The values are derived, not measured on the boards. Measured was libvpx on a PC (`cargo run --release -p camera-fw
//! --example encode`, street scene, one thread), in nanoseconds a pixel:
//!
//! | speed | 4 | 6 | 8 | 10 | 12 | 14 | 16 |
//! |---|---|---|---|---|---|---|---|
//! | 720x480 | 10.5 | 5.7 | 5.2 | 5.2 | 4.2 | 3.8 | 3.4 |
//! | 1280x720 | 10.6 | | 5.4 | | 4.6 | | 4.0 |
//!
//! A core of a board is taken to be so many times slower than a core of that PC, from its clock and from what general
//! benchmarks say of single cores: Pi 5 4, Pi 4 9, Pi 3 20, Pi Zero 2 W 28. A second thread takes a third off the time
//! (measured), a third one is taken to halve it. Every preset leaves a third of the frame time free for noise in the
//! dark, for the network and for a warm day; [`pace`](super::pace) does the rest.
//!
//! More threads than needed do harm: libvpx's threads wait for each other without sleeping, so on a machine that is
//! busy otherwise a second thread was measured to take three to ten times the CPU, and single frames 130 ms.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::Kbps;
use crate::frame::Size;

/// Where Linux tells on which board it runs. Not on a PC.
const MODEL: &str = "/proc/device-tree/model";

/// A kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Raspberry Pi Zero 2 W, and what came before it: four small cores at 1 GHz.
    Zero2W,
    /// Raspberry Pi 3 and boards that are not known: four small cores at 1.2 to 1.4 GHz.
    Pi3,
    /// Raspberry Pi 4: four middle cores at 1.5 to 1.8 GHz.
    Pi4,
    /// Raspberry Pi 5: four large cores at 2.4 GHz.
    Pi5,
    /// An ordinary PC, which does other things besides: the reference, with room for more.
    Pc,
}

/// What a preset comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values {
    /// Picture size.
    pub size: Size,
    /// Frames a second.
    pub fps: u32,
    /// Rate of the stream.
    pub bitrate: Kbps,
    /// Encoder speed, 0 to 16.
    pub speed: u8,
    /// Encoding threads.
    pub threads: u32,
}

impl Preset {
    /// Every preset, the weakest machine first.
    pub const ALL: [Self; 5] = [Self::Zero2W, Self::Pi3, Self::Pi4, Self::Pi5, Self::Pc];

    /// The preset of this machine.
    pub fn detect() -> Self {
        Self::of_model_file(Path::new(MODEL))
    }

    /// The preset of the machine whose device tree names its model in `file`; where there is none, it is a PC.
    pub fn of_model_file(file: &Path) -> Self {
        std::fs::read(file).map_or(Self::Pc, |model| Self::of_model(&String::from_utf8_lossy(&model)))
    }

    /// The preset of a model as device trees name it, such as `Raspberry Pi 4 Model B Rev 1.5`.
    fn of_model(model: &str) -> Self {
        // The text ends with a zero byte there.
        let Some(board) = model.trim_end_matches('\0').trim().strip_prefix("Raspberry Pi ") else { return Self::Pi3 };
        let board = board.strip_prefix("Compute Module ").unwrap_or(board);
        match board.split_whitespace().next() {
            Some("5" | "500" | "500+") => Self::Pi5,
            Some("4" | "400" | "4S") => Self::Pi4,
            Some("3" | "3+") => Self::Pi3,
            // The first ones have no number: Model B, Compute Module Rev 1.0.
            Some("Zero" | "2" | "Model" | "Rev") => Self::Zero2W,
            _ => Self::Pi3,
        }
    }

    /// Size, rate and effort.
    pub fn values(self) -> Values {
        let (sd, hd) = (Size { width: 720, height: 480 }, Size { width: 1280, height: 720 });
        let (size, kbps, speed, threads) = match self {
            Self::Zero2W => (sd, 800, 16, 2),
            Self::Pi3 => (sd, 1_000, 14, 2),
            Self::Pi4 => (hd, 1_800, 12, 3),
            Self::Pi5 => (hd, 2_500, 8, 2),
            Self::Pc => (sd, 1_000, 10, 1),
        };
        Values { size, fps: 30, bitrate: Kbps(kbps), speed, threads }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Zero2W => "zero2w",
            Self::Pi3 => "pi3",
            Self::Pi4 => "pi4",
            Self::Pi5 => "pi5",
            Self::Pc => "pc",
        })
    }
}

/// What a person may write for a preset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PresetChoice {
    /// That of the machine.
    #[default]
    Auto,
    /// This one.
    Named(Preset),
}

impl PresetChoice {
    /// The preset that is meant, on this machine.
    pub fn preset(self) -> Preset {
        match self {
            Self::Auto => Preset::detect(),
            Self::Named(preset) => preset,
        }
    }
}

impl fmt::Display for PresetChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Named(preset) => preset.fmt(f),
        }
    }
}

/// A name that no preset has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no preset; use auto, zero2w, pi3, pi4, pi5 or pc")]
pub struct UnknownPreset(String);

impl FromStr for PresetChoice {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        if name.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let named = Preset::ALL.into_iter().find(|preset| preset.to_string().eq_ignore_ascii_case(name));
        named.map(Self::Named).ok_or_else(|| UnknownPreset(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_are_known_by_the_names_that_they_have() {
        for (model, preset) in [
            ("Raspberry Pi Zero 2 W Rev 1.0\0", Preset::Zero2W),
            ("Raspberry Pi 2 Model B Rev 1.1\0", Preset::Zero2W),
            ("Raspberry Pi Model B Plus Rev 1.2\0", Preset::Zero2W),
            ("Raspberry Pi Compute Module Rev 1.0\0", Preset::Zero2W),
            ("Raspberry Pi 3 Model A Plus Rev 1.0\0", Preset::Pi3),
            ("Raspberry Pi Compute Module 3 Plus Rev 1.0\0", Preset::Pi3),
            ("Raspberry Pi 4 Model B Rev 1.5\0", Preset::Pi4),
            ("Raspberry Pi 400 Rev 1.0\0", Preset::Pi4),
            ("Raspberry Pi Compute Module 4S Rev 1.0\0", Preset::Pi4),
            ("Raspberry Pi 5 Model B Rev 1.0\0", Preset::Pi5),
            ("Raspberry Pi Compute Module 5 Lite Rev 1.0\0", Preset::Pi5),
            ("Raspberry Pi 500 Rev 1.0\0", Preset::Pi5),
            ("Raspberry Pi 9 Model B\0", Preset::Pi3),
            ("linux,dummy-virt\0", Preset::Pi3),
        ] {
            assert_eq!(Preset::of_model(model), preset, "{model}");
        }
    }

    #[test]
    fn a_machine_without_a_device_tree_is_a_pc() {
        assert_eq!(Preset::of_model_file(Path::new("/no/such/model")), Preset::Pc);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"Raspberry Pi 4 Model B Rev 1.1\0").unwrap();
        assert_eq!(Preset::of_model_file(file.path()), Preset::Pi4);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(PresetChoice::Named(preset)));
        }
        assert_eq!(PresetChoice::default().to_string().parse(), Ok(PresetChoice::Auto));
        let problem = "pi6".parse::<PresetChoice>().unwrap_err().to_string();
        assert!(problem.contains("\"pi6\"") && problem.contains("zero2w"), "{problem}");
    }

    /// The reckoning of the module's documentation.
    #[test]
    fn every_preset_leaves_a_third_of_the_frame_time_free() {
        let nanos_a_pixel = |speed| match speed {
            0..8 => 10.6,
            8..12 => 5.4,
            12..14 => 4.6,
            14..16 => 4.2,
            _ => 3.4,
        };
        for (preset, slower) in Preset::ALL.into_iter().zip([28.0, 20.0, 9.0, 4.0, 2.0]) {
            let Values { size, fps, speed, threads, .. } = preset.values();
            let gain = [1.0, 1.5, 2.0][threads as usize - 1];
            let share = size.area() as f64 * nanos_a_pixel(speed) * slower / gain * f64::from(fps) / 1e9;
            assert!(share < 0.67, "{preset}: {share}");
        }
    }
}
