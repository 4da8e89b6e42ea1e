//! What is counted, as Prometheus reads it (<https://prometheus.io/docs/instrumenting/exposition_formats/>). Numbers alone: no id,
//! no address, no name of a room.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use signal_proto::{ErrorCode, Join, Role};

/// The counters of one server. Each is an atomic number; nothing of it is locked where messages go.
pub(crate) struct Metrics {
    registry: Registry,
    /// Open TCP connections.
    pub(crate) streams: Gauge,
    /// Open WebSockets.
    pub(crate) websockets: Gauge,
    /// Rooms with somebody in them.
    pub(crate) rooms: Gauge,
    /// Clients let into a room, by what they are.
    joins: [Counter; 3],
    pub(crate) leaves: Counter,
    /// Signals handed to somebody.
    pub(crate) relayed: Counter,
    /// Signals to somebody who was not there.
    pub(crate) dropped: Counter,
    /// Of WebSocket messages, without frames and TLS.
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    refusals: Family<Reason, Counter>,
}

/// What the node of a cluster counts besides.
#[derive(Debug, Clone)]
pub(crate) struct ClusterMetrics {
    /// Nodes that there are, this one among them; 0 while Redis is out of reach.
    pub(crate) nodes: Gauge,
    /// Sessions with Redis that were begun.
    pub(crate) sessions: Counter,
    /// Signals to clients of other nodes that were published.
    pub(crate) sent: Counter,
    /// Signals from clients of other nodes.
    pub(crate) received: Counter,
    /// Signals that no node was told, or that none has heard.
    pub(crate) lost: Counter,
    /// Clients sent away because their place was lost while the node was cut off.
    pub(crate) displaced: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Why somebody was not let in, before there was a WebSocket to say it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// A page of a foreign origin: 403.
    Origin,
    /// The server is full: 503.
    Full,
    /// Its address has enough: 429.
    Address,
    /// Its address has so much that it was not even told.
    Stream,
    /// No TLS, or not in time.
    Tls,
}

/// One more of what a gauge counts, as long as it is there.
#[derive(Debug)]
pub(crate) struct Open(Gauge);

impl Open {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The kinds of clients, in the order of `Metrics::joins`.
const KINDS: [&str; 3] = ["pair", "camera", "viewer"];

const TURNED: [(Turned, &str); 5] = [
    (Turned::Origin, "origin"),
    (Turned::Full, "server_full"),
    (Turned::Address, "address_full"),
    (Turned::Stream, "address_connections"),
    (Turned::Tls, "tls"),
];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("signal_srv");
        let streams = Gauge::default();
        registry.register("streams", "Open TCP connections", streams.clone());
        let websockets = Gauge::default();
        registry.register("websockets", "Open WebSockets", websockets.clone());
        let rooms = Gauge::default();
        registry.register("rooms", "Rooms with somebody in them", rooms.clone());
        let by_kind = Family::<Kind, Counter>::default();
        registry.register("joins", "Clients let into a room", by_kind.clone());
        let joins = KINDS.map(|kind| by_kind.get_or_create(&Kind { kind }).clone());
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let leaves = counter("leaves", "Clients that left their room");
        let relayed = counter("signals_relayed", "Signals handed to somebody");
        let dropped = counter("signals_dropped", "Signals to somebody who was not there");
        let bytes_in = counter("received_bytes", "Bytes of messages from clients");
        let bytes_out = counter("sent_bytes", "Bytes of messages to clients");
        let refusals = Family::<Reason, Counter>::default();
        registry.register("refusals", "Clients that were not let in or sent away, by reason", refusals.clone());
        // All of them from the start: a counter that appears with its first event hides that event from a rate.
        let codes = ErrorCode::all().map(ErrorCode::as_str);
        for reason in codes.chain(TURNED.map(|(_, reason)| reason)) {
            drop(refusals.get_or_create(&Reason { reason }));
        }
        Self { registry, streams, websockets, rooms, joins, leaves, relayed, dropped, bytes_in, bytes_out, refusals }
    }

    /// The counters of the node of a cluster. Alone a server has none of them.
    pub(crate) fn for_cluster(&mut self) -> ClusterMetrics {
        let nodes = Gauge::default();
        self.registry.register(
            "cluster_nodes",
            "Nodes of the cluster, this one among them; 0 while Redis is out of reach",
            nodes.clone(),
        );
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            self.registry.register(name, help, counter.clone());
            counter
        };
        ClusterMetrics {
            nodes,
            sessions: counter("cluster_sessions", "Times that this node has come to Redis"),
            sent: counter("cluster_signals_sent", "Signals to clients of other nodes"),
            received: counter("cluster_signals_received", "Signals from clients of other nodes"),
            lost: counter("cluster_signals_lost", "Signals to clients of other nodes that did not get there"),
            displaced: counter("cluster_displaced", "Clients that lost their place while this node was cut off"),
        }
    }

    pub(crate) fn joined(&self, join: Join) {
        let [pair, camera, viewer] = &self.joins;
        let counter = match join {
            Join::Pair { .. } => pair,
            Join::Role { role: Role::Camera, .. } => camera,
            Join::Role { role: Role::Viewer, .. } => viewer,
        };
        counter.inc();
    }

    /// Of all kinds.
    pub(crate) fn joins(&self) -> u64 {
        self.joins.iter().map(Counter::get).sum()
    }

    pub(crate) fn refused(&self, code: ErrorCode) {
        self.refusals.get_or_create(&Reason { reason: code.as_str() }).inc();
    }

    pub(crate) fn turned_away(&self, turned: Turned) {
        let reason = TURNED.iter().find(|(known, _)| *known == turned).map_or("", |(_, reason)| reason);
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    /// All of it, in the text format.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut written = String::new();
        text::encode(&mut written, &self.registry)?;
        Ok(written)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_there_before_it_happens() {
        let metrics = Metrics::new();
        metrics.turned_away(Turned::Origin);
        metrics.refused(ErrorCode::RoomFull);
        metrics.refused(ErrorCode::RoomFull);
        let text = metrics.text().unwrap();
        for line in [
            "signal_srv_refusals_total{reason=\"origin\"} 1",
            "signal_srv_refusals_total{reason=\"ROOM_FULL\"} 2",
            "signal_srv_refusals_total{reason=\"server_full\"} 0",
            "signal_srv_joins_total{kind=\"camera\"} 0",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
        }
        let reasons = text.lines().filter(|line| line.starts_with("signal_srv_refusals_total{")).count();
        assert_eq!(reasons, ErrorCode::all().count() + TURNED.len());
    }
}
