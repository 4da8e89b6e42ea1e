//! The table `[limits]` of the configuration: every key optional, every value sensible.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Limits;

const MOST: u64 = 1_000_000_000;
/// Below it a timer would have no period.
const SHORTEST: f64 = 0.001;
const LONGEST: f64 = 86_400.0;

/// A number of things, from 1 on. Checked while it is read, so that the error knows the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "u64", into = "u64")]
struct Count(u32);

/// A time in seconds, a thousandth at least and a day at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
struct Seconds(Duration);

/// The keys of the table, and which limit each of them is.
macro_rules! keys {
    ($($key:ident: $kind:ident => $limit:ident,)*) => {
        /// What one source says of the limits.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct LimitKeys {
            $(#[serde(skip_serializing_if = "Option::is_none")] $key: Option<$kind>,)*
        }

        impl LimitKeys {
            pub(super) const NAMES: &[&str] = &[$(stringify!($key)),*];

            pub(super) fn is_empty(&self) -> bool {
                *self == Self::default()
            }

            /// These keys, and those of `other` that these lack.
            pub(super) fn or(self, other: Self) -> Self {
                Self { $($key: self.$key.or(other.$key),)* }
            }

            /// The limits that they say, and the defaults.
            pub(super) fn decide(self) -> Limits {
                let default = Limits::default();
                Limits { $($limit: self.$key.map_or(default.$limit, Into::into),)* }
            }
        }

        impl From<&Limits> for LimitKeys {
            fn from(limits: &Limits) -> Self {
                Self { $($key: Some(limits.$limit.into()),)* }
            }
        }
    };
}

keys! {
    connections: Count => connections,
    connections_per_address: Count => connections_per_address,
    rooms_per_address: Count => rooms_per_address,
    messages_per_second: Count => messages_per_second,
    message_burst: Count => message_burst,
    bytes_per_second: Count => bytes_per_second,
    byte_burst: Count => byte_burst,
    haste_s: Seconds => haste,
    tls_handshake_s: Seconds => tls_handshake,
    upgrade_s: Seconds => http_head,
    http_s: Seconds => http_total,
    join_s: Seconds => join,
    ping_s: Seconds => ping,
    missed_pings: Count => missed_pings,
    write_s: Seconds => write,
    drain_s: Seconds => drain,
    farewell_s: Seconds => farewell,
    certificate_check_s: Seconds => certificate_check,
    acme_order_s: Seconds => acme_order,
    acme_retry_s: Seconds => acme_retry,
    outbox_messages: Count => outbox_messages,
    outbox_bytes: Count => outbox_bytes,
    cluster_lease_s: Seconds => cluster_lease,
    cluster_timeout_s: Seconds => cluster_timeout,
}

impl TryFrom<u64> for Count {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        let refusal = || format!("{number} is none of 1 to {MOST}");
        if !(1..=MOST).contains(&number) {
            return Err(refusal());
        }
        u32::try_from(number).map(Self).map_err(|_| refusal())
    }
}

impl From<Count> for u64 {
    fn from(count: Count) -> Self {
        count.0.into()
    }
}

impl From<Count> for u32 {
    fn from(count: Count) -> Self {
        count.0
    }
}

impl From<Count> for usize {
    fn from(count: Count) -> Self {
        // Not smaller than 32 bits where this runs.
        Self::try_from(count.0).unwrap_or(Self::MAX)
    }
}

impl From<u32> for Count {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl From<usize> for Count {
    fn from(number: usize) -> Self {
        Self(u32::try_from(number).unwrap_or(u32::MAX))
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if (SHORTEST..=LONGEST).contains(&seconds) {
            Ok(Self(Duration::from_secs_f64(seconds)))
        } else {
            Err(format!("{seconds} seconds is none of {SHORTEST} to {LONGEST}"))
        }
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0.as_secs_f64()
    }
}

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl From<Duration> for Seconds {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}
