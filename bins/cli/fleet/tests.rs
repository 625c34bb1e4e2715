use super::*;

#[test]
fn workers_are_a_number_or_as_many_as_processors() {
    assert_eq!("64".parse::<WorkerCount>().unwrap().get(), 64);
    assert!("auto".parse::<WorkerCount>().unwrap().get() >= 1);
    for text in ["", "0", "65", "-1", "two", "Auto"] {
        assert_eq!(text.parse::<WorkerCount>(), Err(FleetError::Workers), "{text}");
    }
}

#[test]
fn port_ranges_have_a_beginning_and_an_end() {
    assert_eq!("20000-20007".parse(), Ok(PortRange { first: 20000, last: 20007 }));
    assert_eq!("7-7".parse(), Ok(PortRange { first: 7, last: 7 }));
    for text in ["", "1", "0-5", "7-6", "1-65536", "a-b", "1-2-3"] {
        assert_eq!(text.parse::<PortRange>(), Err(FleetError::Ports), "{text}");
    }
}

#[test]
fn advertised_addresses_may_lack_the_port_and_never_name_none() {
    let parse = |text: &str| text.parse::<AdvertiseAddress>().map(|at| (at.ip.to_string(), at.port));
    assert_eq!(parse("192.0.2.1"), Ok(("192.0.2.1".to_owned(), None)));
    assert_eq!(parse("192.0.2.1:1936"), Ok(("192.0.2.1".to_owned(), Some(1936))));
    assert_eq!(parse("2001:db8::1"), Ok(("2001:db8::1".to_owned(), None)));
    assert_eq!(parse("[2001:db8::1]"), Ok(("2001:db8::1".to_owned(), None)));
    assert_eq!(parse("[2001:db8::1]:7"), Ok(("2001:db8::1".to_owned(), Some(7))));
    for text in ["", "name", "0.0.0.0", "[::]:7", "224.0.0.1", "192.0.2.1:0", "192.0.2.1:70000"] {
        assert_eq!(parse(text), Err(FleetError::Address), "{text}");
    }
}

#[test]
fn bit_rates_have_decimal_units() {
    let parse = |text: &str| text.parse::<BitRate>().map(|rate| rate.0);
    assert_eq!(parse("800"), Ok(800));
    assert_eq!(parse("500m"), Ok(500_000_000));
    assert_eq!(parse("10G"), Ok(10_000_000_000));
    for text in ["", "0", "G", "1.5M", "-1", "99999999999G"] {
        assert_eq!(parse(text), Err(FleetError::BitRate), "{text}");
    }
}

#[test]
fn weights_are_three_numbers_that_are_not_negative() {
    assert_eq!("1,0.5,0".parse(), Ok(Weights([1.0, 0.5, 0.0])));
    for text in ["", "1", "1,1", "1,1,1,1", "1,-1,1", "1,nan,1", "1,inf,1", "1,1e3,1", "1,1001,1", "1,,1"] {
        assert_eq!(text.parse::<Weights>(), Err(FleetError::Weights), "{text}");
    }
}

#[test]
fn redirectors_have_a_name_and_addresses() {
    let parsed: RedirectorAt = "r.example@192.0.2.1:1936,[2001:db8::1]:7,192.0.2.2".parse().unwrap();
    assert_eq!(parsed.name, "r.example");
    let addresses: Vec<String> = parsed.addresses.iter().map(SocketAddr::to_string).collect();
    assert_eq!(addresses, ["192.0.2.1:1936", "[2001:db8::1]:7", "192.0.2.2:1935"]);
    for text in ["", "192.0.2.1:1935", "@192.0.2.1:1935", "name@", "name@host:1935", "name@192.0.2.1:1,"] {
        assert_eq!(text.parse::<RedirectorAt>(), Err(FleetError::Redirector), "{text}");
    }
}
