use super::*;

#[test]
fn seconds_are_plain_numbers_above_zero() {
    assert_eq!("0.5".parse(), Ok(Seconds(Duration::from_millis(500))));
    assert_eq!("10".parse::<Seconds>().unwrap().to_string(), "10");
    for (given, error) in [
        ("", SecondsError::NoNumber),
        ("-1", SecondsError::NoNumber),
        ("1e3", SecondsError::NoNumber),
        ("nan", SecondsError::NoNumber),
        ("inf", SecondsError::NoNumber),
        ("1.2.3", SecondsError::NoNumber),
        ("0", SecondsError::Zero),
        ("86401", SecondsError::Long),
    ] {
        assert_eq!(given.parse::<Seconds>(), Err(error), "{given}");
    }
}

#[test]
fn lifetimes_may_be_zero_or_without_end() {
    assert_eq!("0".parse(), Ok(Lifetime(Some(Duration::ZERO))));
    assert_eq!("2.2".parse::<Lifetime>().unwrap().to_string(), "2.2");
    assert_eq!("inf".parse(), Ok(Lifetime(None)));
    assert_eq!("infinite".parse::<Lifetime>(), Err(SecondsError::NoNumber));
}

#[test]
fn bytes_are_counted_in_kib_and_mib_too() {
    for (given, bytes, shown) in
        [("0", 0, "0"), ("65537", 65537, "65537"), ("256K", 262_144, "256K"), ("6m", 6_291_456, "6M")]
    {
        let count: ByteCount = given.parse().unwrap();
        assert_eq!((count.0, &*count.to_string()), (bytes, shown));
    }
    for given in ["", "K", "-1", "1.5M", "6MB", "6G"] {
        assert_eq!(given.parse::<ByteCount>(), Err(CountError::NoNumber), "{given}");
    }
    assert_eq!("99999999999999999999".parse::<ByteCount>(), Err(CountError::Large));
    assert_eq!("18446744073709551615M".parse::<ByteCount>(), Err(CountError::Large));
}

#[test]
fn code_points_have_numbers_and_names() {
    for (given, code) in
        [("0", 0), ("63", 63), ("EF", 46), ("ef", 46), ("AF41", 34), ("af13", 14), ("CS5", 40), ("LE", 1)]
    {
        assert_eq!(given.parse(), Ok(Dscp(code)), "{given}");
    }
    for given in ["", "64", "-1", "AF51", "AF40", "CS8", "A", "expedited"] {
        assert_eq!(given.parse::<Dscp>(), Err(DscpError), "{given}");
    }
}

#[test]
fn groups_are_kept_in_order_and_are_there_once() {
    let groups: Groups = "16, 2".parse().unwrap();
    assert_eq!(groups.0, [Group::Modp4096, Group::Modp1024]);
    assert_eq!(groups.to_string(), "16,2");
    assert_eq!("16,2,16".parse::<Groups>(), Err(GroupsError::Twice { number: 16 }));
    for given in ["", "16,", "3", "16;2"] {
        assert!(matches!(given.parse::<Groups>(), Err(GroupsError::Unknown { .. })), "{given}");
    }
}
