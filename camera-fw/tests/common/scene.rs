//! The real camera as a process, a real server, and the evil one between them.

use std::time::{Duration, Instant};

use signal_proto::seal::{Channel, Code, ViewerHandshake};
use signal_proto::{PeerId, RawValue, Role};
use signal_srv::Server;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::evil_server::{EvilServer, Passing};
use super::{Camera, PATIENCE, code, server, stop};

/// A camera in its room, and the evil server that it thinks is a good one.
pub struct Scene {
    pub server: Server,
    pub evil: EvilServer,
    pub state: TempDir,
    pub camera: Camera,
    pub camera_id: PeerId,
    pub code: Code,
    /// What the camera sends.
    said: UnboundedReceiver<Passing>,
}

impl Scene {
    pub async fn new() -> Self {
        let server = server().await;
        let (evil, state) = (EvilServer::before(&server).await, tempfile::tempdir().unwrap());
        let camera = start(&evil, &state);
        let camera_id = evil.members(Role::Camera, 1).await[0];
        let (code, said) = (code(state.path()), evil.listen());
        Self { server, evil, state, camera, camera_id, code, said }
    }

    /// Another camera process of the same identity, with a fresh allowance of handshakes.
    pub async fn restart(&mut self) {
        self.camera.signal(nix::sys::signal::Signal::SIGKILL);
        self.camera = start(&self.evil, &self.state);
        self.camera_id = loop {
            let camera = self.evil.members(Role::Camera, 1).await[0];
            if camera != self.camera_id {
                break camera;
            }
            tokio::task::yield_now().await;
        };
    }

    /// What the camera says next, and to whom.
    pub async fn said(&mut self) -> Passing {
        loop {
            let passing = timeout(PATIENCE, self.said.recv()).await.expect("the camera is silent").unwrap();
            if passing.by == Role::Camera {
                return passing;
            }
        }
    }

    /// What the camera says next to this viewer.
    pub async fn said_to(&mut self, viewer: PeerId) -> Box<RawValue> {
        loop {
            let passing = self.said().await;
            if passing.to == viewer {
                return passing.signal;
            }
        }
    }

    /// What it has said meanwhile.
    pub fn said_meanwhile(&mut self) -> Vec<Passing> {
        let mut said = Vec::new();
        while let Ok(passing) = self.said.try_recv() {
            if passing.by == Role::Camera {
                said.push(passing);
            }
        }
        said
    }

    pub fn tell(&self, from: PeerId, signal: &RawValue) {
        self.evil.signal(self.camera_id, from, signal);
    }

    /// A viewer of the evil server's own invention, which all the same has the code: the worst that there can be.
    pub fn invent(&self) -> PeerId {
        self.evil.invent_viewer(self.camera_id)
    }

    pub fn greeting(&self, viewer: PeerId) -> (ViewerHandshake, Box<RawValue>) {
        ViewerHandshake::begin(&self.code, viewer, self.camera_id).unwrap()
    }

    /// An invented viewer that has shaken hands.
    pub async fn prove(&mut self) -> (PeerId, Channel) {
        let viewer = self.invent();
        let (handshake, first) = self.greeting(viewer);
        self.tell(viewer, &first);
        let reply = self.said_to(viewer).await;
        (viewer, handshake.finish(&reply).unwrap())
    }

    /// Waits until the camera has no peer connection any more.
    pub async fn quiet(&self) {
        let since = Instant::now();
        while self.camera.udp_sockets() > 0 {
            assert!(since.elapsed() < PATIENCE, "a peer connection stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn end(self) {
        let Self { server, mut camera, .. } = self;
        assert!(!camera.log().iter().any(|line| line.contains("panicked")));
        drop(camera);
        stop(server).await;
    }
}

pub fn start(evil: &EvilServer, state: &TempDir) -> Camera {
    let mut camera = Camera::start(&["--server", evil.url(), "--log", "debug"], state.path());
    camera.wait_for(&["joined"]);
    camera
}
