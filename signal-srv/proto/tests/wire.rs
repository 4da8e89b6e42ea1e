//! The contract: every message of docs/protocol.md as it travels. A changed snapshot is a changed protocol.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use signal_proto::*;

fn peer(last: u8) -> PeerId {
    PeerId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, last])
}

fn room() -> RoomId {
    RoomId::from_bytes([0x5a; 32])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn client_messages() {
    let signal = Signal::Offer("v=0\r\n".into()).encode();
    let lines = [
        ClientMessage::JoinOrCreate(Join::Pair { room: room() }),
        ClientMessage::JoinOrCreate(Join::Role { room: room(), role: Role::Camera }),
        ClientMessage::JoinOrCreate(Join::Role { room: room(), role: Role::Viewer }),
        ClientMessage::Signal { to: None, signal: &signal },
        ClientMessage::Signal { to: Some(peer(1)), signal: &signal },
    ]
    .map(|message| text(&encode_client(&message)));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn server_messages() {
    let signal = Signal::Answer("v=0\r\n".into()).encode();
    let turn = IceServer {
        urls: vec!["turn:turn.example.org:3478".into()],
        username: Some("name".into()),
        credential: Some("secret".into()),
    };
    let stun = IceServer { urls: vec!["stun:stun.example.org".into()], username: None, credential: None };
    let joined = Joined { peers: vec![Member { peer: peer(2), role: Role::Camera }], ice_servers: vec![stun, turn] };
    let lines = [
        ServerMessage::Hello(peer(1)),
        ServerMessage::Joined(None),
        ServerMessage::Joined(Some(joined)),
        ServerMessage::Room(RoomEvent::Join { peer: peer(2), role: None }),
        ServerMessage::Room(RoomEvent::Join { peer: peer(2), role: Some(Role::Viewer) }),
        ServerMessage::Room(RoomEvent::Leave { peer: peer(2) }),
        ServerMessage::Room(RoomEvent::Signal { peer: peer(2), signal: &signal }),
    ]
    .map(|message| text(&encode_server(&message)));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn errors() {
    let lines: Vec<_> = ErrorCode::all()
        .map(|code| text(&encode_server(&ServerMessage::Error { code, text: code.text().into() })))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn signals() {
    let candidate = Candidate {
        candidate: "candidate:1 1 udp 2130706431 192.0.2.1 40000 typ host".into(),
        sdp_m_line_index: 0,
        sdp_mid: Some("0".into()),
    };
    let lines = [
        Signal::Offer("v=0\r\n".into()),
        Signal::Answer("v=0\r\n".into()),
        Signal::Candidate(candidate),
        Signal::Bye(ByeReason::Busy),
        Signal::Bye(ByeReason::Stopping),
        Signal::Bye(ByeReason::Failed),
        Signal::Bye(ByeReason::Left),
        Signal::Picture(PictureState::Live),
        Signal::Picture(PictureState::Lost),
        Signal::Picture(PictureState::Paused),
        Signal::Start,
    ]
    .map(|signal| signal.encode().get().to_owned());
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn signals_of_browsers_and_of_lean_clients_are_read() {
    let read = |text: &str| Signal::decode(serde_json::from_str(text).unwrap()).unwrap();
    let browser = r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"x"}"#;
    let lean = r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMLineIndex":0}"#;
    assert!(matches!(read(browser), Signal::Candidate(c) if c.sdp_mid.as_deref() == Some("0")));
    assert!(matches!(read(lean), Signal::Candidate(c) if c.sdp_mid.is_none()));
    assert!(matches!(read(r#"{"candidate":"","sdpMid":null,"sdpMLineIndex":null}"#), Signal::Candidate(_)));
    assert_eq!(read(r#"{"type":"bye","reason":"newer than us"}"#), Signal::Bye(ByeReason::Left));
    for newer in
        [r#"{"type":"picture","state":"newer than us"}"#, r#"{"type":"picture","state":""}"#, r#"{"type":"picture"}"#]
    {
        assert_eq!(read(newer), Signal::Picture(PictureState::Lost), "{newer}");
    }
    let more = r#"{"since":1,"type":"picture","state":"paused","sdp":"v=0","candidate":"c"}"#;
    assert_eq!(read(more), Signal::Picture(PictureState::Paused));
}
