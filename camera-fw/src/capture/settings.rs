//! What a person may ask of a camera.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::frame::Size;

/// The size and rate that the person wants; a device gives what comes nearest, a file has its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Picture size.
    pub size: Size,
    /// Frames a second.
    pub fps: u32,
}

/// Everything that is asked of a camera when it is opened.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraSettings {
    /// Size and rate.
    pub wanted: Wanted,
    /// Input of a device that has several: its number or its name.
    pub input: Option<String>,
    /// Television standard of an analogue input, such as `PAL` or `NTSC`.
    pub standard: Option<String>,
    /// Controls by name.
    pub controls: Controls,
}

impl From<Wanted> for CameraSettings {
    fn from(wanted: Wanted) -> Self {
        Self { wanted, input: None, standard: None, controls: Controls::new() }
    }
}

/// Controls by their names: lower case with underscores, such as `power_line_frequency`.
pub type Controls = BTreeMap<String, Value>;

/// What a control is set to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// On or off.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A choice by its name, such as `auto`.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// The controls of a list such as `brightness=40,focus=auto`; `None` if it is none.
pub fn controls_of(list: &str) -> Option<Controls> {
    let control = |item: &str| {
        let (name, value) = item.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let number = || value.parse().map(Value::Integer).or_else(|_| value.parse().map(Value::Float));
        let value = match value {
            "" => return None,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => number().unwrap_or_else(|_| Value::Text(text.to_owned())),
        };
        (!name.is_empty()).then(|| (name.to_owned(), value))
    };
    list.split(',').map(control).collect()
}
