//! How many connections there are, of all clients and of each. A ticket is a place; it is given back by being dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Limits;
use crate::client::Client;

/// TCP connections that a client may have besides its WebSockets: those that fetch the page, and those that will be refused.
const BESIDE: usize = 32;

/// The door.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    sockets: usize,
    /// Of everybody who has any.
    clients: HashMap<Client, Counts>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    streams: usize,
    sockets: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// For anybody.
    Full,
    /// For this client.
    TooMany,
}

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stream,
    Socket,
}

/// A place that is taken.
#[derive(Debug)]
pub(crate) struct Ticket {
    admission: Arc<Admission>,
    client: Client,
    kind: Kind,
}

impl Admission {
    /// How many TCP connections there may be, so that there is always one in which a client is told that there are too many.
    pub(crate) const fn streams(limits: &Limits) -> usize {
        limits.connections.saturating_add(limits.connections / 16).saturating_add(BESIDE)
    }

    /// A place for a TCP connection. `None`: this client has so many that it is not even told.
    pub(crate) fn stream(self: &Arc<Self>, client: Client, limits: &Limits) -> Option<Ticket> {
        let mut places = self.lock();
        let counts = places.clients.entry(client).or_default();
        if counts.streams >= limits.connections_per_address.saturating_add(BESIDE) {
            return None;
        }
        counts.streams += 1;
        drop(places);
        Some(Ticket { admission: Arc::clone(self), client, kind: Kind::Stream })
    }

    /// A place for a WebSocket.
    pub(crate) fn socket(self: &Arc<Self>, client: Client, limits: &Limits) -> Result<Ticket, Refusal> {
        let mut places = self.lock();
        if places.sockets >= limits.connections {
            return Err(Refusal::Full);
        }
        if places.clients.get(&client).is_some_and(|counts| counts.sockets >= limits.connections_per_address) {
            return Err(Refusal::TooMany);
        }
        places.sockets += 1;
        places.clients.entry(client).or_default().sockets += 1;
        drop(places);
        Ok(Ticket { admission: Arc::clone(self), client, kind: Kind::Socket })
    }

    /// Whether nobody has a place.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn is_empty(&self) -> bool {
        let places = self.lock();
        places.sockets == 0 && places.clients.is_empty()
    }

    /// A panic elsewhere must not end every session: the counts are consistent between operations.
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Whose place it is.
    pub(crate) const fn client(&self) -> Client {
        self.client
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut places = self.admission.lock();
        if self.kind == Kind::Socket {
            places.sockets -= 1;
        }
        let Entry::Occupied(mut entry) = places.clients.entry(self.client) else { return };
        let counts = entry.get_mut();
        match self.kind {
            Kind::Stream => counts.streams -= 1,
            Kind::Socket => counts.sockets -= 1,
        }
        if counts.streams == 0 && counts.sockets == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn client(number: u8) -> Client {
        Client::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)))
    }

    fn limits(connections: usize, connections_per_address: usize) -> Limits {
        Limits { connections, connections_per_address, ..Limits::default() }
    }

    #[test]
    fn each_has_its_share_and_all_together_theirs() {
        let (door, limits) = (Arc::new(Admission::default()), limits(3, 2));
        let mut tickets: Vec<_> = [1, 1, 2].map(|number| door.socket(client(number), &limits).unwrap()).into();
        assert_eq!(door.socket(client(1), &limits).unwrap_err(), Refusal::Full);
        drop(tickets.pop());
        assert_eq!(door.socket(client(1), &limits).unwrap_err(), Refusal::TooMany);
        let last = door.socket(client(2), &limits).unwrap();
        assert_eq!(last.client(), client(2));
    }

    #[test]
    fn what_was_given_back_leaves_nothing_behind() {
        let (door, limits) = (Arc::new(Admission::default()), limits(100, 50));
        let tickets: Vec<_> = (0..10)
            .map(|number| (door.socket(client(number), &limits), door.stream(client(number), &limits)))
            .collect();
        assert!(tickets.iter().all(|(socket, stream)| socket.is_ok() && stream.is_some()));
        drop(tickets);
        let places = door.lock();
        assert_eq!((places.sockets, places.clients.len()), (0, 0));
    }

    #[test]
    fn tcp_connections_without_a_websocket_are_bounded_too() {
        let (door, limits) = (Arc::new(Admission::default()), limits(100, 2));
        let tickets: Vec<_> = std::iter::from_fn(|| door.stream(client(1), &limits)).collect();
        assert_eq!(tickets.len(), 2 + BESIDE);
        assert!(door.stream(client(2), &limits).is_some());
        assert!(Admission::streams(&limits) > 100);
    }
}
