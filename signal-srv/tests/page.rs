//! The page and what else is on HTTP: contents, types, headers, caching.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;

use common::{server, stop, within};
use signal_srv::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.headers))
    }
}

async fn request(server: &Server, method: &str, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Answer { status, headers, body: body.to_owned() }
}

async fn get(server: &Server, path: &str) -> Answer {
    request(server, "GET", path, "").await
}

/// Every file in `web/`, by its path below `/`.
fn files() -> Vec<String> {
    let web = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
    let mut files = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(web)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(web).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

#[tokio::test]
async fn every_file_of_the_page_is_served_with_its_type() {
    let server = server().await;
    let index = get(&server, "/").await;
    assert_eq!((index.status, index.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(index.body.contains("<html"));
    for file in files() {
        let answer = get(&server, &format!("/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
        let content_type = answer.header("content-type");
        let expected = match file.rsplit_once('.').unwrap().1 {
            "html" => "text/html; charset=utf-8",
            "js" | "mjs" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "webmanifest" => "application/manifest+json",
            _ => continue,
        };
        assert_eq!(content_type, expected, "{file}");
        assert!(!answer.body.is_empty(), "{file}");
    }
    stop(server).await;
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = server().await;
    for path in ["/", "/healthz", "/nothing", "/ws"] {
        let answer = get(&server, path).await;
        let policy = answer.header("content-security-policy");
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "manifest-src 'self'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|part| part == directive), "{directive} is not in {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        let permissions = answer.header("permissions-policy");
        let allowed: Vec<&str> = permissions.split(", ").filter(|feature| !feature.ends_with("=()")).collect();
        assert_eq!(allowed, ["camera=(self)", "fullscreen=(self)"], "a scan needs the camera, and nothing needs more");
        for denied in ["microphone=()", "geolocation=()", "display-capture=()"] {
            assert!(permissions.split(", ").any(|feature| feature == denied), "{permissions}");
        }
        assert!(!answer.headers.contains_key("strict-transport-security"), "this is plain HTTP");
        assert!(!answer.headers.contains_key("content-encoding"));
    }
    stop(server).await;
}

#[tokio::test]
async fn what_the_browser_has_already_is_not_sent_again() {
    let server = server().await;
    let first = get(&server, "/").await;
    assert_eq!(first.header("cache-control"), "no-cache");
    let tag = first.header("etag").to_owned();
    let again = request(&server, "GET", "/", &format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", tag.as_str()));
    let changed = request(&server, "GET", "/", "If-None-Match: \"something-else\"\r\n").await;
    assert_eq!((changed.status, changed.body), (200, first.body));
    stop(server).await;
}

#[tokio::test]
async fn healthz_answers_ok() {
    let server = server().await;
    let answer = get(&server, "/healthz").await;
    assert_eq!((answer.status, answer.body.trim(), answer.header("cache-control")), (200, "ok", "no-store"));
    stop(server).await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_plain_text() {
    let server = server().await;
    for path in ["/nothing", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "//", "/index.html/", "/healthz/"] {
        let answer = get(&server, path).await;
        assert_eq!((answer.status, answer.header("content-type")), (404, "text/plain; charset=utf-8"), "{path}");
    }
    for (method, path) in [("POST", "/"), ("PUT", "/healthz"), ("DELETE", "/ws"), ("POST", "/index.html")] {
        let answer = request(&server, method, path, "").await;
        assert_eq!((answer.status, answer.header("content-type")), (405, "text/plain; charset=utf-8"), "{path}");
        assert!(answer.header("allow").contains("GET"), "{method} {path}");
        assert!(!answer.body.is_empty());
    }
    assert_eq!(request(&server, "POST", "/nothing", "").await.status, 404);
    let head = request(&server, "HEAD", "/", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    stop(server).await;
}

#[tokio::test]
async fn only_a_proper_opening_handshake_is_answered_with_a_websocket() {
    let server = server().await;
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (path, headers) in [
        ("/ws", String::new()),
        ("/", "Upgrade: websocket\r\n".to_owned()),
        ("/", format!("{upgrade}Sec-WebSocket-Version: 8\r\n")),
        ("/ws", format!("{upgrade}Sec-WebSocket-Version: 13\r\n")),
    ] {
        // The last one lacks nothing but `Connection: upgrade`.
        let answer = request(&server, "GET", path, &headers).await;
        assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, "13"), "{headers}");
    }
    stop(server).await;
}

/// No compression: neither of pages nor of messages, where it would help to guess what is in them.
#[tokio::test]
async fn no_extension_is_agreed_to() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(within(stream.read_u8()).await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    assert!(!answer.contains("extensions"), "{answer}");
    stop(server).await;
}
