use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::amf0::{self, Text};
use crate::command::{self, Command};
use crate::message::{TcMessage, kind};

mod conversion;

const LIMITS: Limits = Limits::DEFAULT;

/// Reads all values of a message.
fn read(bytes: &[u8]) -> Result<(Vec<Value<'_>>, Store<'_>), Error> {
    let mut reader = Reader::new(&LIMITS);
    let (mut input, mut values) = (bytes, Vec::new());
    while !input.is_empty() {
        values.push(reader.read(&mut input)?);
    }
    Ok((values, reader.store().clone()))
}

fn write<'a>(values: &[Value<'a>], store: &Store<'a>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(store, &LIMITS);
    values.iter().for_each(|value| writer.put(&mut out, *value).unwrap());
    out
}

/// The only value of a message that holds nothing but it, after checking that it is written as it came.
fn complex(bytes: &[u8]) -> Complex<'_> {
    let (values, store) = read(bytes).unwrap();
    assert_eq!(write(&values, &store), bytes);
    let [Value::Complex(id)] = values[..] else { panic!("{values:?}") };
    store.get(id).unwrap().clone()
}

#[test]
fn integers_have_29_bits_with_sign_in_one_to_four_bytes() {
    for (number, bytes) in [
        (0, &b"\x04\x00"[..]),
        (127, b"\x04\x7f"),
        (128, b"\x04\x81\x00"),
        (0x3fff, b"\x04\xff\x7f"),
        (0x4000, b"\x04\x81\x80\x00"),
        (0x1f_ffff, b"\x04\xff\xff\x7f"),
        (0x20_0000, b"\x04\x80\xc0\x80\x00"),
        ((1 << 28) - 1, b"\x04\xbf\xff\xff\xff"),
        (-1, b"\x04\xff\xff\xff\xff"),
        (-2, b"\x04\xff\xff\xff\xfe"),
        (-(1 << 28), b"\x04\xc0\x80\x80\x00"),
    ] {
        assert_eq!(read(bytes).unwrap().0, [Value::Integer(number)]);
        assert_eq!(write(&[Value::Integer(number)], &Store::new()), bytes);
    }
    assert_eq!(read(b"\x04\x80\x05").unwrap().0, [Value::Integer(5)], "longer than needed");
    let beyond = write(&[Value::Integer(1 << 28)], &Store::new());
    assert_eq!(read(&beyond).unwrap().0, [Value::Double(f64::from(1 << 28))]);
}

#[test]
fn simple_values_are_read_and_written_as_the_specification_lays_them_out() {
    let bytes = b"\x00\x01\x02\x03\x05\x3f\xf8\0\0\0\0\0\0\x06\x01\x06\x07abc";
    let values = [
        Value::Undefined,
        Value::Null,
        Value::Boolean(false),
        Value::Boolean(true),
        Value::Double(1.5),
        Value::String("".into()),
        Value::String("abc".into()),
    ];
    assert_eq!(read(bytes).unwrap().0, values);
    assert_eq!(write(&values, &Store::new()), bytes);
}

#[test]
fn values_with_content_are_read_and_written_as_the_specification_lays_them_out() {
    assert_eq!(complex(b"\x07\x09<a/>"), Complex::XmlDocument("<a/>".into()));
    assert_eq!(complex(b"\x0b\x09<b/>"), Complex::Xml("<b/>".into()));
    assert_eq!(complex(b"\x08\x01\x3f\xf0\0\0\0\0\0\0"), Complex::Date(1.0));
    assert_eq!(complex(b"\x0c\x07\x00\xff\x11"), Complex::Bytes(b"\x00\xff\x11"));
    for (bytes, element, fixed, numbers) in [
        (&b"\x0d\x05\x00\xff\xff\xff\xfe\0\0\0\x03"[..], Element::Int, false, &[-2.0, 3.0][..]),
        (b"\x0e\x05\x01\xff\xff\xff\xfe\0\0\0\x03", Element::Uint, true, &[4_294_967_294.0, 3.0]),
        (b"\x0f\x03\x00\x3f\xf0\0\0\0\0\0\0", Element::Double, false, &[1.0]),
    ] {
        let Complex::Numbers(vector) = complex(bytes) else { panic!("not numbers") };
        assert_eq!((vector.element(), vector.fixed(), vector.count()), (element, fixed, numbers.len()));
        assert_eq!(vector.iter().collect::<Vec<_>>(), numbers);
    }
}

#[test]
fn arrays_have_named_elements_before_those_by_position() {
    assert_eq!(
        complex(b"\x09\x05\x01\x04\x01\x06\x03x"),
        Complex::Array { named: vec![], items: vec![Value::Integer(1), Value::String("x".into())] }
    );
    assert_eq!(
        complex(b"\x09\x03\x03k\x03\x03l\x02\x01\x01"),
        Complex::Array {
            named: vec![("k".into(), Value::Boolean(true)), ("l".into(), Value::Boolean(false))],
            items: vec![Value::Null]
        }
    );
    let vector = complex(b"\x10\x05\x01\x07cls\x01\x02");
    let items = vec![Value::Null, Value::Boolean(false)];
    assert_eq!(vector, Complex::Objects { fixed: true, class: "cls".into(), items });
    let entries = vec![(Value::Integer(1), Value::Null), (Value::String("k".into()), Value::Boolean(true))];
    assert_eq!(
        complex(b"\x11\x05\x00\x04\x01\x01\x06\x03k\x03"),
        Complex::Dictionary { weak: false, entries }
    );
}

#[test]
fn objects_have_the_members_of_their_class_and_dynamic_ones() {
    // Anonymous and dynamic, as librtmfp writes all objects.
    let bytes = b"\x0a\x0b\x01\x03a\x04\x01\x01";
    let (values, store) = read(bytes).unwrap();
    assert_eq!(write(&values, &store), bytes);
    let Complex::Object { traits, sealed, dynamic } = &store.complex[0] else { panic!("no object") };
    assert_eq!((sealed.len(), &dynamic[..]), (0, &[("a".into(), Value::Integer(1))][..]));
    assert_eq!(store.traits(*traits), Some(&Traits { dynamic: true, ..Traits::default() }));

    // Two objects of one class, the second of which refers to it and its text.
    let bytes = b"\x0a\x23\x03C\x03x\x03y\x04\x01\x06\x03v\x0a\x01\x04\x02\x06\x06";
    let (values, store) = read(bytes).unwrap();
    assert_eq!(write(&values, &store), bytes);
    assert_eq!(store.traits.len(), 1);
    let Complex::Object { traits, sealed, .. } = &store.complex[1] else { panic!("no object") };
    assert_eq!(store.traits(*traits).unwrap().sealed, ["x", "y"]);
    assert_eq!(sealed[..], [Value::Integer(2), Value::String("v".into())]);
}

#[test]
fn wrappers_hold_a_value_and_other_external_objects_stop_the_reading() {
    let name = "flex.messaging.io.ArrayCollection";
    let bytes = [b"\x0a\x07\x43", name.as_bytes(), b"\x09\x03\x01\x04\x05"].concat();
    let (values, store) = read(&bytes).unwrap();
    assert_eq!(write(&values, &store), bytes);
    let Complex::Wrapper { traits, value: Value::Complex(inner) } = &store.complex[0] else { panic!("none") };
    assert_eq!(store.traits(*traits).unwrap().class, name);
    assert_eq!(store.get(*inner), Some(&Complex::Array { named: vec![], items: vec![Value::Integer(5)] }));
    assert_eq!(read(b"\x0a\x07\x07Foo\x01").unwrap_err(), Error::External { class: "Foo".into() });
}

#[test]
fn references_go_to_strings_values_and_classes_of_the_whole_message() {
    let (values, store) = read(b"\x06\x07abc\x06\x01\x06\x00\x0c\x03a\x0c\x00").unwrap();
    let [first, empty, again, Value::Complex(bytes), Value::Complex(same)] = values[..] else {
        panic!("{values:?}")
    };
    assert_eq!((first, empty, again), (Value::String("abc".into()), Value::String("".into()), first));
    assert_eq!((bytes, store.len()), (same, 1));
    for (bytes, number) in [
        (&b"\x06\x00"[..], 0),
        (b"\x06\x01\x06\x00", 0),
        (b"\x09\x02", 1),
        (b"\x0a\x05", 1),
        (b"\x0a\x01", 0),
    ] {
        assert_eq!(read(bytes).unwrap_err(), Error::Reference(number), "{bytes:x?}");
    }
}

#[test]
fn an_array_that_contains_itself_is_read_and_written() {
    let bytes = b"\x09\x03\x01\x09\x00";
    let (values, store) = read(bytes).unwrap();
    let Complex::Array { items, .. } = &store.complex[0] else { panic!("no array") };
    assert_eq!(items[..], values[..]);
    assert_eq!(write(&values, &store), bytes);
}

#[test]
fn values_that_are_cut_off_or_unknown_are_refused() {
    let whole = b"\x11\x03\x00\x0a\x13\x03C\x03x\x09\x03\x03k\x01\x01\x05\x3f\xf0\0\0\0\0\0\0\x10\x03\0\x01\x08\x01\0\0\0\0\0\0\0\0";
    assert!(read(whole).is_ok());
    for end in 1..whole.len() {
        assert_eq!(read(&whole[..end]).unwrap_err(), Error::Truncated, "{end}");
    }
    assert_eq!(read(b"\x12").unwrap_err(), Error::Marker(0x12));
    assert_eq!(read(b"\x09\x09\x01\x01").unwrap_err(), Error::Truncated, "four elements in no bytes");
}

#[test]
fn what_is_wrong_in_a_store_is_not_written() {
    let mut store = Store::new();
    let traits = store.add_traits(Traits { external: true, ..Traits::default() });
    let mismatched = store.add(Complex::Object { traits, sealed: vec![], dynamic: vec![] });
    let put = |value| Writer::new(&store, &LIMITS).put(&mut Vec::new(), value);
    assert_eq!(put(mismatched), Err(Error::Reference(0)));
    assert_eq!(put(Value::Complex(ComplexId(7))), Err(Error::Reference(7)));
    let mut deep = Store::new();
    let mut value = Value::Null;
    for _ in 0..65 {
        value = deep.add(Complex::Array { named: vec![], items: vec![value] });
    }
    assert_eq!(Writer::new(&deep, &LIMITS).put(&mut Vec::new(), value), Err(Error::Depth));
}

#[test]
fn members_that_do_not_fit_their_class_are_left_out_or_undefined() {
    let mut store = Store::new();
    let traits = store.add_traits(Traits { sealed: vec!["a".into(), "b".into()], ..Traits::default() });
    let dynamic = vec![("c".into(), Value::Null)];
    let value = store.add(Complex::Object { traits, sealed: vec![Value::Null], dynamic });
    assert_eq!(write(&[value], &store), b"\x0a\x23\x01\x03a\x03b\x01\x00");
    let named = vec![("".into(), Value::Null), ("a".into(), Value::Null)];
    let value = store.add(Complex::Array { named, items: vec![] });
    assert_eq!(write(&[value], &store), b"\x09\x01\x03a\x01\x01");
}

/// What a generated value is made of: a tape of numbers.
struct Maker<'t> {
    tape: core::slice::Iter<'t, u8>,
    store: Store<'static>,
}

const TEXTS: [&str; 6] = ["", "a", "b", "longer", "caf\u{e9}", "a b c d e f g h"];

impl Maker<'_> {
    fn next(&mut self) -> u8 {
        self.tape.next().copied().unwrap_or(1)
    }

    fn flag(&mut self) -> bool {
        self.next() & 1 == 0
    }

    fn text(&mut self) -> Text<'static> {
        TEXTS[usize::from(self.next()) % TEXTS.len()].into()
    }

    fn values(&mut self, depth: u8) -> Vec<Value<'static>> {
        (0..self.next() % 4).map(|_| self.value(depth)).collect()
    }

    fn members(&mut self, depth: u8) -> Vec<(Text<'static>, Value<'static>)> {
        (0..self.next() % 4).map(|n| (TEXTS[1 + usize::from(n)].into(), self.value(depth))).collect()
    }

    fn traits(&mut self, external: bool) -> TraitsId {
        let class = if external { WRAPPERS[usize::from(self.next()) % 3].into() } else { self.text() };
        let sealed = if external { vec![] } else { (0..self.next() % 4).map(|_| self.text()).collect() };
        let dynamic = !external && self.flag();
        self.store.add_traits(Traits { class, dynamic, external, sealed })
    }

    fn value(&mut self, depth: u8) -> Value<'static> {
        let Some(depth) = depth.checked_sub(1) else { return Value::Null };
        let choice = self.next() % 18;
        // Values are numbered in the order of their beginnings, as a reader does.
        let place = (choice > 6 && choice < 17).then(|| self.store.put(Complex::Bytes(&[])));
        let complex = match choice {
            0 => return Value::Undefined,
            1 => return Value::Null,
            2 => return Value::Boolean(self.flag()),
            3 => return Value::Integer((i32::from(self.next()) - 128) << (self.next() % 22)),
            4 => return Value::Double(f64::from(self.next()) / 8.0),
            5 | 6 => return Value::String(self.text()),
            7 => Complex::XmlDocument(self.text()),
            8 => Complex::Xml(self.text()),
            9 => Complex::Date(f64::from(self.next())),
            10 => Complex::Bytes(self.text().as_bytes()),
            11 => {
                let element = [Element::Int, Element::Uint, Element::Double][usize::from(self.next()) % 3];
                Complex::Numbers(NumberVector::new(element, self.flag(), b"0123456789abcdef"))
            }
            12 => Complex::Array { named: self.members(depth), items: self.values(depth) },
            13 => Complex::Objects { fixed: self.flag(), class: self.text(), items: self.values(depth) },
            14 => {
                let weak = self.flag();
                let count = self.next() % 3;
                let entries = (0..count).map(|_| (self.value(depth), self.value(depth))).collect();
                Complex::Dictionary { weak, entries }
            }
            15 => Complex::Wrapper { traits: self.traits(true), value: self.value(depth) },
            16 => {
                let traits = self.traits(false);
                let class = self.store.traits(traits).unwrap().clone();
                let sealed = class.sealed.iter().map(|_| self.value(depth)).collect();
                let dynamic = if class.dynamic { self.members(depth) } else { vec![] };
                Complex::Object { traits, sealed, dynamic }
            }
            // Something that came before, or is still under way.
            _ => match self.store.len() as u32 {
                0 => return Value::Null,
                len => return Value::Complex(ComplexId(u32::from(self.next()) % len)),
            },
        };
        let id = place.unwrap();
        self.store.set(id, complex);
        Value::Complex(id)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(0x0a3f), ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_is_read_back(tape in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut maker = Maker { tape: tape.iter(), store: Store::new() };
        let values: Vec<_> = (0..3).map(|_| maker.value(8)).collect();
        let bytes = write(&values, &maker.store);
        let (again, store) = read(&bytes).unwrap();
        prop_assert_eq!(again, values);
        prop_assert_eq!(store, maker.store);
    }

    #[test]
    fn whatever_is_written_can_be_converted_to_readable_amf0(
        tape in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        let mut maker = Maker { tape: tape.iter(), store: Store::new() };
        let values: Vec<_> = (0..3).map(|_| maker.value(8)).collect();
        let mut message = Vec::new();
        let mut writer = Writer::new(&maker.store, &LIMITS);
        for value in &values {
            message.push(0x11);
            writer.put(&mut message, *value).unwrap();
        }
        let plain = to_amf0(&message, &LIMITS).unwrap();
        let read: Vec<_> = amf0::Reader::new(&plain, &amf0::Limits::DEFAULT).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read.len(), values.len());
        let text = format!("{read:?}");
        prop_assert!(!text.contains("Amf3"));
    }

    #[test]
    fn any_bytes_are_read_within_the_limits(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let limits = Limits { depth: 3, values: 20, references: 10, string_bytes: 12, total_bytes: 40 };
        let mut reader = Reader::new(&limits);
        let mut input = &bytes[..];
        while !input.is_empty() && reader.read(&mut input).is_ok() {}
        prop_assert!(reader.visited() <= 20 && reader.store().len() <= 10);
        let _ = to_amf0(&bytes, &limits);
    }
}
