//! What a log must not hold, wrapped so that it cannot get there by accident.

use std::fmt;
use std::ops::Deref;

/// A value that neither `Debug` nor `Display` shows: SDP, candidates, credentials, addresses of peers. It reads as the
/// value itself through `Deref`, so whoever writes it somewhere does so on purpose.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Redacted<T>(pub T);

impl<T> Deref for Redacted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl From<&str> for Redacted<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_but_not_shown() {
        let secret: Redacted<String> = "v=0".into();
        assert_eq!(secret.len(), 3);
        assert_eq!(format!("{secret} {secret:?}"), "[redacted] [redacted]");
    }
}
