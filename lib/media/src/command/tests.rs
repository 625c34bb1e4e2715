use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::message::TcMessage;

const LIMITS: Limits = Limits::DEFAULT;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The message in the form that RTMFP flows carry.
fn wire(message: &TcMessage) -> Vec<u8> {
    [&message.tc_head()[..], &message.payload].concat()
}

#[test]
fn commands_are_built_as_captured() {
    let tc_url = "rtmfp://h.example:1935/app/inst?x=1";
    let message =
        connect(|o| _ = o.put("app", "app/inst?x=1").put("objectEncoding", 0.0).put("tcUrl", tc_url));
    assert_eq!(
        wire(&message.message(0)),
        bytes(
            "1400000000020007636f6e6e656374003ff000000000000003000361707002000c6170702f696e73743f783d31000e6f626a\
             656374456e636f64696e670000000000000000000005746355726c02002372746d66703a2f2f682e6578616d706c653a3139\
             33352f6170702f696e73743f783d31000009"
        )
    );
    let addresses = ["192.0.2.129:50001", "[2001:db8:1::2]:50002"].map(|a| a.parse().unwrap());
    assert_eq!(
        wire(&set_peer_info(addresses).message(0)),
        bytes(
            "140000000002000b73657450656572496e666f000000000000000000050200113139322e302e322e3132393a353030303102\
             00155b323030313a6462383a313a3a325d3a3530303032"
        )
    );
    assert_eq!(
        wire(&create_stream(2.0).message(0)),
        bytes("140000000002000c63726561746553747265616d00400000000000000005")
    );
    assert_eq!(
        wire(&result(2.0).value(Value::Null).value(5.0).message(0)),
        bytes("14000000000200075f726573756c7400400000000000000005004014000000000000")
    );
    assert_eq!(
        wire(&play("live").message(5)),
        bytes("1400000000020004706c6179000000000000000000050200046c697665")
    );
    assert_eq!(
        wire(&play("live").extended_message(5)),
        bytes("110000000000020004706c6179000000000000000000050200046c697665")
    );
}

#[test]
fn stream_commands_have_a_null_object_and_their_arguments() {
    let info = Info::error("NetStream.Publish.BadName", "taken");
    for (builder, name, transaction, argument) in [
        (publish("s?k=v", "live"), "publish", 0.0, Some(Value::from("s?k=v"))),
        (delete_stream(7), "deleteStream", 0.0, Some(Value::from(7.0))),
        (release_stream(2.0, "s"), "releaseStream", 2.0, Some(Value::from("s"))),
        (fc_publish(3.0, "s"), "FCPublish", 3.0, Some(Value::from("s"))),
        (fc_unpublish(4.0, "s"), "FCUnpublish", 4.0, Some(Value::from("s"))),
        (close_stream(), "closeStream", 0.0, None),
    ] {
        let payload = builder.payload();
        let command = Command::parse(kind::COMMAND, &payload, &LIMITS).unwrap();
        assert_eq!((command.name, command.transaction), (name, transaction));
        assert_eq!(command.values().next(), Some(Ok(Value::Null)));
        assert_eq!(command.argument(0), argument);
    }
    for (builder, name, transaction) in
        [(on_status(&info), "onStatus", 0.0), (error(9.0, &info), "_error", 9.0)]
    {
        let payload = builder.payload();
        let command = Command::parse(kind::COMMAND, &payload, &LIMITS).unwrap();
        assert_eq!((command.name, command.transaction), (name, transaction));
        assert_eq!(command.info(), Some(info));
    }
}

#[test]
fn name_and_transaction_are_usable_though_a_later_value_is_bad() {
    let mut payload = connect(|o| _ = o.put("app", "live")).payload().to_vec();
    payload.extend_from_slice(b"\x04");
    let command = Command::parse(kind::COMMAND, &payload, &LIMITS).unwrap();
    assert_eq!((command.name, command.transaction), ("connect", 1.0));
    assert_eq!(command.object().unwrap().get("app"), Some("live".into()));
    assert_eq!(command.argument(0), None);
    assert_eq!(command.info(), None);
    let outcome: Vec<_> = command.values().map(|value| value.map(|_| ())).collect();
    assert_eq!(outcome, [Ok(()), Err(amf0::Error::Marker(4))]);
}

#[test]
fn what_is_no_command_is_refused_with_the_reason() {
    let parse = |kind, payload| Command::parse(kind, payload, &LIMITS).unwrap_err();
    let play = play("live").payload();
    assert_eq!(parse(kind::DATA, &play), CommandError::Kind(18));
    assert_eq!(parse(kind::COMMAND_EXTENDED, &play), CommandError::Format(UnknownFormat));
    assert_eq!(parse(kind::COMMAND_EXTENDED, b""), CommandError::Format(UnknownFormat));
    assert_eq!(parse(kind::COMMAND, b""), CommandError::Name);
    assert_eq!(parse(kind::COMMAND, b"\x02\0\x01\xff\x05"), CommandError::Name);
    assert_eq!(parse(kind::COMMAND, b"\x05"), CommandError::Name);
    assert_eq!(parse(kind::COMMAND, b"\x02\0\x01a"), CommandError::Transaction);
    assert_eq!(parse(kind::COMMAND, b"\x02\0\x01a\x02\0\x01b"), CommandError::Transaction);
    assert_eq!(parse(kind::COMMAND, b"\x02\0\x09a"), CommandError::Amf(amf0::Error::Truncated));
}

#[test]
fn a_member_of_the_command_object_is_replaced_and_nothing_else() {
    let build = |tc_url: &str| {
        connect(|o| _ = o.put("app", "live").put("tcUrl", tc_url).put("fpad", false)).value("token")
    };
    for (kind, old, new) in [
        (kind::COMMAND, build("rtmp://a/live").message(0), build("rtmp://origin.example/live").message(0)),
        (
            kind::COMMAND_EXTENDED,
            build("rtmp://a/live").extended_message(0),
            build("rtmp://origin.example/live").extended_message(0),
        ),
    ] {
        let command = Command::parse(kind, &old.payload, &LIMITS).unwrap();
        assert_eq!(command.with_object_member("tcUrl", "rtmp://origin.example/live").unwrap(), new.payload);
    }
    let payload = create_stream(2.0).payload();
    let command = Command::parse(kind::COMMAND, &payload, &LIMITS).unwrap();
    assert_eq!(command.with_object_member("a", 1.0), Err(EditError::NotAnObject));
}

#[test]
fn the_rest_is_a_slice_of_the_payload() {
    let payload = play("live").payload();
    let command = Command::parse(kind::COMMAND, &payload, &LIMITS).unwrap();
    assert_eq!(payload.slice_ref(command.rest()), b"\x05\x02\0\x04live"[..]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(20),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_can_follow_the_name(
        rest in prop::collection::vec(prop_oneof![2 => 0..0x12_u8, 1 => any::<u8>()], 0..100), extended: bool,
    ) {
        let head: &[u8] = if extended { b"\0\x02\0\x01a\0\0\0\0\0\0\0\0\0" } else { b"\x02\0\x01a" };
        let payload = [head, &rest].concat();
        let kind = if extended { kind::COMMAND_EXTENDED } else { kind::COMMAND };
        let Ok(command) = Command::parse(kind, &payload, &LIMITS) else {
            prop_assert!(!extended, "name and transaction id are there");
            return Ok(());
        };
        let _ = (command.object(), command.argument(1), command.info());
        if let Ok(changed) = command.with_object_member("tcUrl", "x") {
            let changed = Command::parse(kind, &changed, &LIMITS).unwrap();
            prop_assert_eq!(changed.name, command.name);
            prop_assert_eq!(changed.object().unwrap().get("tcUrl"), Some("x".into()));
        }
    }
}
