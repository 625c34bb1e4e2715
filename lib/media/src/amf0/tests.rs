use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

const LIMITS: Limits = Limits::DEFAULT;

fn encode(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut Writer::new(&mut out));
    out
}

fn only(bytes: &[u8]) -> Result<Value<'_>, Error> {
    let mut reader = Reader::new(bytes, &LIMITS);
    let value = reader.next().expect("a value");
    if value.is_ok() {
        assert_eq!(reader.rest(), b"", "bytes after the value");
    }
    value
}

#[test]
fn every_marker_is_read_and_written_as_the_specification_lays_it_out() {
    for (bytes, value) in [
        (&b"\x00\x40\x08\0\0\0\0\0\0"[..], Value::Number(3.0)),
        (b"\x00\xff\xf0\0\0\0\0\0\0", Value::Number(f64::NEG_INFINITY)),
        (b"\x01\x01", Value::Boolean(true)),
        (b"\x01\x00", Value::Boolean(false)),
        (b"\x02\0\x03abc", Value::String("abc".into())),
        (b"\x02\0\x00", Value::String("".into())),
        (b"\x02\0\x01\xe9", Value::String(Text::new(b"\xe9"))),
        (b"\x05", Value::Null),
        (b"\x06", Value::Undefined),
        (b"\x07\x01\x02", Value::Reference(0x102)),
        (b"\x0b\x3f\xf0\0\0\0\0\0\0\xff\xc4", Value::Date { millis: 1.0, zone: -60 }),
        (b"\x0d", Value::Unsupported),
        (b"\x0f\0\0\0\x04<a/>", Value::Xml("<a/>".into())),
        (b"\x11\x06\x03a", Value::Amf3(b"\x06\x03a")),
    ] {
        assert_eq!(only(bytes), Ok(value));
        assert_eq!(encode(|w| _ = w.put(value)), bytes);
    }
    assert_eq!(only(b"\x01\x7f"), Ok(Value::Boolean(true)));
    assert_eq!(only(b"\x0c\0\0\0\x02hi"), Ok(Value::String("hi".into())));
}

#[test]
fn containers_keep_order_and_duplicates_and_get_answers_the_last() {
    let bytes = encode(|w| {
        w.value().object(|o| {
            o.put("b", 1.0).put("a", 2.0).put("b", 3.0).put("", true);
            o.member("list").strict_array(|items| _ = items.put("x").put(Value::Null));
        });
    });
    assert_eq!(
        bytes,
        b"\x03\0\x01b\0\x3f\xf0\0\0\0\0\0\0\0\x01a\0\x40\0\0\0\0\0\0\0\0\x01b\0\x40\x08\0\0\0\0\0\0\0\0\x01\x01\
          \0\x04list\x0a\0\0\0\x02\x02\0\x01x\x05\0\0\x09"
    );
    let object = only(&bytes).unwrap().as_object().unwrap();
    let keys: Vec<_> = object.members().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys, ["b", "a", "b", "", "list"]);
    assert_eq!(object.get("b"), Some(Value::Number(3.0)));
    assert_eq!(object.get("c"), None);
    let list: Vec<_> = object.get("list").unwrap().as_array().unwrap().items().collect();
    assert_eq!(list, [Value::from("x"), Value::Null]);
    assert_eq!(only(&bytes).unwrap().to_string(), r#"{"b":1,"a":2,"b":3,"":true,"list":["x",null]}"#);
}

#[test]
fn ecma_arrays_are_written_with_their_count_and_read_whatever_it_says() {
    let bytes = encode(|w| w.value().ecma_array(|o| _ = o.put("a", Value::Null).put("b", Value::Null)));
    assert_eq!(bytes, b"\x08\0\0\0\x02\0\x01a\x05\0\x01b\x05\0\0\x09");
    for count in [0_u32, 1, u32::MAX] {
        let mut wrong = bytes.clone();
        wrong[1..5].copy_from_slice(&count.to_be_bytes());
        let value = only(&wrong).unwrap();
        assert_eq!(value.as_object().unwrap().members().count(), 2);
        assert_eq!(encode(|w| _ = w.put(value)), bytes, "rewritten with the true count");
    }
}

#[test]
fn typed_objects_keep_their_class() {
    let bytes = encode(|w| w.value().typed_object("cls", |o| _ = o.put("k", "v")));
    assert_eq!(bytes, b"\x10\0\x03cls\0\x01k\x02\0\x01v\0\0\x09");
    let Ok(Value::TypedObject(class, object)) = only(&bytes) else { panic!("not typed") };
    assert_eq!(class, "cls");
    assert_eq!(object.get("k").and_then(Value::as_str), Some("v"));
}

#[test]
fn strings_become_long_where_the_short_form_ends() {
    let short = "x".repeat(0xffff);
    let long = "x".repeat(0x1_0000);
    assert_eq!(encode(|w| _ = w.put(&*short))[..3], [0x02, 0xff, 0xff]);
    let bytes = encode(|w| _ = w.put(&*long));
    assert_eq!(bytes[..5], [0x0c, 0, 1, 0, 0]);
    assert_eq!(only(&bytes).unwrap().as_str(), Some(&*long));
}

#[test]
fn members_whose_key_cannot_be_expressed_are_left_out_and_not_counted() {
    let key = "k".repeat(0x1_0000);
    let bytes = encode(|w| {
        w.value().ecma_array(|o| {
            o.put(&*key, 1.0).put("a", true);
            o.member(&*key).object(|o| _ = o.put("b", true));
            let _ = o.member("a slot that is not used writes nothing");
        });
    });
    assert_eq!(bytes, b"\x08\0\0\0\x01\0\x01a\x01\x01\0\0\x09");
}

#[test]
fn what_was_read_before_a_bad_value_stays_usable() {
    let bytes = b"\x02\0\x01a\x00\x3f\xf0\0\0\0\0\0\0\x03\0\x01k\x04";
    let mut reader = Reader::new(bytes, &LIMITS);
    assert_eq!(reader.next(), Some(Ok("a".into())));
    assert_eq!(reader.next(), Some(Ok(1.0.into())));
    assert_eq!(reader.position(), 13);
    assert_eq!(reader.next(), Some(Err(Error::Marker(4))));
    assert_eq!(reader.next(), None);
    assert_eq!(reader.position(), 13);
    assert_eq!(reader.rest(), &bytes[13..]);
}

#[test]
fn reserved_markers_misplaced_ends_and_cut_values_are_errors() {
    for marker in [0x04, 0x09, 0x0e, 0x12, 0xff] {
        assert_eq!(only(&[marker, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Error::Marker(marker)));
    }
    assert_eq!(only(b"\x03\0\x01k\x09"), Err(Error::Marker(9)));
    let whole = encode(|w| {
        w.value().ecma_array(|o| {
            o.put("n", 1.0).put("s", "text").put("d", Value::Date { millis: 0.0, zone: 0 });
            o.member("t").typed_object("c", |o| _ = o.put("x", Value::Xml("<a/>".into())));
            o.member("l").strict_array(|items| _ = items.put(Value::Reference(1)).put(true));
        });
    });
    assert!(only(&whole).is_ok());
    for length in 1..whole.len() {
        assert_eq!(only(&whole[..length]), Err(Error::Truncated), "{length} bytes");
    }
}

#[test]
fn amf3_takes_the_rest_of_the_message_out_of_any_depth() {
    let bytes = b"\x03\0\x01a\x05\0\x01b\x0a\0\0\0\x02\x11\x06\x03x\0\0\x09";
    let mut reader = Reader::new(bytes, &LIMITS);
    let object = reader.next().unwrap().unwrap().as_object().unwrap();
    assert_eq!(reader.next(), None);
    let members: Vec<_> = object.members().collect();
    assert_eq!(members.len(), 2);
    let items: Vec<_> = members[1].1.as_array().unwrap().items().collect();
    assert_eq!(items, [Value::Amf3(b"\x06\x03x\0\0\x09")]);
    assert_eq!(encode(|w| _ = w.put(Value::Object(object))), bytes);
    assert_eq!(Value::Object(object).to_string(), r#"{"a":null,"b":[{"amf3Bytes":6}]}"#);
}

#[test]
fn setting_a_member_changes_no_other_byte() {
    let bytes = encode(|w| {
        w.value().object(|o| _ = o.put("app", "live").put("tcUrl", "rtmp://a/live").put("z", -0.0));
        w.put("argument");
    });
    let changed = set_member(&bytes, "tcUrl", "rtmp://longer.example/live", &LIMITS).unwrap();
    let expected = encode(|w| {
        w.value()
            .object(|o| _ = o.put("app", "live").put("tcUrl", "rtmp://longer.example/live").put("z", -0.0));
        w.put("argument");
    });
    assert_eq!(changed, expected);
    let same = set_member(&changed, "tcUrl", "rtmp://a/live", &LIMITS).unwrap();
    assert_eq!(same, bytes);
    let added = set_member(&bytes, "new", Value::Null, &LIMITS).unwrap();
    assert_eq!(added, [&bytes[..bytes.len() - 14], b"\0\x03new\x05", &bytes[bytes.len() - 14..]].concat());
}

#[test]
fn setting_a_member_replaces_every_duplicate() {
    let bytes = encode(|w| w.value().object(|o| _ = o.put("a", "1").put("b", "2").put("a", true)));
    let changed = set_member(&bytes, "a", 7.0, &LIMITS).unwrap();
    assert_eq!(changed, encode(|w| w.value().object(|o| _ = o.put("a", 7.0).put("b", "2").put("a", 7.0))));
}

#[test]
fn appending_to_an_ecma_array_corrects_a_right_count_and_leaves_a_wrong_one() {
    let one = b"\x08\0\0\0\x01\0\x01a\x05\0\0\x09";
    let two = set_member(one, "b", Value::Null, &LIMITS).unwrap();
    assert_eq!(two, b"\x08\0\0\0\x02\0\x01a\x05\0\x01b\x05\0\0\x09");
    let zero = b"\x08\0\0\0\x00\0\x01a\x05\0\0\x09";
    let two = set_member(zero, "b", Value::Null, &LIMITS).unwrap();
    assert_eq!(two, b"\x08\0\0\0\x00\0\x01a\x05\0\x01b\x05\0\0\x09");
    let replaced = set_member(one, "a", true, &LIMITS).unwrap();
    assert_eq!(replaced, b"\x08\0\0\0\x01\0\x01a\x01\x01\0\0\x09");
}

#[test]
fn setting_a_member_before_amf3_works_and_after_it_is_refused() {
    let bytes = b"\x03\0\x01a\x05\0\x01b\x11\x06\x03x\0\0\x09";
    let changed = set_member(bytes, "a", true, &LIMITS).unwrap();
    assert_eq!(changed, b"\x03\0\x01a\x01\x01\0\x01b\x11\x06\x03x\0\0\x09");
    assert_eq!(set_member(bytes, "b", true, &LIMITS), Err(EditError::Opaque));
    assert_eq!(set_member(bytes, "c", true, &LIMITS), Err(EditError::Opaque));
    assert_eq!(set_member(b"\x05", "c", true, &LIMITS), Err(EditError::NotAnObject));
    assert_eq!(set_member(b"", "c", true, &LIMITS), Err(EditError::NotAnObject));
    assert_eq!(set_member(b"\x03", "c", true, &LIMITS), Err(EditError::Amf(Error::Truncated)));
    assert_eq!(set_member(b"\x03\0\0\x09", &"k".repeat(65_536), true, &LIMITS), Err(EditError::Key));
}

#[test]
fn json_never_holds_what_json_or_a_terminal_would_choke_on() {
    let text = Text::new(b"a\"\\\n\x1b[\x7f\xff\xc3\xa9");
    assert_eq!(Value::String(text).to_string(), "\"a\\\"\\\\\\n\\u001b[\\u007f\u{fffd}é\"");
    assert_eq!(Value::Number(f64::INFINITY).to_string(), "null");
    assert_eq!(Value::Number(f64::NAN).to_string(), "null");
    assert_eq!(Value::Number(-0.5).to_string(), "-0.5");
    assert_eq!(Value::Reference(3).to_string(), r#"{"reference":3}"#);
}

/// A value that owns what it holds, for generating.
#[derive(Clone, Debug)]
enum Tree {
    Number(u64),
    Boolean(bool),
    Text(Vec<u8>),
    Xml(Vec<u8>),
    Date(u64, i16),
    Reference(u16),
    Simple(u8),
    Object(Vec<(Vec<u8>, Self)>),
    Typed(Vec<u8>, Vec<(Vec<u8>, Self)>),
    Ecma(Vec<(Vec<u8>, Self)>),
    Array(Vec<Self>),
}

impl Tree {
    fn write(&self, slot: Slot<'_, '_>) {
        let fill = |members: &[(Vec<u8>, Self)], o: &mut ObjectWriter<'_>| {
            members.iter().for_each(|(key, value)| value.write(o.member(Text::new(key))));
        };
        match self {
            Self::Number(bits) => slot.put(f64::from_bits(*bits)),
            Self::Boolean(value) => slot.put(*value),
            Self::Text(text) => slot.put(Text::new(text)),
            Self::Xml(text) => slot.put(Value::Xml(Text::new(text))),
            Self::Date(bits, zone) => {
                slot.put(Value::Date { millis: f64::from_bits(*bits), zone: *zone });
            }
            Self::Reference(index) => slot.put(Value::Reference(*index)),
            Self::Simple(0) => slot.put(Value::Null),
            Self::Simple(1) => slot.put(Value::Undefined),
            Self::Simple(_) => slot.put(Value::Unsupported),
            Self::Object(members) => slot.object(|o| fill(members, o)),
            Self::Typed(class, members) => slot.typed_object(Text::new(class), |o| fill(members, o)),
            Self::Ecma(members) => slot.ecma_array(|o| fill(members, o)),
            Self::Array(items) => slot.strict_array(|w| items.iter().for_each(|i| i.write(w.value()))),
        }
    }

    fn equals(&self, value: Value<'_>) -> bool {
        let same = |members: &[(Vec<u8>, Self)], object: Object<'_>| {
            let mut decoded = object.members();
            members
                .iter()
                .all(|(key, tree)| decoded.next().is_some_and(|(k, v)| k.as_bytes() == key && tree.equals(v)))
                && decoded.next().is_none()
        };
        match (self, value) {
            (Self::Number(bits), Value::Number(number)) => number.to_bits() == *bits,
            (Self::Boolean(a), Value::Boolean(b)) => *a == b,
            (Self::Text(a), Value::String(b)) | (Self::Xml(a), Value::Xml(b)) => a == b.as_bytes(),
            (Self::Date(bits, a), Value::Date { millis, zone }) => millis.to_bits() == *bits && zone == *a,
            (Self::Reference(a), Value::Reference(b)) => *a == b,
            (Self::Simple(0), Value::Null)
            | (Self::Simple(1), Value::Undefined)
            | (Self::Simple(2), Value::Unsupported) => true,
            (Self::Object(a), Value::Object(b)) | (Self::Ecma(a), Value::EcmaArray(b)) => same(a, b),
            (Self::Typed(class, a), Value::TypedObject(name, b)) => class == name.as_bytes() && same(a, b),
            (Self::Array(a), Value::StrictArray(b)) => {
                let mut decoded = b.items();
                b.count() as usize == a.len()
                    && a.iter().all(|tree| decoded.next().is_some_and(|v| tree.equals(v)))
                    && decoded.next().is_none()
            }
            _ => false,
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let text = || prop::collection::vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![
        any::<u64>().prop_map(Tree::Number),
        any::<bool>().prop_map(Tree::Boolean),
        text().prop_map(Tree::Text),
        text().prop_map(Tree::Xml),
        any::<(u64, i16)>().prop_map(|(bits, zone)| Tree::Date(bits, zone)),
        any::<u16>().prop_map(Tree::Reference),
        (0..3_u8).prop_map(Tree::Simple),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let members = prop::collection::vec((text(), inner.clone()), 0..6);
        prop_oneof![
            members.clone().prop_map(Tree::Object),
            (text(), members.clone()).prop_map(|(class, members)| Tree::Typed(class, members)),
            members.prop_map(Tree::Ecma),
            prop::collection::vec(inner, 0..6).prop_map(Tree::Array),
        ]
    })
}

/// Bytes that are likelier to be AMF0 than noise is.
fn nearly_amf0() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![4 => 0..0x12_u8, 2 => Just(0), 1 => any::<u8>()], 0..200)
}

/// As many cases as `PROPTEST_CASES` says; an nth of them where one costs more.
fn config(nth: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases.div_ceil(nth),
        rng_seed: RngSeed::Fixed(0x0a4f_0000),
        failure_persistence: None,
        ..usual
    }
}

proptest! {
    #![proptest_config(config(5))]

    #[test]
    fn what_is_written_is_read_back_and_written_the_same(trees in prop::collection::vec(tree(), 0..5)) {
        let bytes = encode(|w| trees.iter().for_each(|tree| tree.write(w.value())));
        let mut reader = Reader::new(&bytes, &LIMITS);
        let mut again = Vec::new();
        for tree in &trees {
            let value = reader.next().unwrap().unwrap();
            prop_assert!(tree.equals(value), "{value:?}");
            Writer::new(&mut again).put(value);
        }
        prop_assert_eq!(reader.next(), None);
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn a_member_that_was_set_is_found_and_the_others_are_unchanged(
        members in prop::collection::vec(("[abc]", tree()), 0..6), key in "[abc]", after in tree()
    ) {
        let members: Vec<_> = members.into_iter().map(|(key, tree)| (key.into_bytes(), tree)).collect();
        let bytes = encode(|w| {
            Tree::Ecma(members.clone()).write(w.value());
            after.write(w.value());
        });
        let mut expected = members;
        let mut found = false;
        for (name, tree) in &mut expected {
            if *name == key.as_bytes() {
                *tree = Tree::Text(b"new".to_vec());
                found = true;
            }
        }
        if !found {
            expected.push((key.clone().into_bytes(), Tree::Text(b"new".to_vec())));
        }
        let expected = encode(|w| {
            Tree::Ecma(expected).write(w.value());
            after.write(w.value());
        });
        prop_assert_eq!(set_member(&bytes, &key, "new", &LIMITS).unwrap(), expected);
    }
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn no_bytes_make_the_reader_panic_or_work_beyond_its_limits(
        bytes in nearly_amf0(), depth in 0..8_u8, values in 0..64_u32, string_bytes in 0..64_u32
    ) {
        let limits = Limits { depth, values, string_bytes };
        let mut reader = Reader::new(&bytes, &limits);
        let mut end = 0;
        while let Some(value) = reader.next() {
            let Ok(value) = value else { break };
            prop_assert!(reader.position() > end);
            end = reader.position();
            let mut seen = 0;
            check(value, depth, string_bytes, &mut seen);
            prop_assert!(seen <= values);
            let _ = (value.to_string(), format!("{value:?}"));
            let mut again = Vec::new();
            Writer::new(&mut again).put(value);
            // Text and XML compare by content, containers by bytes: nothing may change by writing it anew.
            prop_assert_eq!(encode(|w| _ = w.put(only(&again).unwrap())), again);
        }
        prop_assert!(reader.visited() <= values);
        prop_assert_eq!(reader.position(), end);
        let _ = set_member(&bytes, "a", "b", &limits);
    }
}

/// Walks a value and asserts that it is within the limits.
fn check(value: Value<'_>, depth: u8, string_bytes: u32, seen: &mut u32) {
    *seen += 1;
    let short = |text: Text<'_>| assert!(text.as_bytes().len() <= string_bytes as usize);
    match value {
        Value::String(text) | Value::Xml(text) | Value::TypedObject(text, _) => short(text),
        _ => {}
    }
    if let Some(object) = value.as_object() {
        for (key, value) in object.members() {
            short(key);
            check(value, depth.checked_sub(1).expect("within the depth"), string_bytes, seen);
        }
    }
    if let Some(array) = value.as_array() {
        for value in array.items() {
            check(value, depth.checked_sub(1).expect("within the depth"), string_bytes, seen);
        }
    }
}
