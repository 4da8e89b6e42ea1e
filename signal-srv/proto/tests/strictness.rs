//! What is not a message is refused with the right code, and nothing that arrives makes the decoder panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use signal_proto::*;

fn code(text: &str) -> ErrorCode {
    decode_client(text.as_bytes()).expect_err(text).code()
}

#[test]
fn malformed_client_messages_are_refused() {
    let room = "5a".repeat(32);
    for bad in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"type":"SIGNAL"}"#,
        r#"{"type":1,"data":""}"#,
        r#"{"type":"SIGNAL","data":{},"extra":1}"#,
        r#"{"type":"SIGNAL","type":"SIGNAL","data":{}}"#,
        r#"{"type":"SIGNAL","data":{}}{}"#,
        r#"{"type":"SIGNAL","data":{},"to":"me"}"#,
        r#"{"type":"JOIN_OR_CREATE"}"#,
        r#"{"type":"JOIN_OR_CREATE","data":7}"#,
        &format!(r#"{{"type":"JOIN_OR_CREATE","data":{{"room":"{room}"}}}}"#),
        &format!(r#"{{"type":"JOIN_OR_CREATE","data":{{"room":"{room}","role":"owner"}}}}"#),
        &format!(r#"{{"type":"JOIN_OR_CREATE","data":{{"room":"{room}","role":"viewer","x":1}}}}"#),
        &format!(r#"{{"type":"JOIN_OR_CREATE","data":"{room}","to":"00010203-0405-0607-0809-0a0b0c0d0e0f"}}"#),
    ] {
        assert_eq!(code(bad), ErrorCode::BadMessage, "{bad}");
    }
    assert_eq!(code(r#"{"type":"HELLO","data":""}"#), ErrorCode::UnknownType);
    assert_eq!(code(r#"{"type":"JOIN_OR_CREATE","data":"5a"}"#), ErrorCode::BadRoomId);
    assert_eq!(code(&format!(r#"{{"type":"JOIN_OR_CREATE","data":"{}"}}"#, "g".repeat(64))), ErrorCode::BadRoomId);
    assert_eq!(decode_client(b"\xff\xfe").expect_err("not UTF-8").code(), ErrorCode::BadMessage);
}

#[test]
fn the_limit_counts_bytes() {
    let message = |payload: usize| format!(r#"{{"type":"SIGNAL","data":"{}"}}"#, "x".repeat(payload));
    let empty = message(0).len();
    assert!(decode_client(message(limits::MESSAGE_BYTES - empty).as_bytes()).is_ok());
    assert_eq!(code(&message(limits::MESSAGE_BYTES - empty + 1)), ErrorCode::MessageTooLarge);
}

#[test]
fn members_come_in_any_order_and_the_signal_byte_for_byte() {
    let odd = r#"{ "a" : 1.50, "ä":[ "\u00e9" ] ,"n":1e400}"#;
    for text in [format!(r#"{{"type":"SIGNAL","data":{odd}}}"#), format!(r#"{{"data":{odd},"type":"SIGNAL"}}"#)] {
        let ClientMessage::Signal { to: None, signal } = decode_client(text.as_bytes()).unwrap() else {
            panic!("a signal without addressee");
        };
        assert_eq!(signal.get(), odd);
        let relayed = encode_server(&ServerMessage::Room(RoomEvent::Signal { peer: PeerId::random(), signal }));
        assert!(std::str::from_utf8(&relayed).unwrap().ends_with(&format!(r#""signal":{odd}}}}}}}"#)));
    }
}

#[test]
fn a_signal_nested_without_end_neither_overflows_the_stack_nor_is_used() {
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    let text = format!(r#"{{"type":"SIGNAL","data":{deep}}}"#);
    if let Ok(ClientMessage::Signal { signal, .. }) = decode_client(text.as_bytes()) {
        assert!(Signal::decode(signal).is_err());
    }
}

#[test]
fn a_limit_bounds_descriptions_and_candidates() {
    let decode = |text: String| Signal::decode(serde_json::from_str(&text).unwrap());
    let sdp = |n| decode(format!(r#"{{"type":"offer","sdp":"{}"}}"#, "x".repeat(n)));
    let candidate = |n| decode(format!(r#"{{"candidate":"{}","sdpMLineIndex":0}}"#, "x".repeat(n)));
    assert!(sdp(limits::SDP_BYTES).is_ok());
    assert!(matches!(sdp(limits::SDP_BYTES + 1), Err(SignalError::TooLong { what: "sdp", .. })));
    assert!(candidate(limits::CANDIDATE_BYTES).is_ok());
    assert!(matches!(candidate(limits::CANDIDATE_BYTES + 1), Err(SignalError::TooLong { .. })));
    assert!(matches!(decode(r#"{"type":"offer"}"#.into()), Err(SignalError::Unknown)));
    assert!(matches!(decode("17".into()), Err(SignalError::Malformed(_))));
}

#[test]
fn a_picture_state_is_one_word() {
    let decode = |state: &str| {
        let text = format!(r#"{{"type":"picture","state":{state}}}"#);
        Signal::decode(serde_json::from_str(&text).unwrap())
    };
    assert_eq!(decode(r#""paused""#).unwrap(), Signal::Picture(PictureState::Paused));
    assert_eq!(decode(r#""PAUSED""#).unwrap(), Signal::Picture(PictureState::Lost));
    let huge = format!(r#""{}""#, "x".repeat(limits::MESSAGE_BYTES));
    assert_eq!(decode(&huge).unwrap(), Signal::Picture(PictureState::Lost));
    for bad in
        ["1", "true", "[]", r#"["paused"]"#, "{}", r#"{"paused":null,"live":null}"#, r#""paused","state":"live""#]
    {
        assert!(matches!(decode(bad), Err(SignalError::Malformed(_))), "{bad}");
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        ".{0,20}".prop_map(|s| serde_json::to_string(&s).unwrap()),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|v| format!("[{}]", v.join(","))),
            prop::collection::vec((".{0,8}", inner), 0..6).prop_map(|v| {
                let members: Vec<_> =
                    v.iter().map(|(k, v)| format!("{}:{v}", serde_json::to_string(k).unwrap())).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode_client(&bytes);
        let _ = decode_server(&bytes);
    }

    #[test]
    fn decoding_json_never_panics(text in json()) {
        let _ = decode_client(text.as_bytes());
        let _ = decode_server(text.as_bytes());
        let _ = Signal::decode(serde_json::from_str(&text).unwrap());
    }

    #[test]
    fn client_messages_round_trip(room: [u8; 32], to: Option<[u8; 16]>, camera: bool, signal in json()) {
        let room = RoomId::from_bytes(room);
        let role = if camera { Role::Camera } else { Role::Viewer };
        for join in [Join::Pair { room }, Join::Role { room, role }] {
            let bytes = encode_client(&ClientMessage::JoinOrCreate(join));
            prop_assert!(matches!(decode_client(&bytes), Ok(ClientMessage::JoinOrCreate(j)) if j == join));
        }
        let to = to.map(PeerId::from_bytes);
        let raw: &RawValue = serde_json::from_str(&signal).unwrap();
        let bytes = encode_client(&ClientMessage::Signal { to, signal: raw });
        let ClientMessage::Signal { to: back, signal } = decode_client(&bytes).unwrap() else { panic!("a signal") };
        prop_assert_eq!(back, to);
        prop_assert_eq!(signal.get(), raw.get());
    }

    #[test]
    fn server_messages_round_trip(id: [u8; 16], camera: Option<bool>, signal in json(), text in ".{0,80}") {
        let peer = PeerId::from_bytes(id);
        let role = camera.map(|camera| if camera { Role::Camera } else { Role::Viewer });
        let again = |message: &ServerMessage<'_>| {
            let bytes = encode_server(message);
            // Encoding what was decoded gives the same bytes: nothing was lost on the way.
            encode_server(&decode_server(&bytes).unwrap()) == bytes
        };
        let raw: &RawValue = serde_json::from_str(&signal).unwrap();
        prop_assert!(again(&ServerMessage::Hello(peer)));
        prop_assert!(again(&ServerMessage::Room(RoomEvent::Join { peer, role })), "JOIN");
        prop_assert!(again(&ServerMessage::Room(RoomEvent::Leave { peer })), "LEAVE");
        prop_assert!(again(&ServerMessage::Room(RoomEvent::Signal { peer, signal: raw })), "SIGNAL");
        let joined = Joined {
            peers: role.map(|role| Member { peer, role }).into_iter().collect(),
            ice_servers: vec![IceServer { urls: vec![text.clone()], username: Some(text.clone()), credential: None }],
        };
        prop_assert!(again(&ServerMessage::Joined(Some(joined))));
        for code in ErrorCode::all() {
            prop_assert!(again(&ServerMessage::Error { code, text: text.clone() }), "ERROR");
        }
    }

    #[test]
    fn signals_round_trip(sdp in ".{0,200}", line in ".{0,100}", index: u16, mid in prop::option::of(".{0,8}")) {
        let candidate = Candidate { candidate: line, sdp_m_line_index: index, sdp_mid: mid };
        let picture = Signal::Picture(PictureState::Paused);
        for signal in [Signal::Start, Signal::Offer(sdp.clone().into()), Signal::Answer(sdp.into()), Signal::Candidate(candidate), Signal::Bye(ByeReason::Failed), picture] {
            prop_assert!(Signal::decode(&signal.encode()).unwrap() == signal);
        }
    }
}
