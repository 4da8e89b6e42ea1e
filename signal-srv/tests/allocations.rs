//! What a connection keeps, and what a relayed message takes: counted in the whole process, in which the clients take nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::System;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use signal_srv::{Config, Limits, Server};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that a connection may keep, in a room and after it has relayed: what the kernel and TLS keep comes on top.
const KEPT: usize = 12 * 1024;
/// Allocations for a message that is relayed: the message itself, and now and then a block of the queue it waits in.
const PER_MESSAGE: f64 = 1.2;

const PAIRS: usize = 100;
const MESSAGES: usize = 1000;
const SIGNAL_BYTES: usize = 2000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that allocates nothing.
struct Bare {
    stream: TcpStream,
    received: [u8; 8192],
    filled: usize,
}

impl Bare {
    fn connect(address: SocketAddr, join: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut client = Self { stream, received: [0; 8192], filled: 0 };
        let head = client.until(|bytes| bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4));
        client.forget(head);
        client.message();
        client.stream.write_all(join).unwrap();
        client.message();
        client
    }

    /// Reads until `complete` says how much belongs together.
    fn until(&mut self, complete: impl Fn(&[u8]) -> Option<usize>) -> usize {
        let begun = Instant::now();
        loop {
            if let Some(length) = complete(&self.received[..self.filled]) {
                return length;
            }
            assert!(begun.elapsed() < PATIENCE, "no answer");
            match self.stream.read(&mut self.received[self.filled..]) {
                Ok(0) => panic!("the server has closed the connection"),
                Ok(read) => self.filled += read,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
            }
        }
    }

    fn forget(&mut self, length: usize) {
        self.received.copy_within(length..self.filled, 0);
        self.filled -= length;
    }

    /// Takes one unmasked frame (RFC 6455 §5.2), and gives the length of what is in it.
    fn message(&mut self) -> usize {
        let length = self.until(|bytes| {
            let (head, length) = match bytes.get(1)? {
                126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
                length => (2, usize::from(*length)),
            };
            (bytes.len() >= head + length).then_some(head + length)
        });
        self.forget(length);
        length
    }
}

/// A masked binary frame whose mask is zero.
fn frame(payload: &str) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![0x82];
    match u8::try_from(length) {
        Ok(length @ 0..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload.as_bytes());
    frame
}

// One test alone: another one's allocations would be counted too.
#[test]
fn a_connection_keeps_little_and_a_relayed_message_takes_one_allocation() {
    let unlimited = u32::MAX as usize;
    let limits = Limits {
        messages_per_second: unlimited,
        message_burst: unlimited,
        bytes_per_second: unlimited,
        byte_burst: unlimited,
        connections_per_address: unlimited,
        rooms_per_address: unlimited,
        ..Limits::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(Server::spawn(Config { limits, ..Config::default() })).unwrap();
    let address = server.address();
    let signal = frame(&format!(r#"{{"type":"SIGNAL","data":{{"noise":"{}"}}}}"#, "A".repeat(SIGNAL_BYTES)));
    let pair = |number: usize| {
        let join = frame(&format!(r#"{{"type":"JOIN_OR_CREATE","data":"{number:064x}"}}"#));
        let mut first = Bare::connect(address, &join);
        let mut second = Bare::connect(address, &join);
        first.message();
        first.stream.write_all(&signal).unwrap();
        second.message();
        second.stream.write_all(&signal).unwrap();
        first.message();
        (first, second)
    };
    // What is made once for all is made by them.
    let warm: Vec<(Bare, Bare)> = (0..10).map(pair).collect();

    let mut clients = Vec::with_capacity(PAIRS);
    let region = Region::new(ALLOCATOR);
    clients.extend((0..PAIRS).map(|number| pair(100 + number)));
    let change = region.change();
    let ours = PAIRS * 2;
    let kept = (change.bytes_allocated - change.bytes_deallocated) / ours;
    println!("{kept} bytes a connection");
    assert!(kept <= KEPT, "a connection keeps {kept} bytes, {KEPT} are allowed");

    let (sender, receiver) = &mut clients[0];
    for _ in 0..100 {
        sender.stream.write_all(&signal).unwrap();
        receiver.message();
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..MESSAGES {
        sender.stream.write_all(&signal).unwrap();
        receiver.message();
    }
    let change = region.change();
    let each = (change.allocations + change.reallocations) as f64 / MESSAGES as f64;
    println!("{each} allocations a message");
    assert!(each <= PER_MESSAGE, "a message takes {each} allocations, {PER_MESSAGE} are allowed");

    drop((warm, clients));
    server.shutdown();
    let stats = runtime.block_on(server.join()).unwrap();
    assert_eq!(stats.joins, stats.leaves);
}
