//! HTTP on one connection: the page, `/healthz`, and the upgrade to a WebSocket.
//!
//! The page is the folder `web/`, embedded at compile time. The upgrade is done here and not by axum's
//! extractor, because that spawns a task of its own and hides the socket: here the connection's one task
//! goes on with the WebSocket, and can drain the socket at the end.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::{TokioIo, TokioTimer};
use include_dir::{Dir, include_dir};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tower_service::Service;
use tracing::debug;

use crate::admission::{Admission, Refusal, Ticket};
use crate::connection::Context;
use crate::metrics::{Metrics, Turned};
use crate::readiness::Readiness;
use crate::settings::Settings;

static WEB: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/web");

/// Every file of the page by its path below `/`.
static PAGE: LazyLock<HashMap<&'static str, Asset>> = LazyLock::new(|| {
    let mut page = HashMap::new();
    collect(&WEB, &mut page);
    page
});

/// Scripts and styles from here alone, no inline ones, no plug-ins, no frames, and connections to this
/// server alone: `'self'` covers `ws:` and `wss:` of the same host and port (CSP Level 3 §6.7.2.8). WebRTC and
/// `srcObject` are outside of what it governs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
    form-action 'none'; require-trusted-types-for 'script'";

/// The page watches; of the viewer's own devices it may ask for the camera alone, to scan a code with it.
const PERMISSIONS_POLICY: &str = "accelerometer=(), camera=(self), display-capture=(), geolocation=(), gyroscope=(), \
    hid=(), idle-detection=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), \
    xr-spatial-tracking=(), fullscreen=(self)";

const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Only where the certificate is one that browsers trust: with a self-signed one it would forbid the
/// viewer to go on past the warning (RFC 6797 §8.4).
const STRICT_TRANSPORT_SECURITY: &str = "max-age=31536000";

/// OpenMetrics, which Prometheus asks for.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In seconds; clients that know it come back spread out all the same.
const RETRY_AFTER: &str = "30";

/// A request head has at most so many bytes and fields.
const HEAD_BYTES: usize = 8192;
const HEAD_FIELDS: usize = 64;

#[derive(Debug)]
struct Asset {
    content: &'static [u8],
    content_type: &'static str,
    etag: HeaderValue,
}

/// The routes. `strict_transport` adds HSTS.
pub(crate) fn router(strict_transport: bool, readiness: Readiness) -> Router {
    let secure = move |response: Response| async move { secured(response, strict_transport) };
    Router::new()
        .route("/", get(root))
        .route("/ws", get(upgrade))
        .route("/healthz", get(|| async { plain(StatusCode::OK, "ok\n") }))
        .route("/readyz", get(|| async move { ready(&readiness) }))
        .method_not_allowed_fallback(|| async { method_not_allowed() })
        .fallback(asset)
        .layer(map_response(secure))
}

/// What is for the operator alone, on an address of its own.
pub(crate) fn operator_router(metrics: Arc<Metrics>, readiness: Readiness) -> Router {
    let metrics = move || async move {
        match metrics.text() {
            Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "The metrics cannot be written.\n"),
        }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { plain(StatusCode::OK, "ok\n") }))
        .route("/readyz", get(|| async move { ready(&readiness) }))
        .fallback(|| async { plain(StatusCode::NOT_FOUND, "There are /metrics, /healthz and /readyz.\n") })
}

fn ready(readiness: &Readiness) -> Response {
    match readiness.obstacle() {
        Some(obstacle) => plain(StatusCode::SERVICE_UNAVAILABLE, obstacle),
        None => plain(StatusCode::OK, "ready\n"),
    }
}

/// What is left of HTTP when a request has asked for a WebSocket and was let in.
#[derive(Debug)]
pub(crate) struct WebSocketStart<S> {
    /// As it was given: nothing of HTTP is around it any more.
    pub(crate) stream: S,
    /// What came right behind the request.
    pub(crate) early: Bytes,
    /// The place that it takes.
    pub(crate) ticket: Ticket,
}

/// Serves HTTP on `stream`, from `peer`.
pub(crate) async fn serve<S>(stream: S, peer: IpAddr, router: Router, context: &Context) -> Option<WebSocketStart<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let slot = UpgradeSlot {
        admission: Arc::clone(&context.admission),
        settings: Arc::clone(&context.settings),
        metrics: Arc::clone(&context.metrics),
        peer,
        upgrade: Arc::default(),
    };
    let service = service_fn({
        let slot = slot.clone();
        move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(slot.clone());
            router.clone().call(request)
        }
    });
    let limits = &context.settings.limits;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.http_head)
        .max_header_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = sleep(limits.http_total) => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.http_head, connection).await.unwrap_or(Ok(()))
        }
        () = context.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.farewell, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, "HTTP ended");
    }
    let (upgrade, ticket) = slot.take()?;
    let Parts { io, read_buf: early, .. } = upgrade.await.ok()?.downcast::<TokioIo<S>>().ok()?;
    Some(WebSocketStart { stream: io.into_inner(), early, ticket })
}

/// Where the request that asks for a WebSocket leaves its socket for the connection's task, and who decides about it.
#[derive(Clone)]
struct UpgradeSlot {
    admission: Arc<Admission>,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    peer: IpAddr,
    upgrade: Arc<Mutex<Option<(OnUpgrade, Ticket)>>>,
}

impl UpgradeSlot {
    /// A place for the WebSocket, or why there is none.
    fn admit(&self, headers: &HeaderMap) -> Result<Ticket, Turned> {
        let admitted = if self.settings.origins.admit(headers) {
            let client = self.settings.proxies.client(self.peer, headers);
            self.admission.socket(client, &self.settings.limits).map_err(|refusal| match refusal {
                Refusal::Full => Turned::Full,
                Refusal::TooMany => Turned::Address,
            })
        } else {
            Err(Turned::Origin)
        };
        admitted.inspect_err(|turned| {
            debug!(reason = ?turned, "a WebSocket was turned away");
            self.metrics.turned_away(*turned);
        })
    }

    fn fill(&self, upgrade: OnUpgrade, ticket: Ticket) {
        *self.upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, ticket));
    }

    fn take(&self) -> Option<(OnUpgrade, Ticket)> {
        self.upgrade.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// `/`: a WebSocket to whoever asks for one, else the page.
async fn root(request: Request) -> Response {
    if request.headers().contains_key(header::UPGRADE) { upgrade(request).await } else { asset(request).await }
}

/// The server's half of the opening handshake (RFC 6455 §4.2). No extension is ever agreed to.
async fn upgrade(mut request: Request) -> Response {
    let Some(slot) = request.extensions().get::<UpgradeSlot>().cloned() else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "This connection cannot become a WebSocket.\n");
    };
    match create_response_with_body(&request, Body::empty) {
        Ok(response) => match slot.admit(request.headers()) {
            Ok(ticket) => {
                slot.fill(hyper::upgrade::on(&mut request), ticket);
                response
            }
            Err(turned) => turned_away(turned),
        },
        Err(_) => {
            let mut response = plain(
                StatusCode::UPGRADE_REQUIRED,
                "This address speaks WebSocket (RFC 6455, version 13); see docs/protocol.md.\n",
            );
            let headers = response.headers_mut();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            response
        }
    }
}

/// What somebody is told who gets no WebSocket.
fn turned_away(turned: Turned) -> Response {
    let (status, text) = match turned {
        Turned::Origin => {
            let text = "Pages of this origin are not let in. Whoever runs the server can add it to `origins`.\n";
            return plain(StatusCode::FORBIDDEN, text);
        }
        Turned::Address => (
            StatusCode::TOO_MANY_REQUESTS,
            "There are as many connections from your address as the server takes. Close some, or come back later.\n",
        ),
        Turned::Full | Turned::Stream | Turned::Tls => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The server has as many connections as it takes. Come back after a random delay.\n",
        ),
    };
    let mut response = plain(status, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    response
}

/// A file of the page.
async fn asset(request: Request) -> Response {
    let path = match request.uri().path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    let Some(asset) = PAGE.get(path) else {
        return plain(StatusCode::NOT_FOUND, "There is nothing here.\n");
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = method_not_allowed();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
        return response;
    }
    let status = if asset.is_known_to(request.headers()) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let body = if status == StatusCode::OK { Body::from(asset.content) } else { Body::empty() };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::ETAG, asset.etag.clone());
    // Kept by the browser, asked for each time: an update of the server is an update of the page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

impl Asset {
    fn new(path: &str, content: &'static [u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let etag = HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish()))
            .unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        Self { content, content_type: content_type(path), etag }
    }

    /// RFC 9110 §13.1.2: weak comparison with each of the tags.
    fn is_known_to(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || self.etag == tag)
    }
}

fn collect(dir: &'static Dir<'static>, page: &mut HashMap<&'static str, Asset>) {
    for file in dir.files() {
        if let Some(path) = file.path().to_str() {
            page.insert(path, Asset::new(path, file.contents()));
        }
    }
    for dir in dir.dirs() {
        collect(dir, page);
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

fn method_not_allowed() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are served here.\n")
}

fn secured(mut response: Response, strict_transport: bool) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if strict_transport {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(STRICT_TRANSPORT_SECURITY));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        assert_eq!(content_type("a/b.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("app.mjs"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("manifest.webmanifest"), "application/manifest+json");
        assert_eq!(content_type("LICENSE"), "application/octet-stream");
    }

    #[test]
    fn etags_are_compared_weakly_and_in_lists() {
        let asset = Asset::new("x.js", b"content");
        let tag = asset.etag.to_str().unwrap();
        let asks = |value: &str| {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap())]);
            asset.is_known_to(&headers)
        };
        assert!(asks(tag));
        assert!(asks(&format!("\"other\", W/{tag}")));
        assert!(asks("*"));
        assert!(!asks("\"other\""));
    }
}
