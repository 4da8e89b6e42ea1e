//! How many connections there are, of all clients and of each. A ticket is a place; it is given back by being dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Limits;
use crate::client::Client;

/// TCP connections that a client may have besides its WebSockets: those that fetch the page, and those that will be refused.
const BESIDE: usize = 32;

/// The door.
#[derive(Debug)]
pub(crate) struct Admission {
    most: usize,
    most_of_each: usize,
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
    pub(crate) fn new(limits: &Limits) -> Self {
        let places = Mutex::default();
        Self { most: limits.connections, most_of_each: limits.connections_per_address, places }
    }

    /// How many TCP connections there may be, so that there is always one in which a client is told that there are too many.
    pub(crate) const fn streams(&self) -> usize {
        self.most.saturating_add(self.most / 16).saturating_add(BESIDE)
    }

    /// A place for a TCP connection. `None`: this client has so many that it is not even told.
    pub(crate) fn stream(self: &Arc<Self>, client: Client) -> Option<Ticket> {
        let mut places = self.lock();
        let counts = places.clients.entry(client).or_default();
        if counts.streams >= self.most_of_each.saturating_add(BESIDE) {
            return None;
        }
        counts.streams += 1;
        drop(places);
        Some(Ticket { admission: Arc::clone(self), client, kind: Kind::Stream })
    }

    /// A place for a WebSocket.
    pub(crate) fn socket(self: &Arc<Self>, client: Client) -> Result<Ticket, Refusal> {
        let mut places = self.lock();
        if places.sockets >= self.most {
            return Err(Refusal::Full);
        }
        if places.clients.get(&client).is_some_and(|counts| counts.sockets >= self.most_of_each) {
            return Err(Refusal::TooMany);
        }
        places.sockets += 1;
        places.clients.entry(client).or_default().sockets += 1;
        drop(places);
        Ok(Ticket { admission: Arc::clone(self), client, kind: Kind::Socket })
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

    fn admission(connections: usize, connections_per_address: usize) -> Arc<Admission> {
        Arc::new(Admission::new(&Limits { connections, connections_per_address, ..Limits::default() }))
    }

    #[test]
    fn each_has_its_share_and_all_together_theirs() {
        let door = admission(3, 2);
        let mut tickets: Vec<_> = [1, 1, 2].map(|number| door.socket(client(number)).unwrap()).into();
        assert_eq!(door.socket(client(1)).unwrap_err(), Refusal::Full);
        drop(tickets.pop());
        assert_eq!(door.socket(client(1)).unwrap_err(), Refusal::TooMany);
        let last = door.socket(client(2)).unwrap();
        assert_eq!(last.client(), client(2));
    }

    #[test]
    fn what_was_given_back_leaves_nothing_behind() {
        let door = admission(100, 50);
        let tickets: Vec<_> =
            (0..10).map(|number| (door.socket(client(number)), door.stream(client(number)))).collect();
        assert!(tickets.iter().all(|(socket, stream)| socket.is_ok() && stream.is_some()));
        drop(tickets);
        let places = door.lock();
        assert_eq!((places.sockets, places.clients.len()), (0, 0));
    }

    #[test]
    fn tcp_connections_without_a_websocket_are_bounded_too() {
        let door = admission(100, 2);
        let tickets: Vec<_> = std::iter::from_fn(|| door.stream(client(1))).collect();
        assert_eq!(tickets.len(), 2 + BESIDE);
        assert!(door.stream(client(2)).is_some());
        assert!(door.streams() > 100);
    }
}
